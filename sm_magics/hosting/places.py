"""Which places there are: AWS regions with SageMaker, and the profiles of the user's AWS configuration. Asks nobody."""

from __future__ import annotations

from functools import cache

import botocore.session

from . import faults


@cache
def regions() -> tuple[str, ...]:
    """Return the names of all AWS regions where SageMaker is, of all partitions, as botocore's own data has them."""
    session = botocore.session.Session()
    return tuple(
        sorted(
            region
            for partition in session.get_available_partitions()
            for region in session.get_available_regions("sagemaker", partition)
        )
    )


def profiles() -> tuple[str, ...]:
    """Return the names of the profiles in the AWS configuration and credentials files, sorted.

    Raises
    ------
    ConfigurationError
        If a file cannot be read.
    """
    with faults.translated(is_local=False):
        return tuple(sorted(botocore.session.Session().available_profiles))
