"""The shape that an answer and an error take in each of AWS's protocols.

What botocore reads an error's code from: JSON 1.x the body's ``__type`` (the header alone gives the code "400"),
rest-json the header ``x-amzn-errortype``, query and S3 their XML.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from enum import Enum
from typing import Any, TypeAlias
from xml.etree import ElementTree as ET

from . import cbor
from .errors import ApiError
from .wire import Response

#: An XML element's content: text, members, or a list of either for an element that repeats.
Content: TypeAlias = "ET.Element | str | int | bool | Mapping[str, Any] | list[Any] | None"

#: Characters that XML 1.0 cannot hold, not even escaped.
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Protocol(Enum):
    """How a service speaks."""

    JSON = "json"
    REST_JSON = "rest-json"
    QUERY = "query"
    CBOR = "rpc-v2-cbor"
    S3 = "rest-xml"


#: By the service name in the signed scope. What is signed for `sagemaker` without a target is the runtime (rest-json);
#: CloudWatch is spoken to in more than one.
PROTOCOLS = {
    "sagemaker": Protocol.JSON,
    "logs": Protocol.JSON,
    "s3": Protocol.S3,
    "sts": Protocol.QUERY,
    "iam": Protocol.QUERY,
}


def json_answer(document: Any, status: int = 200) -> Response:
    """Return a JSON 1.1 answer."""
    return Response(status, [("content-type", "application/x-amz-json-1.1")], json.dumps(document).encode())


def cbor_answer(content: Any, status: int = 200) -> Response:
    """Return an answer in CBOR."""
    headers = [("content-type", cbor.CONTENT_TYPE), (cbor.HEADER, cbor.NAME)]
    return Response(status, headers, cbor.dumps(content))


def xml_answer(root: str, content: Content, *, namespace: str = "", status: int = 200) -> Response:
    """Return an XML answer, declared and encoded as UTF-8."""
    element = ET.Element(root, {"xmlns": namespace} if namespace else {})
    _fill(element, content)
    body = ET.tostring(element, encoding="utf-8", xml_declaration=True)
    return Response(status, [("content-type", "application/xml")], body)


def _fill(element: ET.Element, content: Content) -> None:
    if isinstance(content, Mapping):
        for name, item in content.items():
            for one in item if isinstance(item, list) else [item]:
                if one is not None:
                    _fill(ET.SubElement(element, name), one)
    elif isinstance(content, ET.Element):
        element.attrib.update(content.attrib)
        element.extend(content)
    elif isinstance(content, bool):
        element.text = "true" if content else "false"
    elif content is not None:
        element.text = _ILLEGAL.sub("\ufffd", str(content))


def error_answer(error: ApiError, protocol: Protocol, request_id: str) -> Response:
    """Return an error as the protocol's clients read it."""
    if protocol is Protocol.JSON:
        response = json_answer({"__type": error.code, "message": error.message, **error.members}, error.status)
    elif protocol is Protocol.CBOR:
        response = cbor_answer({"__type": error.code, "message": error.message, **error.members}, error.status)
    elif protocol is Protocol.REST_JSON:
        body = json.dumps({"Message": error.message, **error.members}).encode()
        response = Response(error.status, [("content-type", "application/json")], body)
    elif protocol is Protocol.QUERY:
        content = {
            "Error": {"Type": "Sender", "Code": error.code, "Message": error.message},
            "RequestId": request_id,
        }
        response = xml_answer("ErrorResponse", content, status=error.status)
    else:
        content = {"Code": error.code, "Message": error.message, **error.members, "RequestId": request_id}
        response = xml_answer("Error", content, status=error.status)
        response.headers.append(("x-amz-request-id", request_id))
        return response
    response.headers.append(("x-amzn-errortype", error.code))
    return response
