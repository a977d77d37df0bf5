"""An endpoint in service is asked the sample that was recorded with its package."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from sm_magics.hosting import deploy, removal, verifying
from sm_magics.packaging.report import Report, Step
from sm_magics.progress import Progress

RAISES = """
def model_fn(d):
    return 1

def transform_fn(model, body, content_type, accept):
    return {}['x']
"""


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
    package = replace(pack(code=RAISES), sample=[1, 2])
    found = verifying.verify(served(package), package)
    assert found.answered is False
    assert "KeyError: 'x' (transform_fn, code/inference.py line 6)" in found.what, found.what


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


def proof(package, answer, compared="passed"):
    step = Step("compare", compared, "gives the same answer as the notebook")
    return Report("p", package.digest, (step,), answer=answer, content_type="application/json")


def test_an_answer_that_is_the_notebooks_is_said_to_be(served, pack):
    package = replace(pack("one"), sample=[1, 2.0])
    endpoint = served(package)
    assert endpoint.verified is True
    assert [note for note in endpoint.notes if note.startswith("Verified")]
    found = verifying.verify(endpoint, package, proof(package, ["one", [1, 2.0001]]))
    assert found == verifying.Verification(True, "Verified: it answers the recorded sample as the notebook does.")


@pytest.mark.parametrize(
    ("answer", "said"),
    [(["one", [1, 2.5]], "answer[1]"), (["two", [1, 2]], "answer[0]"), ([["one"], [1, 2], 7], "is missing")],
)
def test_an_answer_that_is_not_the_notebooks_is_said_with_where_it_differs(served, pack, answer, said):
    package = replace(pack("one"), sample=[1, 2])
    found = verifying.verify(served(package), package, proof(package, answer))
    assert found.answered is False
    assert said in found.what
    assert "otherwise than the notebook" in found.what


def test_an_answer_that_the_proof_was_not_sure_of_is_not_compared(served, pack):
    package = replace(pack("one"), sample=[1, 2])
    endpoint = served(package)
    other = proof(package, ["two", 3])
    assert verifying.verify(endpoint, package, replace(other, digest="another")).answered
    assert verifying.verify(endpoint, package, proof(package, ["two", 3], "skipped")).answered


def test_deploying_says_what_came_of_the_sample(machine, pack):
    broken = (
        "def model_fn(d):\n    return 1\n\ndef transform_fn(model, body, content_type, accept):\n    return {}['x']\n"
    )
    package, name, told = replace(pack(code=broken), sample=[1]), f"v-{uuid.uuid4().hex[:8]}", []
    endpoint = deploy(package, name, listener=told.append)
    try:
        assert endpoint.is_in_service
        assert endpoint.verified is False
        assert "KeyError: 'x'" in endpoint.notes[-1]
        phases = [event.phase for event in told if isinstance(event, Progress)]
        assert phases[-1] == verifying.PHASE
        assert deploy(package, name).verified is False  # unchanged, and asked again
        assert deploy(replace(package, sample=None), name).verified is None
    finally:
        removal.remove(removal.of(endpoint))
