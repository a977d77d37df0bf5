"""Constraints of the service model, worded as AWS words them."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from local_service import IMAGE, variant

from sm_magics.local.protocol import codec
from sm_magics.local.protocol.errors import ApiError
from sm_magics.local.protocol.validation import pattern
from sm_magics.local.service import service_model

SAGEMAKER = [
    "CreateModel",
    "DescribeModel",
    "ListModels",
    "DeleteModel",
    "CreateEndpointConfig",
    "DescribeEndpointConfig",
    "ListEndpointConfigs",
    "DeleteEndpointConfig",
    "CreateEndpoint",
    "DescribeEndpoint",
    "ListEndpoints",
    "UpdateEndpoint",
    "DeleteEndpoint",
    "AddTags",
    "ListTags",
    "DeleteTags",
]
LOGS = ["DescribeLogGroups", "DescribeLogStreams", "GetLogEvents", "FilterLogEvents"]
SERVED = [*(("sagemaker", name) for name in SAGEMAKER), *(("logs", name) for name in LOGS),
          ("sagemaker-runtime", "InvokeEndpoint")]  # fmt: skip


def shapes(shape, seen):
    if shape is None or shape.name in seen:
        return
    seen[shape.name] = shape
    children: list = []
    if shape.type_name == "structure":
        children = list(shape.members.values())
    elif shape.type_name == "list":
        children = [shape.member]
    elif shape.type_name == "map":
        children = [shape.key, shape.value]
    for child in children:
        shapes(child, seen)


@pytest.mark.parametrize(("service_name", "operation"), SERVED)
def test_every_pattern_of_an_operation_that_is_served_can_be_checked(service_name, operation):
    found: dict = {}
    shapes(service_model(service_name).operation_model(operation).input_shape, found)
    for shape in found.values():
        if "pattern" in shape.metadata:
            assert pattern(shape.metadata["pattern"]), shape


@pytest.mark.parametrize(
    ("java", "good", "bad"),
    [
        (r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", ["", "sm-magics:notebook", "Grüße 東京", "a\u00a0b"], ["a;b", "a\nb", "#"]),
        (r"\p{ASCII}*", ["", "text/csv; a=\t"], ["é"]),
        (r"\A\S[\p{Print}]*\z", ["a b"], [" a", "a\n", ""]),
        (r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", ["a", "a--b"], ["a-", "-a", "", "a\n", "a_b"]),
    ],
)
def test_javas_regular_expressions_mean_the_same_here(java, good, bad):
    assert all(pattern(java).fullmatch(text) for text in good)
    assert not any(pattern(java).fullmatch(text) for text in bad)


def message(call, **arguments) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return caught.value.response["Error"]["Message"]


def test_a_bad_name_is_refused_with_every_constraint_it_breaks(service):
    name_pattern = service_model("sagemaker").shape_for("EndpointName").metadata["pattern"]
    assert message(service.sagemaker.create_endpoint, EndpointName="a_b", EndpointConfigName="c") == (
        "1 validation error detected: Value 'a_b' at 'endpointName' failed to satisfy constraint: "
        f"Member must satisfy regular expression pattern: {name_pattern}"
    )
    long = "a" * 64
    assert message(service.sagemaker.create_endpoint, EndpointName=long, EndpointConfigName="c d") == (
        f"3 validation errors detected: Value '{long}' at 'endpointName' failed to satisfy constraint: "
        f"Member must have length less than or equal to 63; Value '{long}' at 'endpointName' failed to satisfy "
        f"constraint: Member must satisfy regular expression pattern: {name_pattern}; Value 'c d' at "
        "'endpointConfigName' failed to satisfy constraint: Member must satisfy regular expression pattern: "
        f"{name_pattern}"
    )


def test_members_inside_lists_are_named_by_their_number(service):
    found = message(
        service.sagemaker.create_endpoint_config,
        EndpointConfigName="c",
        ProductionVariants=[variant("ENTER MODEL NAME", InstanceType="local")],
    )
    assert "Value 'ENTER MODEL NAME' at 'productionVariants.1.member.modelName' failed to satisfy constraint" in found
    assert "Value 'local' at 'productionVariants.1.member.instanceType' failed to satisfy constraint: " in found
    assert "Member must satisfy enum value set: [" in found
    assert found.startswith("2 validation errors detected: ")


def test_a_bad_map_value_lists_all_constraints_of_values(service):
    found = message(
        service.sagemaker.create_model,
        ModelName="m",
        PrimaryContainer={"Image": IMAGE, "Environment": {"K": "v" * 1025}},
    )
    constraints = service_model("sagemaker").shape_for("EnvironmentValue").metadata  # older models have no min here
    assert found == (
        f"1 validation error detected: Value '{{K={'v' * 1025}}}' at 'primaryContainer.environment' failed to satisfy "
        "constraint: Map value must satisfy constraint: [Member must have length less than or equal to 1024, "
        + ("Member must have length greater than or equal to 0, " if "min" in constraints else "")
        + f"Member must satisfy regular expression pattern: {constraints['pattern']}]"
    )


def test_a_missing_member_is_null():
    with pytest.raises(ApiError) as caught:
        codec.request(service_model("sagemaker").operation_model("CreateEndpoint").input_shape, {"EndpointName": "a"})
    assert caught.value.message == (
        "1 validation error detected: Value null at 'endpointConfigName' failed to satisfy constraint: "
        "Member must not be null"
    )


def test_model_data_must_be_in_s3(service):
    found = message(
        service.sagemaker.create_model,
        ModelName="m",
        PrimaryContainer={"Image": IMAGE, "ModelDataUrl": "file:///tmp/model.tar.gz"},
    )
    assert "at 'primaryContainer.modelDataUrl' failed to satisfy constraint" in found


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"MaxResults": "3"}, "STRING_VALUE can not be converted to an Integer"),
        ({"MaxResults": 1.5}, "NUMBER_VALUE can not be converted to an Integer"),
        ({"MaxResults": True}, "TRUE_VALUE can not be converted to an Integer"),
        ({"NameContains": 3}, "NUMBER_VALUE can not be converted to a String"),
        ({"NameContains": {}}, "Start of structure or map found where not expected."),
        ({"NameContains": []}, "Start of list found where not expected."),
        ([], "Start of list found where not expected."),
    ],
)
def test_another_json_type_is_a_serialization_exception(document, text):
    with pytest.raises(ApiError) as caught:
        codec.request(service_model("sagemaker").operation_model("ListModels").input_shape, document)
    assert (caught.value.code, caught.value.message) == ("SerializationException", text)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
names = st.sampled_from(["ModelName", "PrimaryContainer", "Containers", "Environment", "Tags", "Key", "Value", "Image"])
documents = st.recursive(
    values, lambda inner: st.dictionaries(names, inner, max_size=4) | st.lists(inner, max_size=2), max_leaves=12
)


@given(document=documents)
def test_any_document_is_parsed_or_refused_and_never_an_accident(document):
    shape = service_model("sagemaker").operation_model("CreateModel").input_shape
    try:
        parameters = codec.request(shape, json.loads(json.dumps(document)))
    except ApiError as error:
        parameters, code = None, error.code
    if parameters is None:
        assert code in {"ValidationException", "SerializationException"}
    else:
        assert codec.parse(shape, codec.dump(shape, parameters)) == parameters
