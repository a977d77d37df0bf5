"""What an endpoint is made of and how it does, asked of SageMaker on this machine."""

from __future__ import annotations

import time
import uuid

import pytest

from sm_magics import errors
from sm_magics.hosting import Endpoint, composition, deploy, measuring, removal


@pytest.fixture
def endpoint(machine, pack):
    made = deploy(pack("one"), f"m-{uuid.uuid4().hex[:8]}")
    yield made
    removal.remove(removal.of(made))


def test_requests_and_errors_of_the_last_hour_are_counted(endpoint):
    assert measuring.recent(endpoint).requests == 0
    for _ in range(3):
        endpoint.predict([1])
    with pytest.raises(errors.ModelError):
        endpoint.predict(b"no json")
    measured = measuring.recent(endpoint, time.time() + 1)
    assert (measured.requests, measured.errors) == (4, 1)
    assert 0 < measured.median <= measured.slowest
    assert len(measured.latencies) == measuring.MINUTES
    assert any(value is not None for value in measured.latencies)
    later = measuring.recent(endpoint, time.time() + 2 * 3600)
    assert (later.requests, later.median) == (0, None)


def test_an_endpoint_without_variants_was_not_measured():
    assert measuring.recent(Endpoint("x")) == measuring.Measured()


def test_what_it_is_made_of_is_read_from_its_configuration(endpoint):
    (variant,) = composition.of(endpoint)
    assert variant.instance_count == 1
    assert variant.weight == 1.0
    assert variant.instance_type.startswith("ml.")
    assert "torch" in variant.versions
    assert "Python 3" in variant.versions


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ("1.dkr.ecr.us-west-2.amazonaws.com/pytorch-inference:2.6.0-gpu-py312-cu124", "torch 2.6.0 · Python 3.12"),
        ("me/own:latest", ""),
        ("", ""),
    ],
)
def test_versions_are_told_by_the_tags_of_sagemakers_own_images(image, said):
    assert composition.Variant("A", image=image).versions == said
