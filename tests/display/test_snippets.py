"""A request in other words is a program that sends the same."""

from __future__ import annotations

import ast
import json
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sm_magics.display import snippets
from sm_magics.display.snippets import Request

BODIES = st.binary(max_size=50) | st.text(st.characters(codec="utf-8")).map(str.encode)


def request(body=b"[[1, 2]]", region="us-west-2", kind="application/json"):
    return Request("digits", region, kind, "application/json", body)


@pytest.mark.parametrize("write", [snippets.boto3, snippets.sdk])
@given(BODIES, st.sampled_from(["", "us-west-2"]), st.text(st.characters(codec="ascii")))
def test_python_parses_and_holds_what_was_sent(write, body, region, kind):
    program = ast.parse(write(request(body, region, kind)))
    literals = {node.value for node in ast.walk(program) if isinstance(node, ast.Constant)}
    assert {"digits", kind, "application/json"} <= literals
    assert (
        body in literals
        or body.decode("utf-8", "replace") in literals
        or any(str(one).startswith("payload.") for one in literals)
    )
    assert not region or region in literals


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_a_shell_gets_the_body_as_one_word(text):
    words = shlex.split(snippets.curl(request(text.encode())))
    assert words[words.index("--data-binary") + 1] == text


def test_what_is_binary_or_long_comes_from_a_file():
    assert 'open("payload.npy", "rb").read()' in snippets.boto3(request(b"\xff", kind="application/x-npy"))
    assert "@payload.json" in snippets.curl(request(json.dumps([0] * 5000).encode()))


def test_no_key_is_in_it_and_this_machine_says_where_they_come_from():
    for write in (snippets.boto3, snippets.sdk, snippets.curl):
        assert "sm_magics.local env" in write(request(region=""))
        assert "sm_magics" not in write(request())
    assert "$AWS_SECRET_ACCESS_KEY" in snippets.curl(request())
