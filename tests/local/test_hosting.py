"""Models, endpoint configurations, endpoints and tags: every operation as boto3 sees it."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError
from local_service import DOUBLE, IMAGE, variant

from sm_magics.local.account import Account
from sm_magics.local.protocol.errors import Kind
from sm_magics.local.protocol.paging import Pages
from sm_magics.local.resources import Resources
from sm_magics.local.store import Store

INVALID_TOKEN = 'Invalid pagination token because "{0}".'


def refused(call, **arguments) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    return caught.value.response["Error"]["Message"]


def test_every_answer_has_what_its_shape_requires(service):
    answered = {}

    def look(parsed, model, **_):
        answered[model.name] = (model.output_shape, parsed)

    sagemaker = service.sagemaker
    logs = service.client("logs")
    for client in (sagemaker, logs):
        client.meta.events.register("after-call.*.*", look)
    service.create_endpoint("required")
    arn = sagemaker.describe_model(ModelName="required")["ModelArn"]
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "b"}])
    sagemaker.list_tags(ResourceArn=arn)
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["a"])
    sagemaker.list_models()
    sagemaker.list_endpoint_configs()
    sagemaker.list_endpoints()
    sagemaker.describe_endpoint_config(EndpointConfigName="required")
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="required")
    group = "/aws/sagemaker/Endpoints/required"
    stream = logs.describe_log_streams(logGroupName=group)["logStreams"][0]["logStreamName"]
    logs.describe_log_groups()
    logs.get_log_events(logGroupName=group, logStreamName=stream)
    logs.filter_log_events(logGroupName=group)
    sagemaker.update_endpoint(EndpointName="required", EndpointConfigName="required")
    service.settled("required")
    sagemaker.delete_model(ModelName="required")
    sagemaker.delete_endpoint_config(EndpointConfigName="required")
    sagemaker.delete_endpoint(EndpointName="required")
    for client in (sagemaker, logs):
        client.meta.events.unregister("after-call.*.*", look)
    assert set(answered) == {
        *("CreateModel", "DescribeModel", "ListModels", "DeleteModel"),
        *("CreateEndpointConfig", "DescribeEndpointConfig", "ListEndpointConfigs", "DeleteEndpointConfig"),
        *("CreateEndpoint", "DescribeEndpoint", "ListEndpoints", "UpdateEndpoint", "DeleteEndpoint"),
        *("AddTags", "ListTags", "DeleteTags"),
        *("DescribeLogGroups", "DescribeLogStreams", "GetLogEvents", "FilterLogEvents"),
    }
    for name, (shape, parsed) in answered.items():
        assert parsed["ResponseMetadata"]["RequestId"], name
        _complete(shape, parsed, name)


def _complete(shape, value, where):
    if shape is None:
        return
    if shape.type_name == "structure":
        for name in shape.required_members:
            assert name in value, f"{where}.{name}"
        for name, member in value.items():
            if name != "ResponseMetadata":
                _complete(shape.members[name], member, f"{where}.{name}")
    elif shape.type_name == "list":
        for item in value:
            _complete(shape.member, item, f"{where}[]")


def test_what_was_given_is_described(service):
    sagemaker = service.sagemaker
    arn = service.create_model("Described", DOUBLE, Environment={"A": "1"}, ContainerHostname="host")
    model = sagemaker.describe_model(ModelName="described")
    assert (model["ModelName"], model["ModelArn"], model["ExecutionRoleArn"]) == ("Described", arn, service.role)
    assert model["PrimaryContainer"]["Environment"] == {"A": "1"}
    assert model["PrimaryContainer"]["Image"] == IMAGE
    sagemaker.create_endpoint_config(
        EndpointConfigName="described", ProductionVariants=[variant("Described", InitialInstanceCount=2)]
    )
    config = sagemaker.describe_endpoint_config(EndpointConfigName="described")
    assert config["ProductionVariants"] == [
        {**variant("Described", InitialInstanceCount=2), "InitialVariantWeight": 1.0}
    ]
    assert config["EndpointConfigArn"].endswith(":endpoint-config/described")


def test_unknown_and_existing_resources_are_named_by_arn(service):
    sagemaker = service.sagemaker
    prefix = f"arn:aws:sagemaker:us-west-2:{service.address['account']}"
    for kind, name, member, part in (
        ("model", "model", "ModelName", "model"),
        ("endpoint_config", "endpoint configuration", "EndpointConfigName", "endpoint-config"),
        ("endpoint", "endpoint", "EndpointName", "endpoint"),
    ):
        text = f'Could not find {name} "{prefix}:{part}/nothing".'
        assert refused(getattr(sagemaker, f"describe_{kind}"), **{member: "Nothing"}) == text
        assert refused(getattr(sagemaker, f"delete_{kind}"), **{member: "Nothing"}) == text
    assert "endpoint configuration" in refused(
        sagemaker.create_endpoint, EndpointName="nothing", EndpointConfigName="nothing"
    )
    assert "Could not find endpoint" in refused(
        sagemaker.update_endpoint, EndpointName="nothing", EndpointConfigName="nothing"
    )
    assert "Could not find model" in refused(
        sagemaker.create_endpoint_config, EndpointConfigName="nothing", ProductionVariants=[variant("nothing")]
    )
    service.create_config("existing")
    assert (
        refused(sagemaker.create_model, ModelName="EXISTING", PrimaryContainer={"Image": IMAGE})
        == f'Cannot create already existing model "{prefix}:model/existing".'
    )
    assert (
        refused(
            sagemaker.create_endpoint_config, EndpointConfigName="existing", ProductionVariants=[variant("existing")]
        )
        == f'Cannot create already existing endpoint configuration "{prefix}:endpoint-config/existing".'
    )
    missing = {"Image": IMAGE, "ModelDataUrl": "s3://sagemaker-tests/not/there.tar.gz"}
    assert refused(sagemaker.create_model, ModelName="missing-data", PrimaryContainer=missing) == (
        "Could not find model data at s3://sagemaker-tests/not/there.tar.gz."
    )


def test_an_endpoint_of_the_same_name_is_refused_and_nothing_is_left_of_it(service):
    service.deploy("twice")
    arn = service.sagemaker.describe_endpoint(EndpointName="twice")["EndpointArn"]
    before = sorted(path.name for path in (service.home / "endpoints").iterdir())
    assert refused(service.sagemaker.create_endpoint, EndpointName="twice", EndpointConfigName="twice") == (
        f'Cannot create already existing endpoint "{arn}".'
    )
    assert sorted(path.name for path in (service.home / "endpoints").iterdir()) == before
    service.delete_endpoint("twice")


def test_names_differ_by_more_than_case_and_the_runtime_wants_the_case_that_was_given(service):
    service.deploy("CamelCase")
    assert service.sagemaker.describe_endpoint(EndpointName="camelcase")["EndpointName"] == "CamelCase"
    assert service.invoke("CamelCase") == b"[2, 4]"
    with pytest.raises(ClientError, match="not found"):
        service.invoke("camelcase")
    service.delete_endpoint("camelcase")


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("AsyncInferenceConfig", {"OutputConfig": {"S3OutputPath": "s3://a/b"}}),
        ("CrossRegionTrafficConfig", {"MaxInvocationsPerSecondPerInstance": 1, "MaxCrossRegionPercentPerEndpoint": 1}),
    ],
)
def test_what_this_machine_does_not_do_is_refused_not_ignored(service, member, value):
    service.create_model(f"refused-{member}", DOUBLE)
    found = refused(
        service.sagemaker.create_endpoint_config,
        EndpointConfigName="refused",
        ProductionVariants=[variant(f"refused-{member}")],
        **{member: value},
    )
    assert "is not available on this machine" in found


def test_lists_are_paged_sorted_and_filtered(service):
    sagemaker = service.sagemaker
    names = [f"paged-{number:02d}" for number in range(23)]
    for name in names:
        sagemaker.create_model(ModelName=name, PrimaryContainer={"Image": IMAGE})
    first = sagemaker.list_models(NameContains="paged-")
    assert [model["ModelName"] for model in first["Models"]] == names[::-1][:10]
    for order, expected in (("Ascending", names), ("Descending", names[::-1])):
        for key in ("Name", "CreationTime"):
            pages = sagemaker.get_paginator("list_models").paginate(
                NameContains="paged-", SortBy=key, SortOrder=order, PaginationConfig={"PageSize": 4}
            )
            assert [model["ModelName"] for page in pages for model in page["Models"]] == expected
    tenth = sagemaker.describe_model(ModelName="paged-09")["CreationTime"]
    after = sagemaker.list_models(NameContains="paged-", CreationTimeAfter=tenth, MaxResults=100)["Models"]
    assert {model["ModelName"] for model in after} >= set(names[10:])
    assert refused(sagemaker.list_models, NameContains="other-", NextToken=first["NextToken"]) == INVALID_TOKEN
    assert refused(sagemaker.list_endpoint_configs, NextToken=first["NextToken"]) == INVALID_TOKEN
    assert refused(sagemaker.list_models, NextToken="bm9uc2Vuc2U=") == INVALID_TOKEN
    assert "Member must have value less than or equal to 100" in refused(sagemaker.list_models, MaxResults=101)


def test_tags_live_and_die_with_their_resource(service):
    sagemaker = service.sagemaker
    service.upload("any", b"")
    named = {"ModelName": "tagged", "PrimaryContainer": {"Image": IMAGE}}
    arn = sagemaker.create_model(**named, Tags=[{"Key": "sm-magics", "Value": "Grüße"}])["ModelArn"]
    added = sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "b", "Value": "1"}, {"Key": "sm-magics", "Value": "2"}])
    expected = [{"Key": "b", "Value": "1"}, {"Key": "sm-magics", "Value": "2"}]
    assert added["Tags"] == sagemaker.list_tags(ResourceArn=arn)["Tags"] == expected
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["b", "not-there"])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == expected[1:]
    more = [{"Key": str(number), "Value": ""} for number in range(50)]
    assert "50" in refused(sagemaker.add_tags, ResourceArn=arn, Tags=more)
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == expected[1:]
    sagemaker.delete_model(ModelName="tagged")
    assert "Could not find model" in refused(sagemaker.list_tags, ResourceArn=arn)
    sagemaker.create_model(**named)
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == []


def test_tags_that_aws_keeps_to_itself_and_tags_given_twice_are_refused(service):
    sagemaker = service.sagemaker
    named = {"ModelName": "own-tags", "PrimaryContainer": {"Image": IMAGE}}
    arn = sagemaker.create_model(**named)["ModelArn"]
    reserved = "System prefix 'aws:' reserved for AWS usage in tag key: aws:name"
    tags = [{"Key": "aws:name", "Value": ""}]
    assert refused(sagemaker.add_tags, ResourceArn=arn, Tags=tags) == reserved
    assert refused(sagemaker.delete_tags, ResourceArn=arn, TagKeys=["aws:name"]) == reserved
    twice = [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]
    assert "Duplicate" in refused(sagemaker.add_tags, ResourceArn=arn, Tags=twice)
    assert refused(sagemaker.create_model, ModelName="not-made", PrimaryContainer={"Image": IMAGE}, Tags=tags)
    assert "Could not find model" in refused(sagemaker.describe_model, ModelName="not-made")


def test_identity_is_an_assumed_role_with_a_role_that_sagemaker_may_take(service):
    identity = service.client("sts").get_caller_identity()
    assert identity["Account"] == service.address["account"]
    name = identity["Arn"].split("/")[1]
    assert ":assumed-role/" in identity["Arn"]
    role = service.client("iam").get_role(RoleName=name)["Role"]
    assert role["Arn"] == service.role
    statement = role["AssumeRolePolicyDocument"]["Statement"][0]
    assert statement["Principal"]["Service"] == "sagemaker.amazonaws.com"
    # Who answers for other roles is moto, where it is installed; its sentence is another than AWS's.
    with pytest.raises(ClientError, match="NoSuchEntity"):
        service.client("iam").get_role(RoleName="other")


def test_operations_of_sagemaker_that_are_not_here_say_so_and_are_not_retried(service):
    with pytest.raises(ClientError) as caught:
        service.sagemaker.list_algorithms()
    assert caught.value.response["Error"]["Code"] == "UnknownOperationException"
    assert "ListAlgorithms" in caught.value.response["Error"]["Message"]
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


@pytest.mark.parametrize("moment", [1_790_000_000.1236, 1_790_000_000.1234, 1_790_000_000.0])
def test_a_resource_is_not_before_the_time_that_it_shows_but_after_it(tmp_path, monkeypatch, moment):
    account = Account("123456789012", "us-west-2", "key", "secret")
    resources = Resources(Store(tmp_path / "state"), account, Pages("secret"))
    monkeypatch.setattr("time.time", lambda: moment)
    resources.add(Kind.MODEL, "it", {}, tags=[])
    shown = round(moment, 3)

    def found(**filters: float) -> bool:
        return bool(resources.page(Kind.MODEL, "ListModels", filters)[0])

    for what in ("CreationTime", "LastModifiedTime"):
        assert found(**{f"{what}After": shown})
        assert not found(**{f"{what}After": shown + 0.001})
        assert not found(**{f"{what}Before": shown})
        assert found(**{f"{what}Before": shown + 0.001})
