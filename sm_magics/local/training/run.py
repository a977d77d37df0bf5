"""One training job from its first stage to its last: data comes, the script runs, the model goes."""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sm_magics.local.hosting.versions import PYTHON
from sm_magics.local.s3.objects import Objects
from sm_magics.serving.environment import layer
from sm_magics.serving.requirements import RequirementsFailed
from sm_magics.serving.settings import inherited

from .contract import Program, UnavailableError
from .failure import ErrorText, JobFailed, reason, script_failure
from .inputs import ALLOW_CODE, download_channel, download_checkpoints, download_code
from .layout import Layout
from .metrics import Metrics
from .outputs import Synced, synced_folders, upload
from .process import Command, TrainingProcess

_REPOSITORY = "pytorch-training"
#: With one of these in the job's environment, its script is to be somebody else.
_OTHER_CREDENTIALS = {"AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_ENDPOINT_URL", "AWS_ROLE_ARN"}
#: Seconds that a job may run where it does not say (StoppingCondition, AWS API reference).
LONGEST_RUN = 86_400
#: Seconds between two looks at the checkpoints.
_SYNC = 15.0


@dataclass
class StopSignal:
    """Whether a job is to stop, and why.

    Attributes
    ----------
    event
        Set when it is.
    overran
        Whether it is because it took too long, rather than because somebody asked.
    """

    event: asyncio.Event = field(default_factory=asyncio.Event)
    overran: bool = False

    def is_set(self) -> bool:
        """Return whether the job is to stop."""
        return self.event.is_set()


def longest_run(request: Mapping[str, Any]) -> int:
    """Return the seconds after which a job is stopped."""
    seconds: int = request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", LONGEST_RUN)
    return seconds


