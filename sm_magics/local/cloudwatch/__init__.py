"""CloudWatch's metrics and logs, from what endpoints and training jobs do."""
