"""What can be asked of a deployment on ``%sm_deploy``'s line, and its plan shown or written in place of deploying."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from IPython.core.error import UsageError
from IPython.core.magic_arguments import argument

from sm_magics.errors import FileConflictError

from . import parsing

if TYPE_CHECKING:
    from sm_magics.display.page import Shown
    from sm_magics.hosting import DeploymentPlan
    from sm_magics.hosting.variants import Options

TARGETS = {"boto3": "boto3", "sdk2": "SageMaker SDK 2", "sdk3": "SageMaker SDK 3"}
_EXPORTED = "Deploys the SageMaker endpoint "


def deployment_options(function: parsing.Magic) -> parsing.Magic:
    """Add the options that hold for one deployment."""
    return parsing.with_options(
        function,
        argument("--initial-instance-count", type=int, default=1, metavar="N", help="instances; here: workers"),
        argument("--env", metavar="NAME=VALUE", action="append", default=[], help="container's variable; repeatable"),
        argument("--serverless-memory", type=int, metavar="MB", help="serverless, with this memory: 1024 to 6144"),
        argument("--max-concurrency", type=int, metavar="N", help="serverless: requests at a time; default: 5"),
        argument(
            "--data-capture",
            nargs="?",
            const="",
            metavar="S3URI",
            help="keep requests and answers in S3; default: in the deployment's bucket",
        ),
        argument("--capture-sampling", type=int, metavar="PERCENT", help="how many are kept; default: 100"),
        argument("--capture", metavar="WHAT", help="REQUEST, RESPONSE or both; default: REQUEST,RESPONSE"),
        argument("--volume-size", type=int, metavar="GB", help="size of each instance's volume"),
        argument("--model-data-download-timeout", type=int, metavar="SECONDS", help="60 to 3600"),
        argument("--container-startup-health-check-timeout", type=int, metavar="SECONDS", help="60 to 3600"),
        argument("--tags", metavar="KEY=VALUE", action="append", default=[], help="tag of what is made; repeatable"),
        argument("--create-bucket", action="store_true", help="create the bucket if it is not there"),
        argument("--dry-run", action="store_true", help="show what would be sent, and send nothing"),
        argument("--export", metavar="FILE", help="write it as a script, and send nothing"),
        argument("--export-for", choices=tuple(TARGETS), default="boto3", help="what the script needs; default: boto3"),
    )


def asked(options: argparse.Namespace) -> Options:
    """Return what the options ask of a deployment.

    Raises
    ------
    UsageError
        If two of them do not go together.
    """
    from sm_magics.hosting.variants import DataCapture, Options, Serverless

    if options.initial_instance_count < 1:
        raise UsageError("%sm_deploy: --initial-instance-count is at least 1.\n  hint: %sm_deploy?")
    if options.max_concurrency is not None and options.serverless_memory is None:
        raise _needs("--max-concurrency", "--serverless-memory 2048")
    if options.data_capture is None:
        for flag, value in (("--capture-sampling", options.capture_sampling), ("--capture", options.capture)):
            if value is not None:
                raise _needs(flag, "--data-capture")
    serverless = capture = None
    if options.serverless_memory is not None:
        most = 5 if options.max_concurrency is None else options.max_concurrency
        serverless = Serverless(options.serverless_memory, most)
    if options.data_capture is not None:
        modes = tuple(word.strip().upper() for word in (options.capture or "REQUEST,RESPONSE").split(",") if word)
        share = 100 if options.capture_sampling is None else options.capture_sampling
        capture = DataCapture(options.data_capture, share, modes)
    return Options(
        initial_instance_count=options.initial_instance_count,
        env=pairs("--env", options.env, "MODEL_SIZE=small"),
        serverless=serverless,
        data_capture=capture,
        volume_size=options.volume_size,
        model_data_download_timeout=options.model_data_download_timeout,
        container_startup_health_check_timeout=options.container_startup_health_check_timeout,
        tags=pairs("--tags", options.tags, "team=vision"),
        create_bucket=options.create_bucket,
    )


def pairs(flag: str, given: list[str], example: str) -> dict[str, str]:
    """Return the values of a repeatable option ``NAME=VALUE``."""
    parted = [pair.partition("=") for pair in given]
    for name, equals, _ in parted:
        if not equals or not name:
            raise UsageError(f"{flag} takes NAME=VALUE, not {name!r}.\n  hint: %sm_deploy {flag} {example} …")
    return {name: value for name, _, value in parted}


def _needs(flag: str, other: str) -> UsageError:
    return UsageError(f"%sm_deploy: {flag} goes with {other.split(maxsplit=1)[0]}.\n  hint: {other} {flag} …")


def is_only_planned(options: argparse.Namespace) -> bool:
    """Return whether a command sends nothing."""
    return bool(options.dry_run or options.export)


def show(plan: DeploymentPlan, options: argparse.Namespace) -> Shown:
    """Write a plan as a script if that is asked for; return what is shown of it."""
    from sm_magics.display import planned

    if not options.export:
        return planned.plan(plan)
    path = Path(options.export).expanduser().absolute()
    _write(path, plan, options)
    return planned.script(options.export, TARGETS[options.export_for], plan.env)


def _write(path: Path, plan: DeploymentPlan, options: argparse.Namespace) -> None:
    from sm_magics.hosting import exporting

    try:
        if path.exists() and not options.force and not path.read_text()[3:].startswith(_EXPORTED):
            raise FileConflictError(
                f"{path.name} is there already, and no script of a deployment.",
                hint=f"--export {path.stem}_2.py    # or --force to replace it",
            )
        path.write_text(exporting.script(plan, options.export_for, directory=path.parent))
    except (OSError, UnicodeDecodeError) as error:
        raise FileConflictError(
            f"{path} cannot be written: {getattr(error, 'strerror', None) or error}.", hint="--export deploy.py"
        ) from error


def is_job_name(text: str) -> bool:
    """Return whether a word can only be a training job's name: no expression of a notebook reads like this."""
    return "-" in text and re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", text) is not None
