"""What makes endpoints fail, known by what SageMaker and the containers say about it: the cause, and what mends it.

The first row of the table that fits is taken: rows that say more stand above those that say less. Each stands for
public reports, which ``tests/hosting/test_causes.py`` quotes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sm_magics.packaging.proving.remedies import remedy

_LONGEST = 4000
"""Lines of a log's end that are looked at: a container that is started for ever prints the same for ever."""


@dataclass(frozen=True)
class Cause:
    """Why an endpoint failed.

    Attributes
    ----------
    name
        Stable: ``requirements``, ``memory``, ``torch version``, …
    what
        The cause, a sentence.
    fix
        What to do about it, a sentence; empty where nothing is known.
    paste
        A command, an option or code to paste; empty where there is none.
    """

    name: str
    what: str
    fix: str = ""
    paste: str = ""


@dataclass(frozen=True)
class _Known:
    """A row: `what` and `fix` may name the groups of the expression."""

    name: str
    says: str
    what: str
    fix: str
    paste: str = ""


_TABLE = (
    _Known(
        "quota",
        r"account-level service limit '(?P<limit>[^']+)' is (?P<most>\d+)",
        "The account may have {most} of '{limit}'.",
        "Take an instance type that the account has a quota for, or ask for more.",
        "!aws service-quotas list-service-quotas --service-code sagemaker "
        "--query \"Quotas[?QuotaName=='{limit}'].[QuotaCode,Value]\"",
    ),
    _Known(
        "capacity",
        r"Unable to provision requested ML compute capacity|Insufficient(Instance)?Capacity|^CapacityError",
        "AWS has no instance of this type free in the region at the moment.",
        "Try again later, or take another instance type or region.",
        "--instance-type ml.m5.xlarge",
    ),
    _Known(
        "image",
        r"make sure all images included in the model|Requested image ?\S* not found|manifest unknown|"
        r"Cannot find repository",
        "The container image does not exist, or the execution role may not pull it.",
        "Let the image be chosen, or allow the role ecr:BatchGetImage, ecr:GetDownloadUrlForLayer and "
        "ecr:GetAuthorizationToken.",
        "%sm_deploy --dry-run",
    ),
    _Known(
        "model data access",
        r"Could not access model data at (?P<uri>s3://[^\s\"]+?)\.?\s|Could not access model data|"
        r"Failed to download model data|Could not find model data",
        "SageMaker cannot read the model data in S3.",
        "The execution role needs s3:GetObject on it (and s3:ListBucket), a trust for sagemaker.amazonaws.com, and "
        "kms:Decrypt where the bucket is encrypted with a key; the bucket must be in the endpoint's region.",
        "%sm_doctor",
    ),
    _Known(
        "archive",
        r"Failed to extract model data archive",
        "The model data is no model.tar.gz that SageMaker can unpack: no gzip, cut off, or with links in it.",
        "Package the model again; the archive is read back before it is sent.",
        "%sm_package model",
    ),
    _Known(
        "requirements",
        r"satisfies the requirement (?P<package>[^\s(]+)|No matching distribution found for (?P<named>\S+)|"
        r"Requirement '(?P<file>[^']+)' looks like a filename, but the file does not exist|"
        r"'-r', '/opt/ml/model/code/requirements\.txt'\]' returned non-zero",
        "pip cannot install {package}{named}{file} of code/requirements.txt, and the container is started for ever.",
        "Name a version that exists for the image's Python, or put the file into code/ and name it with its path.",
        "%%sm_code requirements.txt",
    ),
    _Known(
        "disk",
        r"No space left on device|Insufficient disk space",
        "The instance's disk is full.",
        "Give it more; instance types with a disk of their own do not take one.",
        "--volume-size 100",
    ),
    _Known(
        "memory",
        r"CUDA out of memory|OutOfMemoryError|System out of memory|std::bad_alloc|\bMemoryError\b|"
        r"Cannot allocate memory|DefaultCPUAllocator: (can't|not enough)|exit(ed with)? (code|status) 137",
        "The model does not fit into the instance's memory: each worker process holds one of its own.",
        "Fewer workers, or an instance type with more memory.",
        "--env SAGEMAKER_MODEL_SERVER_WORKERS=1",
    ),
    _Known(
        "torch version",
        r"Attempted to read a PyTorch file with version (?P<written>\d+), but the maximum supported version for "
        r"reading is (?P<read>\d+)",
        "The container's torch is older than the one that saved the model.",
        "Save the state_dict: it loads in older versions. Or take an image with a newer torch.",
        "%sm_package model --save-as state_dict",
    ),
    _Known(
        "python version",
        r"code\(\) takes at most \d+ arguments|code expected at most \d+ arguments|code\(\) argument \d+ must be|"
        r"bad marshal data|"
        r"unsupported pickle protocol|unknown opcode",
        "What was pickled holds bytecode of another Python version than the container's.",
        "Save the state_dict and the class's source, which any version reads.",
        "%sm_package model --save-as state_dict",
    ),
    _Known(
        "driver",
        r"NVIDIA driver on your system is too old|compatibility mode is UNAVAILABLE|"
        r"CUDA driver version is insufficient",
        "The image's CUDA is newer than the driver of the instance type.",
        "Take a newer instance family, or an image with an older CUDA.",
        "--instance-type ml.g5.xlarge",
    ),
    _Known(
        "model_fn",
        r"Please provide a model_fn implementation",
        "The container found no model_fn, and no TorchScript that its own would load.",
        "Package the model again: code/inference.py then has one.",
        "%sm_package model",
    ),
)

# What is said whatever the cause is: taken only where nothing else is known.
_SYMPTOMS = (
    _Known(
        "worker died",
        r"Worker died|Backend worker process died|Worker disconnected|worker process died",
        "The worker process ended without a Python exception: killed for lack of memory, or crashed in native code.",
        "Fewer workers or more memory; and load the package in a clean process here.",
        "%sm_check",
    ),
    _Known(
        "health check",
        r"did not pass the ping health check",
        "The container did not answer /ping with 200 in time.",
        "A large model may take longer to load than the container is given; the log says how far it came.",
        "--container-startup-health-check-timeout 600",
    ),
)


SYMPTOMS = frozenset(row.name for row in _SYMPTOMS)
"""Names of the causes that are only what came of one."""


def known(reason: str, log: Sequence[str] = (), exception: str = "") -> Cause | None:
    """Return the cause of a failure, None if it is not known.

    Parameters
    ----------
    reason
        SageMaker's ``FailureReason``, or the message of a refused request.
    log
        The lines that the containers printed.
    exception
        The Python exception that ended it, where one was found in the log.
    """
    said = "\n".join([reason, exception, *log[-_LONGEST:]])
    cause = _first(_TABLE, said)
    if cause is None and exception:
        advice = remedy(exception, handler="", files=())
        # The exception itself is the cause, and stands above.
        return Cause("exception", "", advice.fix, advice.paste) if advice.fix else None
    return cause or _first(_SYMPTOMS, said)


def _first(table: Sequence[_Known], said: str) -> Cause | None:
    for row in table:
        found = re.search(row.says, said, re.MULTILINE)
        if found:
            words = {name: value or "" for name, value in found.groupdict().items()}
            what = re.sub(" +", " ", row.what.format(**words))
            return Cause(row.name, what, row.fix.format(**words), row.paste.format(**words) if words else row.paste)
    return None
