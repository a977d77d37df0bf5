"""Who may ask, and how: authentication, XSRF, the base URL, sizes; every refusal has one form."""

from __future__ import annotations

import json
import re

import pytest

from sm_magics.server.routes import ROUTES

ADDRESSES = {
    "endpoints/(?P<where>[^/]+)/(?P<name>[^/]+)": "endpoints/local/served",
    "training-jobs/(?P<where>[^/]+)/(?P<name>[^/]+)": "training-jobs/local/job",
    "removals/(?P<id>[^/]+)": "removals/none",
}


def address(route):
    found = route.pattern
    for pattern, example in ADDRESSES.items():
        found = found.replace(pattern, example)
    assert re.fullmatch(route.pattern, found)
    return found.split("/")


ALL = [(address(route), method) for route in ROUTES for method in ("GET", "POST")]


@pytest.fixture
def jp_server_config():
    # What is not told to be anonymous asks for authentication, as in a Studio or a hub.
    return {"ServerApp": {"jpserver_extensions": {"sm_magics": True}, "allow_unauthenticated_access": False}}


async def test_every_route_wants_a_token(ask):
    for path, method in ALL:
        more = {"method": "POST", "body": "{}"} if method == "POST" else {}
        answer = await ask(*path, headers={"Authorization": ""}, **more)
        assert answer.status in {401, 403}, (path, method)
        assert answer.error["code"] == "Forbidden"
        wrong = await ask(*path, headers={"Authorization": "token nonsense"}, **more)
        assert wrong.status in {401, 403}


async def test_a_cookie_alone_changes_nothing(ask, jp_serverapp):
    token = jp_serverapp.identity_provider.token
    first = await ask("removals", headers={"Authorization": ""}, query={"token": token})
    cookies = "; ".join(cookie.partition(";")[0] for cookie in first.headers.get_list("Set-Cookie"))
    assert "username" in cookies
    with_cookie = {"Authorization": "", "Cookie": cookies}
    assert (await ask("removals", headers=dict(with_cookie))).status == 200
    for path in [address(route) for route in ROUTES if route.post]:
        answer = await ask(*path, headers=dict(with_cookie), method="POST", body="{}")
        assert (answer.status, answer.error["code"]) == (403, "Forbidden")
        assert "_xsrf" in answer.error["message"]
    xsrf = {**with_cookie, "Cookie": f"{cookies}; _xsrf=abc", "X-XSRFToken": "xyz"}
    assert (await ask("local", "start", headers=xsrf, method="POST", body="{}")).status == 403


async def test_what_a_route_does_not_do_is_refused(ask):
    for route in ROUTES:
        answer = await ask(*address(route), send=None if route.post else {})
        if not route.post or not route.get:
            assert (answer.status, answer.error["code"]) == (405, "MethodNotAllowed")
    answer = await ask("removals", method="DELETE")
    assert answer.status == 405


async def test_a_body_that_is_no_json_object_is_refused(ask):
    for body in ("{", "[]", '"x"', "[" * 100_000, b"\xff", "NaN", "1"):
        answer = await ask("endpoints", "local", "served", "predictions", send=body)
        assert (answer.status, answer.error["code"]) == (400, "InvalidRequest"), body[:20]


SENSELESS = [
    {"body": 1},
    {"body": "x", "encoding": "utf-16"},
    {"body": "a", "encoding": "base64"},
    {"body": "é", "encoding": "base64"},
    {"body": "\ud800"},
    {"content_type": ""},
    {"content_type": "text/plain\r\nX-Evil: 1"},
    {"content_type": "x" * 1025},
    {"accept": None},
    {"profile": "a\nb"},
    {"profile": 3},
]


async def test_a_payload_that_makes_no_sense_is_refused(ask, as_aws):
    for body in SENSELESS:
        answer = await ask("endpoints", as_aws, "served", "predictions", send=body)
        assert (answer.status, answer.error["code"]) == (400, "InvalidRequest"), body


async def test_a_payload_is_no_larger_than_sagemaker_takes(ask):
    largest = 25_000_000
    answer = await ask("endpoints", "local", "served", "predictions", send={"body": "x" * (largest + 1)})
    assert (answer.status, answer.error["code"]) == (413, "PayloadTooLarge")
    answer = await ask("endpoints", "local", "served", "predictions", send=b" " * (largest * 2))
    assert (answer.status, answer.error["code"]) == (413, "PayloadTooLarge")


async def test_looking_is_no_activity_that_would_keep_a_server_from_being_idle(ask, jp_serverapp):
    settings = jp_serverapp.web_app.settings
    before = settings.get("api_last_activity")
    assert (await ask("removals")).status == 200
    assert settings.get("api_last_activity") == before
    assert (await ask("cells", send={"notebook": "a.ipynb", "cells": []})).status == 200
    assert settings["api_last_activity"] != before


async def test_a_failure_of_ours_says_nothing_of_our_insides(ask, monkeypatch, caplog):
    from sm_magics.server import status

    def broken():
        raise ZeroDivisionError("secret insides")

    monkeypatch.setattr(status, "_here", broken)
    answer = await ask("status", query={"aws": "false"})
    assert (answer.status, answer.error["code"]) == (500, "Internal")
    assert "secret insides" not in json.dumps(answer.body)
    assert "ZeroDivisionError" in caplog.text


async def test_the_service_s_keys_are_in_no_answer_and_no_log(ask, deployed, caplog):
    from sm_magics.home import ServiceAddress

    secret = ServiceAddress.read().secret_key
    told = []
    for route in ROUTES:
        if route.get:
            query = {"where": "local"} if route.get.endswith("listed") else {}
            told.append(str((await ask(*address(route), query=query)).body))
        if route.post and "removal" not in route.pattern:
            told.append(str((await ask(*address(route), send={"body": "1"})).body))
    assert not [one for one in told if secret in one]
    assert secret not in caplog.text
