"""SageMaker through boto3, on this machine or in AWS."""
