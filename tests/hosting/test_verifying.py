"""An endpoint in service is asked the sample that was recorded with its package."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from sm_magics.hosting import deploy, removal, verifying


@pytest.fixture
def served(machine, pack):
    made = []

    def make(package):
        made.append(deploy(package, f"v-{uuid.uuid4().hex[:8]}"))
        return made[-1]

    yield make
    for endpoint in made:
        removal.remove(removal.of(endpoint))


def test_an_endpoint_that_answers_its_sample_is_verified(served, pack):
    package = replace(pack("one"), sample=[1, 2])
    found = verifying.verify(served(package), package)
    assert found.answered is True
    assert found.what.startswith("Verified")


def test_an_endpoint_in_service_whose_handlers_raise_is_not(served, pack):
    code = (
        "def model_fn(d):\n    return 1\n\ndef transform_fn(model, body, content_type, accept):\n    return {}['x']\n"
    )
    package = replace(pack(code=code), sample=[1, 2])
    found = verifying.verify(served(package), package)
    assert found.answered is False
    assert "KeyError: 'x' (transform_fn, code/inference.py line 5)" in found.what, found.what


def test_without_a_sample_or_for_another_package_nothing_is_sent(served, pack):
    package = pack("one")
    endpoint = served(package)
    assert verifying.verify(endpoint, package) is None
    assert verifying.verify(endpoint, replace(pack("two"), sample=[1])) is None


def test_a_sample_that_is_no_json_is_said_to_be_none(served, pack):
    package = replace(pack("one"), sample={1, 2})
    found = verifying.verify(served(package), package)
    assert found.answered is not True
    assert found.what.startswith("Not verified")
