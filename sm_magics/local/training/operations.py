"""SageMaker's operations on training jobs: what each request means, and what is said of a job."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from sm_magics.local.account import Account
from sm_magics.local.protocol.errors import Kind, invalid, unsupported
from sm_magics.local.resources import Resource, Resources
from sm_magics.local.s3.objects import Objects

from . import metrics
from .contract import Program
from .inputs import check_channels, check_code, check_code_channels
from .jobs import TrainingJobs
from .outputs import check_output, model_url
from .run import LONGEST_RUN

Operation: TypeAlias = Callable[[dict[str, Any]], "dict[str, Any] | Awaitable[dict[str, Any]]"]

#: Members that ask for what a training job on this machine does not do. Refused rather than ignored.
_UNSUPPORTED = ("ServerlessJobConfig", "ModelPackageConfig", "MlflowConfig")
#: Members of the request that DescribeTrainingJob returns as they were sent.
_DEFAULTS = {
    "EnableNetworkIsolation": False,
    "EnableInterContainerTrafficEncryption": False,
    "EnableManagedSpotTraining": False,
    "StoppingCondition": {"MaxRuntimeInSeconds": LONGEST_RUN},
}


class TrainingOperations:
    """The operations by name, each from a request's members to an answer's.

    DebugHookConfig, ProfilerConfig, rules, VpcConfig and spot settings are kept and described, and change nothing:
    SDK 2 sends some of them with every job.
    """

    def __init__(self, jobs: TrainingJobs, resources: Resources, objects: Objects, account: Account) -> None:
        self._jobs = jobs
        self._resources = resources
        self._objects = objects
        self._account = account
        self.operations: Mapping[str, Operation] = {
            "CreateTrainingJob": self._create,
            "DescribeTrainingJob": self._describe,
            "ListTrainingJobs": self._list,
            "StopTrainingJob": self._stop,
            "DeleteTrainingJob": self._delete,
        }

    def _create(self, request: dict[str, Any]) -> dict[str, Any]:
        self._check(request)
        document = {name: value for name, value in request.items() if name != "Tags"}
        return {"TrainingJobArn": self._jobs.create(document, tags=request.get("Tags", []))}

    def _check(self, request: Mapping[str, Any]) -> None:
        for member in _UNSUPPORTED:
            if member in request:
                raise unsupported(f"A training job with {member}")
        if request.get("EnableNetworkIsolation"):
            raise unsupported("Network isolation of a training job")
        # Serverless jobs have none.
        specification = request.get("AlgorithmSpecification", {})
        if "TrainingImage" not in specification:
            raise unsupported("A training job without TrainingImage")
        resources = request.get("ResourceConfig", {})
        if "InstanceGroups" in resources or resources.get("InstanceCount", 1) != 1:
            raise unsupported("A training job of more than one instance")
        if "InstanceType" not in resources:
            raise invalid("ResourceConfig must have an InstanceType.")
        metrics.check(specification.get("MetricDefinitions", []))
        check_output(request, self._objects)
        check_channels(request, self._objects, self._account.region)
        environ = request.get("Environment", {})
        check_code_channels(request, self._objects, self._account.id)
        if not specification.get("ContainerEntrypoint"):
            program = Program.of(request.get("HyperParameters", {}), environ)
            check_code(program, environ, self._objects, self._account.id)

    async def _describe(self, request: dict[str, Any]) -> dict[str, Any]:
        return _description(await self._jobs.described(request["TrainingJobName"]))

    def _list(self, request: dict[str, Any]) -> dict[str, Any]:
        if "WarmPoolStatusEquals" in request or "TrainingPlanArnEquals" in request:
            return {"TrainingJobSummaries": []}  # there are no warm pools and no plans
        jobs, token = self._resources.page(Kind.TRAINING_JOB, "ListTrainingJobs", request)
        return {"TrainingJobSummaries": [_summary(job) for job in jobs], "NextToken": token}

    def _stop(self, request: dict[str, Any]) -> dict[str, Any]:
        self._jobs.stop(request["TrainingJobName"])
        return {}

    def _delete(self, request: dict[str, Any]) -> dict[str, Any]:
        self._jobs.delete(request["TrainingJobName"])
        return {}


def _summary(job: Resource) -> dict[str, Any]:
    return {
        "TrainingJobName": job.name,
        "TrainingJobArn": job.arn,
        "CreationTime": job.created,
        "TrainingEndTime": job.document["ended"],
        "LastModifiedTime": job.modified,
        "TrainingJobStatus": job.status,
        "SecondaryStatus": job.document["stages"][-1]["Status"],
    }


def _description(job: Resource) -> dict[str, Any]:
    document = job.document
    request, started, ended = document["request"], document["started"], document["ended"]
    seconds = round(ended - started) if started and ended else None
    output = {"KmsKeyId": "", "CompressionType": "GZIP", **request["OutputDataConfig"]}
    return {
        **_DEFAULTS,
        **request,
        **_summary(job),
        "OutputDataConfig": output,
        "ModelArtifacts": {"S3ModelArtifacts": model_url(request)},
        "SecondaryStatusTransitions": document["stages"],
        "FailureReason": document["reason"],
        "FinalMetricDataList": document["metrics"] or None,
        "TrainingStartTime": started,
        "TrainingTimeInSeconds": seconds,
        "BillableTimeInSeconds": seconds,
        "ProfilingStatus": "Disabled",
    }
