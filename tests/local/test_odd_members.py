"""Members at and beyond their ends, or missing: refused as AWS refuses them, and nothing that was kept suffers."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError
from local_service import IMAGE, Service

from sm_magics.local.protocol import codec
from sm_magics.local.protocol.errors import ApiError

METRIC = {"MetricName": "odd", "Value": 1.0}


class _Shape:
    def __init__(self, type_name: str) -> None:
        self.type_name = type_name


@pytest.mark.parametrize(
    ("kind", "largest"),
    [("integer", 2**31 - 1), ("long", 2**63 - 1), ("float", 3.4028234663852886e38), ("timestamp", 253402300799.0)],
)
def test_a_number_has_the_range_of_its_type(kind: str, largest: float) -> None:
    shape = _Shape(kind)
    assert codec.parse(shape, largest) == largest
    for beyond in (largest * 2 + 1, -largest * 2 - 2, 10**30, -(10**30), 10**400, math.inf, -math.inf, math.nan):
        # (Only a float reaches 10 ** 30.)
        if kind == "float" and abs(beyond) == 10**30:
            continue
        with pytest.raises(ApiError, match="NUMBER_VALUE can not be converted"):
            codec.parse(shape, beyond)
    assert codec.parse(_Shape("double"), math.inf) == math.inf  # CloudWatch has words of its own for it
    with pytest.raises(ApiError, match="NUMBER_VALUE can not be converted"):
        codec.parse(_Shape("double"), 10**400)


def test_a_time_beyond_all_calendars_is_none() -> None:
    for text in ("9999-12-31T23:59:59-14:00", "0000-01-01T00:00:00Z", "yesterday"):
        with pytest.raises(ApiError, match="STRING_VALUE can not be converted"):
            codec.parse(_Shape("timestamp"), text)


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        (
            {"Value": math.nan},
            "InvalidParameterValue",
            "The value NaN for parameter MetricData.member.2.Value is invalid.",
        ),
        ({"Value": math.inf}, "InvalidParameterValue", "The value Infinity for parameter MetricData.member.2.Value"),
        ({"Value": -1e200}, "InvalidParameterValue", "for parameter MetricData.member.2.Value is invalid."),
        ({"Values": [1.0, math.nan], "Value": None}, "InvalidParameterValue", "MetricData.member.2.Values is invalid."),
        ({"Values": [1.0], "Counts": [1e300], "Value": None}, "InvalidParameterValue", "member.2.Counts is invalid."),
        ({"Values": [1.0]}, "InvalidParameterValue", "member.2.Value and MetricData.member.2.Values are mutually"),
        ({"Values": [1.0], "Counts": [], "Value": None}, "InvalidParameterValue", "must be of the same size."),
        ({"Value": None}, "InvalidParameterCombination", "Value"),
        (
            {"StatisticValues": {"SampleCount": 1.0, "Sum": math.nan, "Minimum": 1.0, "Maximum": 1.0}, "Value": None},
            "InvalidParameterValue",
            "member.2.StatisticValues.Sum is invalid.",
        ),
        (
            {"StatisticValues": {"SampleCount": 1.0, "Sum": 1.0, "Minimum": 1.0, "Maximum": 1.0}},
            "InvalidParameterCombination",
            "member.2.Value and MetricData.member.2.StatisticValues are mutually exclusive",
        ),
        ({"Timestamp": 0.0}, "InvalidParameterValue", "must specify a time within the past two weeks."),
        ({"Timestamp": 1e11}, "InvalidParameterValue", "must specify a time within the past two weeks."),
    ],
    ids=str,
)
def test_a_datum_that_cannot_be_kept_is_refused_with_all_the_others(
    service: Service, changes: dict[str, Any], code: str, message: str
) -> None:
    cloudwatch = service.client("cloudwatch", parameter_validation=False)
    name = f"refused-{time.time_ns()}"
    datum = {member: value for member, value in {**METRIC, **changes}.items() if value is not None}
    with pytest.raises(ClientError) as caught:
        cloudwatch.put_metric_data(Namespace=name, MetricData=[METRIC, datum])
    assert caught.value.response["Error"]["Code"] == code
    assert message in caught.value.response["Error"]["Message"]
    assert cloudwatch.list_metrics(Namespace=name)["Metrics"] == []


def test_a_query_of_metrics_needs_a_name_and_a_time_that_goes_on(service: Service) -> None:
    cloudwatch = service.client("cloudwatch")
    now = time.time()
    span = {"StartTime": now - 60, "EndTime": now}
    stat = {"Metric": {"Namespace": "n"}, "Period": 60, "Stat": "Sum"}
    with pytest.raises(ClientError, match="MetricName"):
        cloudwatch.get_metric_data(MetricDataQueries=[{"Id": "a", "MetricStat": stat}], **span)
    named = {"Namespace": "n", "MetricName": "m", "Period": 60}
    for end, words in ((now, "must not equal"), (now - 60, "must be less than")):
        with pytest.raises(ClientError, match=words) as caught:
            cloudwatch.get_metric_statistics(**named, Statistics=["Sum"], StartTime=now, EndTime=end)
        assert caught.value.response["Error"]["Code"] == "InvalidParameterValue"
    for end, words in ((now, "must not equal"), (now - 60, "must be greater than")):
        with pytest.raises(ClientError, match=words) as caught:
            cloudwatch.get_metric_data(MetricDataQueries=[], StartTime=now, EndTime=end)
        assert caught.value.response["Error"]["Code"] == "ValidationError"
    with pytest.raises(ClientError, match="Must specify either Statistics or ExtendedStatistics"):
        cloudwatch.get_metric_statistics(**named, **span)


def test_ids_and_statistics_that_are_none_are_refused_by_their_number(service: Service) -> None:
    now = time.time()
    metric = {"Namespace": "n", "MetricName": "m"}
    for identity, statistic, words in (
        ("5xx", "Sum", r"The value 5xx for parameter MetricDataQueries.member.2.Id is not matching the expected"),
        ("b", "Min", r"The value Min for parameter MetricDataQueries.member.2.MetricStat.Stat is not a valid"),
        ("b", "tm99", "The statistic tm99 is not available on this machine"),
    ):
        queries = [
            {"Id": one, "MetricStat": {"Metric": metric, "Period": 60, "Stat": stat}}
            for one, stat in (("a", "Sum"), (identity, statistic))
        ]
        with pytest.raises(ClientError, match=words) as caught:
            service.client("cloudwatch").get_metric_data(MetricDataQueries=queries, StartTime=now - 60, EndTime=now)
        assert caught.value.response["Error"]["Code"] == "ValidationError"


def test_each_service_has_its_own_code_for_members_that_break_their_constraints(service: Service) -> None:
    for call, arguments, code in (
        (service.client("logs").describe_log_streams, {"logGroupName": "a b"}, "InvalidParameterException"),
        (service.client("cloudwatch").list_metrics, {"Namespace": "x" * 300}, "ValidationError"),
        (service.client("sts").assume_role, {"RoleArn": "x" * 20, "RoleSessionName": "a b"}, "ValidationError"),
        (service.sagemaker.describe_model, {"ModelName": "a b"}, "ValidationException"),
    ):
        with pytest.raises(ClientError, match="1 validation error detected") as caught:
            call(**arguments)
        assert caught.value.response["Error"]["Code"] == code


def test_times_of_logs_are_longs(service: Service) -> None:
    logs = service.client("logs")
    for member in ("startTime", "endTime"):
        with pytest.raises(ClientError, match="can not be converted to a Long"):
            logs.filter_log_events(logGroupName="any", **{member: 2**63})


def test_an_empty_container_is_no_model(service: Service) -> None:
    for members in ({"PrimaryContainer": {}}, {"Containers": [{}]}, {"PrimaryContainer": {"Environment": {"A": "b"}}}):
        with pytest.raises(ClientError, match="A container must have an Image"):
            service.sagemaker.create_model(ModelName="empty", ExecutionRoleArn=service.role, **members)
    with pytest.raises(ClientError, match="Exactly one"):
        service.sagemaker.create_model(
            ModelName="both",
            ExecutionRoleArn=service.role,
            PrimaryContainer={"Image": IMAGE},
            Containers=[{"Image": IMAGE}],
        )


def test_what_is_no_json_number_is_refused(service: Service) -> None:
    config = {"VariantName": "a", "DesiredWeight": math.nan}
    with pytest.raises(ClientError) as caught:
        service.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName="none", DesiredWeightsAndCapacities=[config]
        )
    assert caught.value.response["Error"]["Code"] == "SerializationException"


def test_a_training_job_needs_an_algorithm(service: Service) -> None:
    asked = {
        "TrainingJobName": "no-algorithm",
        "RoleArn": service.role,
        "OutputDataConfig": {"S3OutputPath": "s3://any/output"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    }
    sagemaker = service.client("sagemaker", parameter_validation=False)
    with pytest.raises(ClientError, match=r"without TrainingImage is not available|Member must not be null"):
        sagemaker.create_training_job(**asked)
