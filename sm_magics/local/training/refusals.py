"""What AWS answers when it refuses a request about training jobs, quoted from public reports where not marked."""

from __future__ import annotations

from sm_magics.local.protocol.errors import ApiError, invalid


def no_such_job() -> ApiError:
    """Return the error for a job that is not there. The model has ResourceNotFound; AWS raises this (aws-sdk#165)."""
    return invalid("Requested resource not found.")


def name_taken(arn: str) -> ApiError:
    """Return the error for a name that another job has (amazon-sagemaker-examples#3108)."""
    return ApiError(
        "ResourceInUse",
        "Training job names must be unique within an AWS account and region, and a training job with this name already "
        f"exists ({arn})",
    )


def not_running(status: str) -> ApiError:
    """Return the error for stopping a job that has ended (awslabs/benchmark-ai#928)."""
    return invalid(f"The request was rejected because the training job is in status {status}.")


def still_running(status: str) -> ApiError:
    """Return the error for deleting a job that has not ended. That it is refused is documented; unconfirmed wording."""
    return ApiError("ResourceInUse", f"The request was rejected because the training job is in status {status}.")


def no_input_data(url: str, *, region: str, role: str) -> ApiError:
    """Return the error for a channel without data (amazon-sagemaker-examples#2489)."""
    bucket = url.partition("://")[2].partition("/")[0]
    return invalid(
        f'No S3 objects found under S3 URL "{url}" given in input data source. Please ensure that the bucket exists in '
        f'the selected region ({region}), that objects exist under that S3 prefix, and that the role "{role}" has '
        f'"s3:ListBucket" permissions on bucket "{bucket}".'
    )
