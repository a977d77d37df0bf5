"""The context object that handlers see, and the little of TorchServe's Python package that they may import.

Same names and behaviour as ``ts/context.py`` of TorchServe 0.12.0: one context per worker, for its whole life; a
request processor per request holds the request's headers and what the handlers set for the answer.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from .metrics import (
    Dimension,
    Metrics,
    MetricsCacheKeyError,
    MetricsCacheTypeError,
    MetricsCacheValueError,
    MetricTypes,
)

_VERSION = "0.12.0"  # of TorchServe


class RequestProcessor:
    """The headers of one request, and the status and headers of its answer.

    Parameters
    ----------
    request_header
        Header names as sent, mapped to values. Query parameters and form fields are in it too, as TorchServe
        puts them there: ``{"body": {"content-type": "…"}}``.
    """

    def __init__(self, request_header: dict[str, Any]) -> None:
        self._status_code: int | None = 200
        self._reason_phrase: str | None = None
        self._response_header: dict[str, str] = {}
        self._request_header = request_header

    def get_request_property(self, key: str) -> Any:
        """Return one header's value, None if there is none. The name's case matters."""
        return self._request_header.get(key)

    def get_request_properties(self) -> dict[str, Any]:
        """Return all headers."""
        return self._request_header

    def report_status(self, code: int, reason_phrase: str | None = None) -> None:
        """Set the answer's status."""
        self._status_code = code
        self._reason_phrase = reason_phrase

    def get_response_status_code(self) -> int | None:
        """Return the answer's status."""
        return self._status_code

    def get_response_status_phrase(self) -> str | None:
        """Return the answer's reason phrase."""
        return self._reason_phrase

    def add_response_property(self, key: str, value: str) -> None:
        """Set one of the answer's headers."""
        self._response_header[key] = value

    def get_response_headers(self) -> dict[str, str]:
        """Return the answer's headers."""
        return self._response_header

    def get_response_header(self, key: str) -> str | None:
        """Return one of the answer's headers."""
        return self._response_header.get(key)


