"""S3 on this machine, on disk and durable."""
