"""A training job that exists: how it is, what it measured and printed, what it left, and the package of that."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sm_magics.errors import (
    BackendError,
    EndpointNotFound,
    Interrupted,
    TrainingJobError,
    TrainingJobFailed,
    TrainingJobNotFound,
    TrainingJobTimeout,
)
from sm_magics.packaging import Package
from sm_magics.progress import Listener, Progress, ignore
from sm_magics.settings import LOCAL, Settings

from . import diagnosis, faults, logs, names, outputs
from .connection import Connection, connect
from .resource import Resource

COMPLETED = "Completed"
MOVING = frozenset({"InProgress", "Stopping"})
"""The statuses of a job that will have another one (TrainingJobStatus in the SageMaker API reference)."""

POLL_SECONDS = {True: 0.1, False: 10.0}
LOG_GROUP = "/aws/sagemaker/TrainingJobs"


@dataclass(frozen=True)
class Metric:
    """The last value of a metric that the job's ``MetricDefinitions`` found in its log."""

    name: str
    value: float
    when: datetime | None = None


@dataclass(repr=False)
class TrainingJob(Resource):
    """A SageMaker training job, identified by where it is and its name.

    Attributes
    ----------
    started, ended
        When; aware datetimes, None for what has not come yet.
    billable_seconds
        What AWS bills, None while it runs.
    image, instance_type, instance_count
        What it runs on.
    model_uri
        Where in S3 its model is or will be: a ``model.tar.gz``, or a prefix.
    raw
        DescribeTrainingJob's answer.
    """

    started: datetime | None = None
    ended: datetime | None = None
    billable_seconds: int | None = None
    image: str = ""
    instance_type: str = ""
    instance_count: int = 0
    model_uri: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_moving(self) -> bool:
        """Whether it ran when last fetched."""
        return self.status in MOVING

    @property
    def hyperparameters(self) -> Mapping[str, Any]:
        """What the script was given; the SDK's own are left out, and what it wrote as JSON is read."""
        given = self.raw.get("HyperParameters") or {}
        return {name: _read(value) for name, value in given.items() if not name.startswith("sagemaker_")}

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The last value of each metric; while it runs those so far."""
        found = self.raw.get("FinalMetricDataList") or ()
        return tuple(Metric(one["MetricName"], one["Value"], one.get("Timestamp")) for one in found)

    @property
    def program(self) -> str:
        """The training script, empty where the SDK does not say."""
        return str(_read((self.raw.get("HyperParameters") or {}).get("sagemaker_program", "")))

    @property
    def artifacts(self) -> tuple[outputs.Output, ...]:
        """What it left as its model. Looked through in S3 each time; nothing is kept.

        Raises
        ------
        TrainingJobError
            If it still runs, or left nothing.
        """
        return outputs.listed(self._left(), self.connection)

    @property
    def estimator(self) -> Any:
        """The job as the SageMaker SDK 2 attaches to it: a ``sagemaker.pytorch.PyTorch``. Waits until it has ended.

        Raises
        ------
        ConfigurationError
            If SDK 2 is not installed.
        """
        from sm_magics import sdk

        connection = self.connection
        return sdk.attached_estimator(self.name, connection.session, connection.bucket)

    def fetch(self) -> TrainingJob:
        """Ask SageMaker how it is; return itself.

        Raises
        ------
        TrainingJobNotFound
            If there is no such job.
        """
        connection = self.connection
        try:
            with connection.calling():
                raw = connection.client("sagemaker").describe_training_job(TrainingJobName=self.name)
        except (BackendError, EndpointNotFound) as error:
            # AWS says only "Requested resource not found."
            if faults.is_missing(error) or "not found" in error.message:
                raise TrainingJobNotFound(
                    f"There is no training job {self.name!r} on {connection.place}.",
                    hint="%sm_attach JOB --region us-west-2    # where it ran",
                ) from error
            raise
        self.raw = raw
        self.status, self.detail = raw["TrainingJobStatus"], raw.get("SecondaryStatus", "")
        self.reason = raw.get("FailureReason") or ""
        self.created = raw.get("CreationTime")
        self.started, self.ended = raw.get("TrainingStartTime"), raw.get("TrainingEndTime")
        self.billable_seconds = raw.get("BillableTimeInSeconds")
        self.image = raw.get("AlgorithmSpecification", {}).get("TrainingImage", "")
        resources = raw.get("ResourceConfig", {})
        self.instance_type = resources.get("InstanceType", "")
        self.instance_count = resources.get("InstanceCount", 0)
        self.model_uri = (raw.get("ModelArtifacts") or {}).get("S3ModelArtifacts", "")
        return self

    def wait(self, timeout: float | None = None, listener: Listener = ignore) -> TrainingJob:
        """Wait until it has ended; return itself, completed.

        Parameters
        ----------
        timeout
            Seconds; None waits as long as it takes.

        Raises
        ------
        TrainingJobFailed
            If it failed or was stopped, with the traceback out of its log where there is one.
        TrainingJobTimeout
            If it still runs. It goes on.
        Interrupted
            On Ctrl-C. It goes on.
        """
        try:
            has_ended = self.settle(POLL_SECONDS[self.where == LOCAL], timeout, listener)
        except KeyboardInterrupt as error:
            raise Interrupted(
                f"Interrupted: {self.name} on {self.place} goes on without this cell.",
                hint=f"%sm_attach {self.name} --wait",
            ) from error
        if not has_ended:
            raise TrainingJobTimeout(
                f"{self.name} on {self.place} is still {self.detail or self.status}. It goes on.",
                hint=f"%sm_attach {self.name} --wait",
            )
        if self.status != COMPLETED:
            raise self.failure()
        return self

    def logs(self) -> list[str]:
        """Return every line that its containers have printed, those of one host after the other's."""
        return logs.of_streams(LOG_GROUP, self.connection, prefix=f"{self.name}/")

    def explain(self) -> diagnosis.Diagnosis | None:
        """Return why it failed, out of SageMaker's reason and its log; None where it has not."""
        if self.status != "Failed":
            return None
        return diagnosis.explain(self.reason, self.known_log())

    def failure(self) -> TrainingJobFailed:
        """Return the error that says why it did not complete."""
        found = self.explain()
        detail = f": {found.text}" if found else f": it is {self.detail or self.status}"
        return TrainingJobFailed(
            f"{self.name} {'failed' if self.status == 'Failed' else 'was stopped'} on {self.place}{detail}",
            hint=f"%sm_attach {self.name} --logs",
            reason=self.reason,
        )

    def package(
        self,
        *,
        name: str = "",
        model_dir: str | Path = ".",
        archive: str | Path | None = None,
        sample: Any = None,
        author: Any = None,
        force: bool = False,
        listener: Listener = ignore,
    ) -> Package:
        """Combine what it left with the code in ``code/``, and return the package.

        The model goes from S3 into the archive as a stream. Where ``code/inference.py`` has no ``model_fn``, one is
        written that fits how the weights were saved.

        Parameters
        ----------
        name
            The package's; by default made from the job's.
        model_dir
            The directory of ``code/``, where ``model.tar.gz`` goes too.
        archive
            Where to write the archive, if not there.
        sample
            An input that the model accepts, for `prove`.
        author
            The session that writes, an `sm_magics.authoring.Author`.
        force
            Replace files that are not ours.

        Raises
        ------
        TrainingJobError
            If it still runs, or left nothing.
        InferenceScriptError
            If it left a state_dict and no code builds the model: a skeleton is written.
        """
        from sm_magics.packaging.trained import package_trained

        uri, connection = self._left(), self.connection
        listener(Progress("Look at", note=self.name))
        left = outputs.listed(uri, connection)
        listener(Progress("Combine", note=self.name))
        written_by = {} if author is None else {"author": author}
        return package_trained(
            lambda: outputs.archive(uri, connection),
            {output.name: output.saved for output in left if output.name.endswith(outputs.MODEL_SUFFIXES)},
            name=name or names.suggest_name(self.name) or "model",
            source=self.name,
            model_dir=model_dir,
            archive=archive,
            sample=sample,
            force=force,
            **written_by,
        )

    def _left(self) -> str:
        """Return where its model is."""
        if self.is_moving or not self.status:
            self.fetch()
        if self.is_moving:
            raise TrainingJobError(
                f"{self.name} on {self.place} is still {self.detail or self.status}: there is no model yet.",
                hint=f"%sm_attach {self.name} --wait",
            )
        if not self.model_uri:
            raise TrainingJobError(
                f"{self.name} left no model: its script saves one into SM_MODEL_DIR.",
                hint='torch.save(model.state_dict(), os.path.join(os.environ["SM_MODEL_DIR"], "model.pth"))',
            )
        return self.model_uri


def attach(name: str, settings: Settings | None = None) -> TrainingJob:
    """Return a training job that exists, whatever image it runs on.

    Raises
    ------
    TrainingJobNotFound
        If there is none of that name.
    """
    settings = settings or Settings()
    return TrainingJob(name, connect(settings).where, settings=settings).fetch()


def listed(connection: Connection, most: int = 100) -> list[TrainingJob]:
    """Return the training jobs at a place, newest first: name, status and times, as ListTrainingJobs has them.

    Parameters
    ----------
    most
        How many at the most, up to the 100 that one request gives.
    """
    with connection.calling():
        answer = connection.client("sagemaker").list_training_jobs(
            SortBy="CreationTime", SortOrder="Descending", MaxResults=most
        )
    return [
        TrainingJob(
            name=row["TrainingJobName"],
            where=connection.where,
            status=row["TrainingJobStatus"],
            created=row["CreationTime"],
            ended=row.get("TrainingEndTime"),
            raw=row,
            settings=connection.settings,
        )
        for row in answer["TrainingJobSummaries"]
    ]


def _read(value: str) -> Any:
    """Return a hyperparameter as the script sees it: the SDK writes all of them as JSON."""
    try:
        return json.loads(value)
    except ValueError:
        return value
