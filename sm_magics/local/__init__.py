"""SageMaker on this machine: the AWS API on loopback."""