class Context:
    """What a handler gets as its last argument, if it takes one more than it has to.

    Parameters
    ----------
    model_dir
        Path of the model directory, as given to ``model_fn``.

    Attributes
    ----------
    model_name
        ``"model"``, as in the container.
    manifest
        None: the container reads it from a model archive, which SageMaker's model data is not.
    request_ids
        Of the request being answered; None while the model is loaded, as is ``request_processor``.
    """

    def __init__(self, model_dir: str) -> None:
        self.model_name = "model"
        self.manifest: Any = None
        self._system_properties: dict[str, Any] = {
            "model_dir": model_dir,
            "gpu_id": None,
            "batch_size": 1,
            "server_name": "MMS",
            "server_version": _VERSION,
            "limit_max_image_pixels": True,
        }
        self.request_ids: dict[int, str] | None = None
        # Handlers that were written for TorchServe know these names too.
        self._request_processor: list[RequestProcessor] = None  # type: ignore[assignment]
        self._metrics = Metrics(self.model_name)
        self._limit_max_image_pixels = True
        self.model_yaml_config: dict[str, Any] = {}
        self.stopping_criteria: Any = None
        self.header_key_sequence_id = os.getenv("TS_REQUEST_SEQUENCE_ID", "ts_request_sequence_id")
        self.header_key_sequence_start = os.getenv("TS_REQUEST_SEQUENCE_START", "ts_request_sequence_start")
        self.header_key_sequence_end = os.getenv("TS_REQUEST_SEQUENCE_END", "ts_request_sequence_end")

    __hash__ = None  # type: ignore[assignment]  # as TorchServe's, which compares by content

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Context) and self.__dict__ == other.__dict__

    @property
    def system_properties(self) -> dict[str, Any]:
        """What TorchServe says about the model: its directory, and more."""
        return self._system_properties

    @property
    def request_processor(self) -> Any:
        """Of each request being answered: here always one."""
        return self._request_processor

    @request_processor.setter
    def request_processor(self, request_processor: Any) -> None:
        self._request_processor = request_processor

    @property
    def metrics(self) -> Metrics:
        """Where handlers report metrics."""
        return self._metrics

    @metrics.setter
    def metrics(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def get_request_id(self, idx: int = 0) -> str | None:
        """Return the id that the server gave the request."""
        return None if self.request_ids is None else self.request_ids.get(idx)

    def get_request_header(self, idx: int, key: str) -> Any:
        """Return one header of the request, None if it has none of that name. The name's case matters."""
        return self._request_processor[idx].get_request_property(key)

    def get_all_request_header(self, idx: int) -> dict[str, Any]:
        """Return all headers of the request."""
        return self._request_processor[idx].get_request_properties()

    def set_response_content_type(self, idx: int, value: str) -> None:
        """Set the answer's Content-Type. The toolkit does so itself after ``output_fn``."""
        self.set_response_header(idx, "content-type", value)

    def get_response_content_type(self, idx: int) -> str | None:
        """Return the answer's Content-Type."""
        return self.get_response_headers(idx).get("content-type")

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        """Set the answer's status and reason phrase. Does nothing while the model is loaded."""
        if self._request_processor is not None:
            self._request_processor[idx].report_status(code, reason_phrase=phrase)

    def set_all_response_status(self, code: int = 200, phrase: str = "") -> None:
        """Set status and reason phrase of all answers in the batch."""
        for processor in self._request_processor or ():
            processor.report_status(code, reason_phrase=phrase)

    def get_response_status(self, idx: int) -> tuple[int | None, str | None]:
        """Return the answer's status and reason phrase."""
        processor = self._request_processor[idx]
        return processor.get_response_status_code(), processor.get_response_status_phrase()

    def get_response_headers(self, idx: int) -> dict[str, str]:
        """Return the headers that handlers set."""
        return self._request_processor[idx].get_response_headers()

    def set_response_header(self, idx: int, key: str, value: str) -> None:
        """Set one header of the answer."""
        self._request_processor[idx].add_response_property(key, value)

    def get_sequence_id(self, idx: int) -> Any:
        """Return the request's sequence id, None if it is part of no sequence."""
        return self._request_processor[idx].get_request_property(self.header_key_sequence_id)


class PredictionException(Exception):  # noqa: N818 - TorchServe's name
    """TorchServe's own exception for handlers. Raised through the toolkit it is like any other."""

    def __init__(self, message: str, error_code: int = 500) -> None:
        super().__init__(message)
        self.message = message
        self.error_code = error_code

    def __str__(self) -> str:
        return f"{self.message} : {self.error_code}"


def provide_torchserve() -> None:
    """Make ``ts.context``, ``ts.metrics`` and ``ts.utils.util`` importable, with what handlers use of them.

    In the container TorchServe is there. Where it is installed here, the real one is left alone.
    """
    if "ts" in sys.modules or find_spec("ts") is not None:
        return
    contents: dict[str, dict[str, object]] = {
        "ts": {"__version__": _VERSION},
        "ts.context": {"Context": Context, "RequestProcessor": RequestProcessor},
        "ts.metrics": {},
        "ts.metrics.dimension": {"Dimension": Dimension},
        "ts.metrics.metric_type_enum": {"MetricTypes": MetricTypes},
        "ts.metrics.metric_cache_errors": {
            "MetricsCacheKeyError": MetricsCacheKeyError,
            "MetricsCacheTypeError": MetricsCacheTypeError,
            "MetricsCacheValueError": MetricsCacheValueError,
        },
        "ts.utils": {},
        "ts.utils.util": {"PredictionException": PredictionException},
    }
    for name, members in contents.items():
        module = ModuleType(name, "The part of TorchServe that handlers may import.")
        module.__dict__.update(members)
        for member in members.values():
            if isinstance(member, type):
                member.__module__ = name  # as it stands in tracebacks
        if name in {"ts", "ts.metrics", "ts.utils"}:
            module.__path__ = []
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)
