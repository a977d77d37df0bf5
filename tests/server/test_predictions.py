"""Payloads go to endpoints and their answers come back; the same request in other words."""

from __future__ import annotations

import ast
import base64
import json

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from sm_magics.display.snippets import Request
from sm_magics.server import predictions, snippets


async def predict(ask, name="served", where="local", **body):
    return await ask("endpoints", where, name, "predictions", send=body)


async def test_json_goes_there_and_back(ask, deployed):
    answer = await predict(ask, body='{"inputs": [1, 2, "é"]}')
    assert answer.status == 200
    assert json.loads(answer.body["body"]) == {"got": {"inputs": [1, 2, "é"]}}
    assert (answer.body["status"], answer.body["encoding"], answer.body["truncated"]) == (200, "text", False)
    assert answer.body["content_type"] == "application/json"
    assert answer.body["size"] == len(answer.body["body"].encode())
    assert answer.body["milliseconds"] > 0


async def test_bytes_go_there_and_back(ask, deployed):
    sent = bytes(range(256))
    answer = await predict(
        ask,
        body=base64.b64encode(sent).decode(),
        encoding="base64",
        content_type="application/octet-stream",
        accept="application/octet-stream",
    )
    assert answer.body["encoding"] == "base64"
    assert base64.b64decode(answer.body["body"]) == sent[::-1]


async def test_a_region_is_asked_as_this_machine_is(ask, deployed, as_aws):
    answer = await predict(ask, where=as_aws, body="3")
    assert json.loads(answer.body["body"]) == {"got": 3}


async def test_what_the_model_raised_is_told_with_its_traceback_and_without_secrets(ask, deployed):
    answer = await predict(ask, body='"raise"')
    assert (answer.status, answer.error["code"]) == (424, "ModelError")
    assert "ValueError: this model does not like it" in answer.error["message"]
    assert "transform_fn" in answer.error["traceback"]
    assert answer.error["status"] == 500
    assert answer.error["milliseconds"] > 0
    assert "hunter2hunter2" not in json.dumps(answer.body)


async def test_an_endpoint_that_is_not_there_is_not_found(ask, deployed):
    answer = await predict(ask, name="nobody-home", body="1")
    assert (answer.status, answer.error["code"]) == (404, "EndpointNotFound")


async def test_an_answer_that_is_long_is_cut(ask, deployed, monkeypatch):
    monkeypatch.setattr(predictions, "MOST_SHOWN", 100)
    answer = await predict(ask, body="250", accept="text/plain")
    assert answer.body["body"] == "x" * 100
    assert (answer.body["size"], answer.body["truncated"]) == (250, True)


@pytest.mark.parametrize("text", ["€" * 50, "a€" * 50, "ab€" * 50, "😀" * 50, "a😀" * 50, "ab😀" * 50, "abc😀" * 50])
def test_a_cut_never_goes_through_a_character(text, monkeypatch):
    for most in range(1, 40):
        monkeypatch.setattr(predictions, "MOST_SHOWN", most)
        found = predictions.shown(text.encode())
        assert found["encoding"] == "text"
        assert text.startswith(found["body"])
        assert most - 4 < len(found["body"].encode()) <= most


@pytest.mark.parametrize("body", [b"\xff\xfe", b"a\0b", b"\x80", b"abc\xc3"])
def test_what_is_no_text_is_base64(body):
    assert predictions.shown(body) == {
        "encoding": "base64",
        "body": base64.b64encode(body).decode(),
        "truncated": False,
    }


def test_bytes_are_cut_anywhere(monkeypatch):
    monkeypatch.setattr(predictions, "MOST_SHOWN", 10)
    found = predictions.shown(b"\xff" * 20)
    assert (found["encoding"], found["truncated"], base64.b64decode(found["body"])) == ("base64", True, b"\xff" * 10)


async def test_a_request_in_other_words(ask, home):
    given = {"body": '{"x": [1]}', "content_type": "application/json", "accept": "text/csv"}
    found = (await ask("endpoints", "us-west-2", "served", "snippets", send=given)).body
    assert set(found) == {"boto3", "sdk", "magics", "curl"}
    for kind in ("boto3", "sdk"):
        ast.parse(found[kind])
        assert "served" in found[kind]
    assert found["magics"] == '%%sm_predict -e served --region us-west-2 --accept text/csv\n{"x": [1]}'
    assert "us-west-2" in found["curl"]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b'{"a": "# no comment; really"}'),
        ("application/json", b"x[:2] %sm_delete served"),
        ("text/csv; header=absent", b"1,2\n3,4"),
        ("text/plain", b"{expr} $name 'quoted\" \\ "),
        ("application/json", b""),
        ("text/plain", b"ends with lines\n\n"),
        ("application/x-npy", b"\x93NUMPY\0"),
    ],
)
def test_the_magics_send_what_the_panel_sent(content_type, body, tmp_path, monkeypatch):
    """They are parsed by the magic itself, and sent by it."""
    shell = InteractiveShell(config=Config(HistoryManager={"enabled": False}))
    shell.run_line_magic("load_ext", "sm_magics")
    asked = {}

    class Endpoint:
        def predict(self, payload, *, content_type, accept, **_):
            asked.update(payload=payload, content_type=content_type, accept=accept)
            raise KeyboardInterrupt

    session = shell.sm_magics_session
    monkeypatch.setattr(type(session), "endpoint", lambda _self, name, options: asked.update(name=name) or Endpoint())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "payload").write_bytes(body)
    request = Request("served", "us-west-2", content_type, "text/plain", body)
    result = shell.run_cell(snippets.magics(request))
    assert isinstance(result.error_in_exec, KeyboardInterrupt)
    assert asked == {"name": "served", "payload": body, "content_type": content_type, "accept": "text/plain"}
