"""Every error that sm_magics raises, in one tree.

::

    SmMagicsError                    a sentence, and a hint that can be pasted
    ├── Interrupted                  Ctrl-C; a KeyboardInterrupt too
    ├── ExpressionError              a variable or expression of the notebook that cannot be had
    ├── ConfigurationError           settings, credentials, region, a missing extra
    ├── AuthoringError               a cell or a file under code/
    │   ├── CellSyntaxError          the cell does not parse; nothing was written
    │   ├── HandlerContractError     handlers that the container would refuse
    │   └── FileConflictError        a file that is not ours to replace
    ├── PackagingError               from the model variable to model.tar.gz
    │   ├── UnsupportedModelError    the value is no model, or one that cannot be saved
    │   ├── InferenceScriptError     code/ and the model do not fit together
    │   ├── ArchiveError             a model.tar.gz whose layout SageMaker would not read
    │   └── ProofFailed              a package that fails in a clean process; `.report`
    ├── DeploymentError              from model.tar.gz to an endpoint in service
    │   ├── EndpointFailed           SageMaker gave up on it; `.reason`, `.log`, `.endpoint`, `.diagnosis`
    │   ├── EndpointTimeout          still not in service; it may come up yet
    │   ├── DeploymentInterrupted    an Interrupted, while an endpoint comes up
    │   └── EndpointConflictError    the name belongs to somebody else's endpoint
    ├── EndpointNotFound             no endpoint of that name
    ├── TrainingJobError             a training job, or what it left
    │   ├── TrainingJobNotFound      no training job of that name
    │   ├── TrainingJobFailed        SageMaker, or the script, gave up on it; `.reason`, `.log`
    │   └── TrainingJobTimeout       still running; it goes on
    ├── PredictionError              from a value to an answer
    │   ├── PayloadError             the value cannot be encoded
    │   └── ModelError               the handlers raised; `.traceback`
    └── BackendError                 SageMaker itself: `.code`, `.operation`
        ├── AccessDenied
        ├── Throttled
        └── ServiceUnavailable       nothing answers at that address

All are ordinary exceptions. In a notebook they show as two lines, the sentence and the hint: IPython asks an
exception for ``_render_traceback_``. In Python code they behave, chain and print as any exception does.
"""

from __future__ import annotations


class SmMagicsError(Exception):
    """The base of every error here.

    Parameters
    ----------
    message
        What is wrong, as one sentence. May be followed by further lines (a traceback out of a log).
    hint
        What to do about it: a command, or a line of code, that can be pasted. Empty where there is none.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message

    def _render_traceback_(self) -> list[str]:
        """Return the lines that IPython shows instead of a traceback."""
        lines = [f"{type(self).__name__}: {self.message}"]
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        return lines


class Interrupted(SmMagicsError, KeyboardInterrupt):  # noqa: N818
    """Ctrl-C. The message says what goes on, if anything does."""


class ExpressionError(SmMagicsError):
    """A variable that does not exist, or an expression that raises."""


class ConfigurationError(SmMagicsError):
    """A setting, credential, region or optional dependency is missing or wrong."""


class AuthoringError(SmMagicsError):
    """Something about a cell or a file under ``code/``."""


class CellSyntaxError(AuthoringError):
    """The cell does not parse as Python. Nothing was written."""


class HandlerContractError(AuthoringError):
    """The handlers are ones that the container would refuse to load."""


class FileConflictError(AuthoringError):
    """A file stands in the way that is not ours to replace: a stranger's, another notebook's, or edited by hand."""


class PackagingError(SmMagicsError):
    """Something between the model variable and ``model.tar.gz``."""


class UnsupportedModelError(PackagingError):
    """The value is not a model, or not one that can be saved as it is."""


class InferenceScriptError(PackagingError):
    """The code in ``code/`` and the model do not fit together."""


class ArchiveError(PackagingError):
    """An archive whose layout is not the one that SageMaker reads."""


class ProofFailed(PackagingError):  # noqa: N818
    """The package does not load, does not answer, or answers otherwise than the model, in a clean process.

    Attributes
    ----------
    report
        The `sm_magics.packaging.Report`.
    """

    def __init__(self, message: str, *, hint: str = "", report: object = None) -> None:
        super().__init__(message, hint=hint)
        self.report = report


class DeploymentError(SmMagicsError):
    """Something between ``model.tar.gz`` and an endpoint in service."""


class EndpointFailed(DeploymentError):  # noqa: N818 - SageMaker's own word for the status
    """SageMaker gave up on the endpoint.

    Attributes
    ----------
    reason
        SageMaker's ``FailureReason``.
    log
        The last lines of the endpoint's log, with the traceback where there is one.
    endpoint
        The `sm_magics.hosting.Endpoint`, as it was then.
    diagnosis
        Reason and log, read: an `sm_magics.hosting.Diagnosis`. None if neither says anything.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        reason: str = "",
        log: str = "",
        endpoint: object = None,
        diagnosis: object = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason
        self.log = log
        self.endpoint = endpoint
        self.diagnosis = diagnosis


class EndpointTimeout(DeploymentError):  # noqa: N818
    """The endpoint is not in service yet. It may come up later."""


class DeploymentInterrupted(DeploymentError, Interrupted):  # noqa: N818
    """Ctrl-C while waiting for an endpoint. What was started goes on; the message says what and how to end it."""


class EndpointConflictError(DeploymentError):
    """An endpoint of that name exists, and it is not this notebook's to update."""


class EndpointNotFound(SmMagicsError):  # noqa: N818
    """There is no endpoint of that name."""


class TrainingJobError(SmMagicsError):
    """Something about a training job, or about what it left in S3."""


class TrainingJobNotFound(TrainingJobError):  # noqa: N818
    """There is no training job of that name."""


class TrainingJobFailed(TrainingJobError):  # noqa: N818 - SageMaker's own word for the status
    """The training job failed, or was stopped.

    Attributes
    ----------
    reason
        SageMaker's ``FailureReason``.
    log
        What its containers printed.
    """

    def __init__(self, message: str, *, hint: str = "", reason: str = "", log: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason
        self.log = log


class TrainingJobTimeout(TrainingJobError):  # noqa: N818
    """The training job still runs. It goes on."""


class PredictionError(SmMagicsError):
    """Something between a value and its answer."""


class PayloadError(PredictionError):
    """The value cannot be encoded as the content type asked for, or the answer cannot be decoded."""


class ModelError(PredictionError):
    """The endpoint's own handlers raised.

    Attributes
    ----------
    traceback
        The Python traceback out of the worker, empty if there was none.
    status
        HTTP status that the container gave, 0 for a time-out.
    diagnosis
        The traceback, read: an `sm_magics.hosting.Diagnosis`. None if there was none.
    """

    def __init__(
        self, message: str, *, hint: str = "", traceback: str = "", status: int = 500, diagnosis: object = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.traceback = traceback
        self.status = status
        self.diagnosis = diagnosis


class BackendError(SmMagicsError):
    """SageMaker, S3 or another service refused or failed a request.

    Attributes
    ----------
    code
        The service's error code, such as ``ValidationException``.
    operation
        The API operation, such as ``CreateEndpoint``.
    """

    def __init__(self, message: str, *, hint: str = "", code: str = "", operation: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.operation = operation


class AccessDenied(BackendError):  # noqa: N818
    """The credentials do not allow the operation, or there are none."""


class Throttled(BackendError):  # noqa: N818
    """The service asks for fewer requests."""


class ServiceUnavailable(BackendError):  # noqa: N818
    """Nothing answers at the service's address."""
