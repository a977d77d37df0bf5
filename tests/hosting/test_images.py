"""The container image for a package, out of the SageMaker SDK's own table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sm_magics import sdk
from sm_magics.errors import ConfigurationError
from sm_magics.hosting import images
from sm_magics.settings import Settings

TABLE = sdk.pytorch_images()["inference"]["versions"]
NEWEST = max(TABLE, key=sdk.version_key)


def test_the_image_with_the_notebooks_own_torch_is_chosen_where_there_is_one():
    image = images.choose("2.5.1+cu124", Settings(), "us-west-2")
    assert image.uri == "763104351884.dkr.ecr.us-west-2.amazonaws.com/pytorch-inference:2.5.1-cpu-py311"
    assert (image.torch, image.python) == ("2.5.1", "3.11")
    assert image.gap("2.5.1+cu124") == ""


def test_of_the_images_with_the_same_minor_version_the_newest_is_chosen():
    assert images.choose("1.9.2", Settings(), "us-west-2").torch == "1.9.1"


def test_for_a_torch_that_no_image_has_the_newest_is_chosen_and_the_gap_is_said():
    image = images.choose("99.1.0+cpu", Settings(), "us-west-2")
    assert image.torch == NEWEST
    assert image.gap("99.1.0+cpu") == f"The notebook has torch 99.1.0, the container image torch {NEWEST}."
    assert images.choose("", Settings(), "us-west-2").torch == NEWEST
    assert image.gap("") == ""


@pytest.mark.parametrize(
    ("instance_type", "tag"),
    [
        ("local", "pytorch-inference:2.4.0-cpu-"),
        ("ml.m5.large", "pytorch-inference:2.4.0-cpu-"),
        ("ml.c5n.xlarge", "pytorch-inference:2.4.0-cpu-"),
        ("ml.m7i-flex.large", "pytorch-inference:2.4.0-cpu-"),
        ("ml.t2.medium", "pytorch-inference:2.4.0-cpu-"),
        ("ml.g5.xlarge", "pytorch-inference:2.4.0-gpu-"),
        ("ml.g4dn.xlarge", "pytorch-inference:2.4.0-gpu-"),
        ("ml.p3.2xlarge", "pytorch-inference:2.4.0-gpu-"),
        ("ml.p4d.24xlarge", "pytorch-inference:2.4.0-gpu-"),
        ("ml.c7g.large", "pytorch-inference-graviton:2.4.0-cpu-"),
        ("ml.m6gd.large", "pytorch-inference-graviton:2.4.0-cpu-"),
        ("ml.c6gn.large", "pytorch-inference-graviton:2.4.0-cpu-"),
        ("ml.r8g.large", "pytorch-inference-graviton:2.4.0-cpu-"),
    ],
)
def test_the_instance_type_says_which_processor_the_image_is_for(instance_type, tag):
    assert tag in images.choose("2.4.0", Settings(instance_type=instance_type), "us-west-2").uri


def test_the_registry_is_that_of_the_region():
    assert images.choose("2.4.0", Settings(), "eu-central-1").uri.startswith("763104351884.dkr.ecr.eu-central-1.")
    assert ".dkr.ecr.cn-north-1.amazonaws.com.cn/" in images.choose("2.4.0", Settings(), "cn-north-1").uri


def test_versions_given_are_those_used():
    image = images.choose("2.5.1", Settings(framework_version="2.4", py_version="py311"), "us-west-2")
    assert ":2.4.0-cpu-py311" in image.uri
    image = images.choose("2.5.1", Settings(framework_version="2.3.0"), "us-west-2")
    assert ":2.3.0-" in image.uri


def test_an_image_given_is_taken_as_it_is():
    image = images.choose("2.5.1", Settings(image_uri="1.dkr.ecr.us-west-2.amazonaws.com/mine:1"), "nowhere")
    assert image == images.Image("1.dkr.ecr.us-west-2.amazonaws.com/mine:1")
    assert image.gap("2.5.1") == ""


@pytest.mark.parametrize(
    ("settings", "region", "said", "hint"),
    [
        (Settings(framework_version="77.0"), "us-west-2", NEWEST, f"--framework-version {NEWEST}"),
        (Settings(framework_version="2.4", py_version="py27"), "us-west-2", "py311", "--py-version py311"),
        (Settings(), "mars-1", "mars-1", "--region us-west-2"),
    ],
)
def test_an_image_that_does_not_exist_is_refused_naming_those_that_do(settings, region, said, hint):
    with pytest.raises(ConfigurationError) as caught:
        images.choose("2.4.0", settings, region)
    assert said in caught.value.message
    assert caught.value.hint.startswith(hint)


def test_without_an_sdk_an_image_must_be_named(monkeypatch):
    monkeypatch.setattr(sdk.importlib.util, "find_spec", lambda _name: None)
    sdk.pytorch_images.cache_clear()
    try:
        with pytest.raises(ConfigurationError, match="No table") as caught:
            images.choose("2.4.0", Settings(), "us-west-2")
        assert "--image-uri" in caught.value.hint
        assert images.choose("2.4.0", Settings(image_uri="mine"), "us-west-2").uri == "mine"
    finally:
        sdk.pytorch_images.cache_clear()


def test_the_table_of_version_2_of_the_sdk_is_found_where_that_keeps_it(tmp_path, monkeypatch):
    (tmp_path / "image_uri_config").mkdir()
    (tmp_path / "image_uri_config" / "pytorch.json").write_text('{"inference": {}}')

    class Spec:
        submodule_search_locations = (str(tmp_path),)

    monkeypatch.setattr(sdk.importlib.util, "find_spec", lambda _name: Spec)
    sdk.pytorch_images.cache_clear()
    try:
        assert sdk.pytorch_images() == {"inference": {}}
    finally:
        sdk.pytorch_images.cache_clear()


@given(st.text(), st.text())
def test_any_torch_version_and_instance_type_has_an_image(torch, instance_type):
    image = images.choose(torch, Settings(instance_type=instance_type), "us-west-2")
    assert image.torch
    assert isinstance(image.gap(torch), str)


@pytest.mark.parametrize(
    "instance_type", ["ml.g5g.xlarge", "ml.inf2.xlarge", "ml.trn1.2xlarge", "ml.p6e-gb200.36xlarge"]
)
def test_an_instance_whose_processor_no_image_is_built_for_is_refused(instance_type):
    with pytest.raises(ConfigurationError, match="none for it") as caught:
        images.choose("2.4.0", Settings(instance_type=instance_type), "us-west-2")
    assert "--image-uri" in caught.value.hint
    named = Settings(instance_type=instance_type, image_uri="mine")
    assert images.choose("2.4.0", named, "us-west-2").uri == "mine"


def test_serverless_endpoints_have_cpus_whatever_instance_type_is_configured():
    settings = Settings(instance_type="ml.g5.xlarge")
    assert "-cpu-" in images.choose("2.4.0", settings, "us-west-2", serverless=True).uri


def test_a_graviton_image_has_the_tag_that_the_sdk_gives_it():
    newest = max(sdk.pytorch_images()["inference_graviton"]["versions"], key=sdk.version_key)
    uri = images.choose(newest, Settings(instance_type="ml.c7g.large"), "us-west-2").uri
    # SDK 2's table ends before they were called arm64.
    names = {
        "2.6.0": "pytorch-inference-arm64:2.6.0-cpu-py312-ubuntu22.04-sagemaker",
        "2.4.0": "pytorch-inference-graviton:2.4.0-cpu-py311-ubuntu22.04-sagemaker",
    }
    assert uri.endswith(f"/{names[newest]}")
    gap = images.choose("2.5.1", Settings(instance_type="ml.c7g.large"), "us-west-2")
    assert gap.torch == newest
    assert "torch 2.5.1" in gap.gap("2.5.1", "state_dict")


def test_a_pickled_module_gets_the_newest_image_with_its_own_python():
    image = images.choose("99.1", Settings(), "us-west-2", saved_as="module", python="3.11")
    assert image.python == "3.11"
    assert "pickled under" not in image.gap("99.1", "module", "3.11")
    image = images.choose("99.1", Settings(), "us-west-2", saved_as="module", python="3.99")
    assert image.torch == NEWEST
    assert "pickled under Python 3.99" in image.gap("99.1", "module", "3.99")


def test_a_gap_says_what_it_means_for_how_the_weights_are_saved():
    image = images.choose("99.1", Settings(), "us-west-2")
    assert image.gap("99.1", "state_dict").endswith("A state_dict loads under both.")
    assert "operator" in image.gap("99.1", "torchscript")