class TrainingRun:
    """What happens to one job. `Stages` is told how far it is.

    Parameters
    ----------
    request
        As it was sent.
    arn, region
        Of the job.
    python
        The interpreter for a job whose environment names none.
    credentials
        Variables with which the script's AWS clients use this machine as the job's role, unless the job's environment
        has other credentials.
    log
        Gets each line.
    publish
        Gets each metric: its name, value and time.
    grace
        Seconds between SIGTERM and SIGKILL.

    Attributes
    ----------
    stopping
        To be set when the job is to stop.
    final_metrics
        ``FinalMetricDataList``, once the script has run.
    """

    def __init__(
        self,
        request: Mapping[str, Any],
        layout: Layout,
        objects: Objects,
        *,
        arn: str,
        region: str,
        python: str,
        credentials: Mapping[str, str],
        log: Callable[[str], None],
        publish: Callable[[str, float, float], None],
        grace: float,
    ) -> None:
        self._request = request
        self._layout = layout
        self._objects = objects
        self._arn = arn
        self._region = region
        self._environ = dict(request.get("Environment", {}))
        self._python = self._environ.pop(PYTHON, python)
        self._environ.pop(ALLOW_CODE, None)
        self._credentials = {} if _OTHER_CREDENTIALS & set(self._environ) else credentials
        self._log = log
        self._grace = grace
        self._metrics = Metrics(request["AlgorithmSpecification"].get("MetricDefinitions", []), publish)
        self._process: TrainingProcess | None = None
        self._closed = False
        self.final_metrics: list[dict[str, Any]] = []
        self.stopping = StopSignal()

    @property
    def image(self) -> str:
        """The training image."""
        return str(self._request["AlgorithmSpecification"]["TrainingImage"])

    async def download(self) -> None:
        """Bring everything into place that the script will look for.

        Raises
        ------
        JobFailed
            If something is missing, or the image is not one that runs here.
        """
        repository = self.image.rpartition("/")[2].partition("@")[0].partition(":")[0]
        if repository != _REPOSITORY:
            raise JobFailed(
                f"ClientError: The training image {self.image} cannot run on this machine: only "
                f"{_REPOSITORY} images can."
            )
        await asyncio.to_thread(self._layout.make)
        self._layout.write_configuration(self._request)
        for channel in self._request.get("InputDataConfig", []):
            await download_channel(channel, self._objects, self._layout, self._is_over)
        for path, url in self._synced():
            if self._request.get("CheckpointConfig", {}).get("S3Uri") == url:
                await download_checkpoints(url, self._objects, path, self._is_over)

    async def train(self) -> None:
        """Run the script. Returns also when it was stopped, whatever it made of that.

        Raises
        ------
        JobFailed
            If it fails.
        """
        await self._metrics.start()
        folders = [Synced(self._objects, path, url) for path, url in self._synced()]
        for folder in folders:
            await folder.take_note()
        syncing = asyncio.create_task(_keep_synced(folders))
        overrun = asyncio.get_running_loop().call_later(longest_run(self._request), self._overrun)
        failure: JobFailed | None = None
        try:
            await self._run_container()
        except JobFailed as error:
            failure = error
        finally:
            overrun.cancel()
            syncing.cancel()
            await asyncio.gather(syncing, return_exceptions=True)
        for folder in folders:
            await folder.sync()
        self.final_metrics = await self._metrics.finish()
        if failure:
            raise failure

    async def upload(self) -> None:
        """Put into S3 what the script has left.

        Raises
        ------
        JobFailed
            If it does not get there.
        """
        await upload(self._request, self._objects, self._layout, lambda: self._closed)

    async def close(self) -> None:
        """End what runs and remove the folders."""
        self._closed = True
        if self._process:
            await self._process.kill()
        await self._metrics.close()
        await asyncio.to_thread(self._layout.remove)

    # The container

    async def _run_container(self) -> None:
        specification = self._request["AlgorithmSpecification"]
        try:
            python = await asyncio.to_thread(layer, self._layout.environment, self._python)
            self._write_commands(python)
        except (RequirementsFailed, OSError) as error:
            raise JobFailed(
                f"ClientError: The Python interpreter {self._python} cannot run the job: "
                f"{str(error).strip().splitlines()[-1]}"
            ) from error
        environ = self._container_environ(python)
        command = [*specification.get("ContainerEntrypoint", []), *specification.get("ContainerArguments", [])]
        if specification.get("ContainerEntrypoint"):
            arguments = [self._layout.local(argument) for argument in command]
            message = ErrorText()
            status = await self._execute(Command(arguments, environ, self._layout.root, whole_group=True), message)
            failed = status != 0
        else:
            failed = not await self._run_program(python, environ)
            status = 1  # the toolkit's own, whatever the script's
        if failed and not self.stopping.is_set():
            raise JobFailed(reason(self._layout.output / "failure", status))

    async def _run_program(self, python: str, environ: dict[str, str]) -> bool:
        """Do what the toolkit does: install requirements, run the script, write what was wrong into ``failure``."""
        hyperparameters = {
            name: self._layout.local(value) for name, value in self._request.get("HyperParameters", {}).items()
        }
        program = Program.of(hyperparameters, environ)
        code = self._layout.code
        await download_code(program, self._objects, self._layout)
        try:
            command = program.command(python, code)
        except UnavailableError as error:
            self._report(f"Framework Error: \n{error}")
            return False
        environ = {**environ, **program.environ(self._layout, str(self._request["TrainingJobName"]))}
        environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(code), environ.get("PYTHONPATH", "")]))
        steps = [("ExecuteUserScriptError", ErrorText(), command)]
        if (code / "requirements.txt").exists():
            pip = [python, "-m", "pip", "install", "--disable-pip-version-check", "-r", "requirements.txt"]
            # pip marks its errors itself.
            steps.insert(0, ("InstallRequirementsError", ErrorText("ERROR:"), pip))
        for error_name, message, arguments in steps:
            self._log(f"Invoking: {' '.join(arguments)}")
            whole_group = arguments[0] == "/bin/sh"
            status = await self._execute(Command(arguments, environ, code, whole_group=whole_group), message)
            if self.stopping.is_set():
                return True
            if status:
                self._report(script_failure(error_name, status, message, arguments))
                if "/opt/ml" in str(message):
                    self._log(
                        f"On this machine /opt/ml is {self._layout.root}: use SM_MODEL_DIR, SM_CHANNEL_… instead."
                    )
                return False
        self._log("Reporting training SUCCESS")
        return True

    def _report(self, message: str) -> None:
        failure = self._layout.output / "failure"
        if not failure.exists():
            failure.write_text(message, encoding="utf-8")
        self._log("Reporting training FAILURE")
        for line in message.splitlines():
            self._log(line)

    async def _execute(self, command: Command, message: ErrorText) -> int:
        if self.stopping.is_set():
            return 0

        def heard(line: str) -> None:
            self._log(line)
            self._metrics.feed(line)
            message.feed(line)

        self._process = process = await TrainingProcess.start(command, heard)
        ended = asyncio.ensure_future(process.wait())
        stopped = asyncio.ensure_future(self.stopping.event.wait())
        try:
            await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                process.stop()
                await asyncio.wait({ended}, timeout=self._grace)
            if not ended.done():
                await process.kill()
            return await ended
        finally:
            stopped.cancel()
            if not ended.done():
                ended.cancel()
                await process.kill()

    def _container_environ(self, python: str) -> dict[str, str]:
        base = inherited(os.environ)
        name = str(self._request["TrainingJobName"])
        commands = [self._layout.bin, Path(python).parent, Path(self._python).parent]
        return {
            **base,
            "PATH": os.pathsep.join([*map(str, commands), base.get("PATH", os.defpath)]),
            "PYTHONUNBUFFERED": "1",
            "PYTHONIOENCODING": "UTF-8",
            "SAGEMAKER_BASE_DIR": str(self._layout.root),
            "TRAINING_JOB_NAME": name,
            "TRAINING_JOB_ARN": self._arn,
            "SAGEMAKER_JOB_NAME": name,
            "SAGEMAKER_REGION": self._region,
            "AWS_REGION": self._region,
            "AWS_DEFAULT_REGION": self._region,
            **self._credentials,
            "NO_PROXY": "127.0.0.1",
            "CURRENT_HOST": "algo-1",
            **{name: self._layout.local(value) for name, value in self._environ.items()},
        }

    def _write_commands(self, python: str) -> None:
        """Make ``python`` and ``pip`` those of the job's own layer: what a script installs is gone with the job."""
        for names, arguments in (
            (("python", "python3"), ""),
            (("pip", "pip3"), " -m pip"),
            (("torchrun",), " -m torch.distributed.run"),
        ):
            for name in names:
                path = self._layout.bin / name
                path.write_text(f'#!/bin/sh\nexec {shlex.quote(python)}{arguments} "$@"\n', encoding="utf-8")
                path.chmod(0o700)

    # What goes on meanwhile

    def _is_over(self) -> bool:
        return self._closed or self.stopping.is_set()

    def _overrun(self) -> None:
        if not self.stopping.is_set():
            self.stopping.overran = True
            self.stopping.event.set()

    def _synced(self) -> list[tuple[Path, str]]:
        folders = [(self._layout.path(path), url) for path, url in synced_folders(self._request)]
        return [(path, url) for path, url in folders if path]


async def _keep_synced(folders: list[Synced]) -> None:
    while folders:
        await asyncio.sleep(_SYNC)
        for folder in folders:
            await folder.sync()
