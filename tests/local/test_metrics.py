"""What is measured of endpoints, from real traffic, read as CloudWatch's clients read it."""

from __future__ import annotations

import json
import random
import time
from contextlib import suppress
from datetime import datetime, timedelta, timezone

import botocore.session
import pytest
from botocore.exceptions import ClientError
from botocore.serialize import SERIALIZERS
from hypothesis import given
from hypothesis import strategies as st
from local_service import DOUBLE, wait_until

from sm_magics.local.cloudwatch.metrics import DAYS, Metric, Metrics, Summary
from sm_magics.local.protocol.query import document
from sm_magics.local.store import Store

SLOW = DOUBLE.replace("    return [factor", "    import time; time.sleep(0.02); return [factor")


@pytest.fixture(scope="module")
def measured(service):
    service.deploy("measured", SLOW)
    for _ in range(5):
        service.invoke("measured")
    with pytest.raises(ClientError, match="ModelError"):
        service.invoke("measured", b"no JSON")
    with pytest.raises(ClientError, match="ModelError"):
        service.invoke("measured", b"1")
    return service


def client_of(service, protocol):
    """Return a client of one protocol: boto3 1.37 knew the query protocol only, SDKs for Go speak CBOR."""
    session = botocore.session.get_session()
    address = service.address
    loader = session.get_component("data_loader")
    load = loader.load_service_model

    def older(name, kind, api_version=None):
        model = load(name, kind, api_version)
        if name == "cloudwatch" and kind == "service-2":
            metadata = {**model["metadata"], "protocol": protocol, "protocols": [protocol]}
            metadata.pop("awsQueryCompatible", None)
            model = {**model, "metadata": metadata}
        return model

    loader.load_service_model = older
    return session.create_client(
        "cloudwatch",
        region_name=address["region"],
        endpoint_url=address["url"],
        aws_access_key_id=address["access_key"],
        aws_secret_access_key=address["secret_key"],
    )


@pytest.fixture(scope="module", params=["json", "query", "smithy-rpc-v2-cbor"])
def cloudwatch(request, measured):
    if request.param == "json":
        yield measured.client("cloudwatch")
        return
    if request.param not in SERIALIZERS:
        pytest.skip("this botocore does not speak it")
    client = client_of(measured, request.param)
    assert client.meta.service_model.metadata["protocol"] == request.param
    yield client
    client.close()


def span() -> dict[str, datetime]:
    now = datetime.now(timezone.utc)
    return {"StartTime": now - timedelta(hours=1), "EndTime": now + timedelta(minutes=1)}


def dimensions(endpoint="measured", variant="AllTraffic") -> list[dict[str, str]]:
    return [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": variant}]


def asked(name, stat, *, period=3600, identity="m1", **settings):
    metric = {"Namespace": "AWS/SageMaker", "MetricName": name, "Dimensions": dimensions()}
    return {"Id": identity, "MetricStat": {"Metric": metric, "Period": period, "Stat": stat}, **settings}


def total(cloudwatch, name, stat="Sum") -> float:
    (result,) = cloudwatch.get_metric_data(MetricDataQueries=[asked(name, stat)], **span())["MetricDataResults"]
    return sum(result["Values"]) if stat == "Sum" else max(result["Values"])


def test_requests_and_errors_are_counted(cloudwatch):
    assert total(cloudwatch, "Invocations") == 7
    assert total(cloudwatch, "Invocation4XXErrors") + total(cloudwatch, "Invocation5XXErrors") == 2
    assert total(cloudwatch, "InvocationModelErrors") == 2
    assert cloudwatch.get_metric_data(
        MetricDataQueries=[asked("Invocations", "Sum", identity="other")],
        StartTime=datetime(2020, 1, 1, tzinfo=timezone.utc),
        EndTime=datetime(2020, 1, 2, tzinfo=timezone.utc),
    )["MetricDataResults"] == [
        {"Id": "other", "Label": "Invocations", "Timestamps": [], "Values": [], "StatusCode": "Complete"}
    ]


def test_latencies_are_in_microseconds(cloudwatch):
    slowest = total(cloudwatch, "ModelLatency", "Maximum")
    assert 20_000 <= slowest < 60_000_000
    median = total(cloudwatch, "ModelLatency", "p50")
    assert total(cloudwatch, "ModelLatency", "Minimum") <= median <= slowest
    assert median >= 20_000 * 0.98
    assert 0 < total(cloudwatch, "OverheadLatency", "Maximum") < slowest


def test_statistics_of_a_metric_are_points(cloudwatch):
    named = {"Namespace": "AWS/SageMaker", "MetricName": "ModelLatency", "Dimensions": dimensions(), **span()}
    points = cloudwatch.get_metric_statistics(
        **named, Period=60, Statistics=["SampleCount", "Average", "Minimum", "Maximum"], ExtendedStatistics=["p90"]
    )["Datapoints"]
    assert sum(point["SampleCount"] for point in points) == 7
    for point in points:
        assert point["Minimum"] <= point["Average"] <= point["Maximum"]
        assert point["Minimum"] <= point["ExtendedStatistics"]["p90"] <= point["Maximum"]
        assert point["Unit"] == "Microseconds"
        assert point["Timestamp"].second == 0
    assert cloudwatch.get_metric_statistics(**named, Period=60, Statistics=["Sum"], Unit="Bytes")["Datapoints"] == []


def test_metrics_are_listed(cloudwatch):
    listed = cloudwatch.list_metrics(Namespace="AWS/SageMaker", Dimensions=dimensions()[:1], RecentlyActive="PT3H")
    found = {metric["MetricName"]: metric["Dimensions"] for metric in listed["Metrics"]}
    assert {"Invocations", "ModelLatency", "OverheadLatency", "Invocation4XXErrors", "Invocation5XXErrors"} <= set(
        found
    )
    assert found["Invocations"] == dimensions()
    nothing = [{"Name": "EndpointName", "Value": "none"}]
    assert cloudwatch.list_metrics(Dimensions=nothing)["Metrics"] == []


def test_what_cannot_be_read_is_refused(cloudwatch):
    for call, arguments, code in (
        ("get_metric_data", {"MetricDataQueries": [asked("a", "Sum", period=61)]}, "InvalidParameterValue"),
        ("get_metric_data", {"MetricDataQueries": [asked("a", "IQM")]}, "ValidationError"),
        ("get_metric_data", {"MetricDataQueries": [{"Id": "e", "Expression": "m1+1"}]}, "ValidationError"),
        ("get_metric_data", {"MetricDataQueries": [asked("a", "Sum")] * 2}, "ValidationError"),
        ("get_metric_data", {"MetricDataQueries": [], "NextToken": "x"}, "InvalidNextToken"),
    ):
        with pytest.raises(ClientError) as caught:
            getattr(cloudwatch, call)(**arguments, **span())
        assert caught.value.response["Error"]["Code"] == code, arguments
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    backwards = {"StartTime": span()["EndTime"], "EndTime": span()["StartTime"]}
    with pytest.raises(ClientError, match="must be greater than"):
        cloudwatch.get_metric_data(MetricDataQueries=[asked("a", "Sum")], **backwards)
    long = {"StartTime": datetime(2020, 1, 1, tzinfo=timezone.utc), "EndTime": datetime.now(timezone.utc)}
    named = {"Namespace": "n", "MetricName": "m", "Period": 60}
    with pytest.raises(ClientError, match=r"exceeds the limit of 1,440"):
        cloudwatch.get_metric_statistics(**named, Statistics=["Sum"], **long)


def test_anybody_adds_metrics_and_pages_through_them(cloudwatch):
    namespace = f"Mine/{time.time_ns()}"
    minute = datetime.now(timezone.utc).replace(second=0, microsecond=0) - timedelta(minutes=10)
    labelled = [{"Name": "a", "Value": "b"}]
    data = [
        {
            "MetricName": "loss",
            "Timestamp": minute + timedelta(minutes=number),
            "Value": float(number),
            "Dimensions": labelled,
        }
        for number in range(5)
    ]
    data.append({"MetricName": "many", "Values": [1.0, 2.0], "Counts": [3.0, 1.0], "Unit": "Seconds"})
    summary = {"SampleCount": 4.0, "Sum": 10.0, "Minimum": 1.0, "Maximum": 4.0}
    data.append({"MetricName": "summed", "StatisticValues": summary})
    cloudwatch.put_metric_data(Namespace=namespace, MetricData=data)
    metric = {"Namespace": namespace, "MetricName": "loss", "Dimensions": labelled}
    query = [
        {"Id": identity, "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Average"}}
        for identity in ("one", "two")
    ]
    pages = cloudwatch.get_paginator("get_metric_data").paginate(
        MetricDataQueries=query, ScanBy="TimestampAscending", PaginationConfig={"PageSize": 2}, **span()
    )
    found: dict[str, list[float]] = {"one": [], "two": []}
    for page in pages:
        for result in page["MetricDataResults"]:
            found[result["Id"]] += result["Values"]
    assert found == {"one": [0.0, 1.0, 2.0, 3.0, 4.0], "two": [0.0, 1.0, 2.0, 3.0, 4.0]}
    points = {
        name: cloudwatch.get_metric_statistics(
            Namespace=namespace, MetricName=name, Period=3600, Statistics=["Sum", "SampleCount", "Maximum"], **span()
        )["Datapoints"]
        for name in ("many", "summed")
    }
    assert [(point["Sum"], point["SampleCount"], point["Maximum"]) for point in points["many"]] == [(5.0, 4.0, 2.0)]
    assert [(point["Sum"], point["SampleCount"], point["Maximum"]) for point in points["summed"]] == [(10.0, 4.0, 4.0)]
    large = [{"MetricName": "large", "Value": 1.0, "Dimensions": labelled}] * 1000
    cloudwatch.put_metric_data(Namespace=namespace, MetricData=large)
    with pytest.raises(ClientError, match="AWS/"):
        cloudwatch.put_metric_data(Namespace="AWS/SageMaker", MetricData=data)


def test_what_was_measured_outlives_the_service(own_service):
    own_service.start()
    own_service.deploy("counted")
    own_service.invoke("counted")
    own_service.end()
    own_service.start()
    client = own_service.client("cloudwatch")
    metric = {"Namespace": "AWS/SageMaker", "MetricName": "Invocations", "Dimensions": dimensions("counted")}
    query = {"Id": "m", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "SampleCount"}}
    (result,) = client.get_metric_data(MetricDataQueries=[query], **span())["MetricDataResults"]
    assert sum(result["Values"]) == 1


def test_a_serverless_endpoint_says_how_long_it_took_to_set_up(own_service):
    own_service.environ["SM_MAGICS_ENDPOINT_IDLE_STOP"] = "0.3"
    own_service.start()
    own_service.create_model("asleep", DOUBLE)
    serverless = {"MemorySizeInMB": 1024, "MaxConcurrency": 2}
    own_service.sagemaker.create_endpoint_config(
        EndpointConfigName="asleep",
        ProductionVariants=[{"VariantName": "AllTraffic", "ModelName": "asleep", "ServerlessConfig": serverless}],
    )
    own_service.sagemaker.create_endpoint(EndpointName="asleep", EndpointConfigName="asleep")
    own_service.settled("asleep")
    wait_until(lambda: "the workers stop." in own_service.log("asleep"), what="sleep")
    own_service.invoke("asleep")
    metric = {"Namespace": "AWS/SageMaker", "MetricName": "ModelSetupTime", "Dimensions": dimensions("asleep")}
    query = {"Id": "m", "MetricStat": {"Metric": metric, "Period": 3600, "Stat": "Maximum"}}
    (result,) = own_service.client("cloudwatch").get_metric_data(MetricDataQueries=[query], **span())[
        "MetricDataResults"
    ]
    assert 1000 < max(result["Values"]) < 60_000_000


# In this process


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "state.sqlite3")
    yield store
    store.close()


@given(st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=200), st.floats(0, 100))
def test_percentiles_are_right_to_a_hundredth(values, percent):
    summary = Summary()
    for value in values:
        summary.add(value)
    ordered = sorted(values)
    rank = max(percent / 100 * len(values), 1e-9)
    exact = next((value for place, value in enumerate(ordered, 1) if place >= rank - 1e-6), ordered[-1])
    assert summary.percentile(percent) == pytest.approx(exact, rel=0.011, abs=1e-300)
    assert (summary.least, summary.most, summary.count) == (ordered[0], ordered[-1], len(values))


def test_minutes_become_periods_and_old_ones_go(store, monkeypatch):
    metrics = Metrics(store, lambda: None)
    metric = Metric.of("n", "m", {"b": "2", "a": "1"})
    now = int(time.time()) // 3600 * 3600
    for minute in range(-60, 60):
        metrics.add(metric, minute, at=now + minute * 60 + random.Random(minute).random() * 59)
    assert {second - now: summary.count for second, summary in metrics.series([metric], 0, 1e12, 3600).items()} == {
        -3600: 60,
        0: 60,
    }
    assert metrics.series([metric], now, now + 60, 60)[now].sum == 0.0
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: now + DAYS * 86400.0)
        later = Metrics(store, lambda: None)
        assert [found.dimensions for found in later.metrics()] == [(("a", "1"), ("b", "2"))]
        assert len(later.series([metric], 0, 1e12, 60)) == 60
        patch.setattr(time, "time", lambda: now + (DAYS * 24 + 2) * 3600.0)
        assert Metrics(store, lambda: None).metrics() == []


@given(st.binary(max_size=40))
def test_any_bytes_are_cbor_or_refused(body):
    from sm_magics.local.protocol import cbor
    from sm_magics.local.protocol.errors import ApiError

    with suppress(ApiError):
        json.dumps(cbor.loads(body))


def test_cbor_is_the_document_that_json_would_have_been():
    import cbor2

    from sm_magics.local.protocol import cbor

    sent = {"a": [1, 2.5, True, None, "ü"], "when": cbor2.CBORTag(1, 1.5), "blob": b"abc", "odd": cbor2.undefined}
    assert cbor.loads(cbor2.dumps(sent)) == {"a": [1, 2.5, True, None, "ü"], "when": 1.5, "blob": "YWJj", "odd": None}
    assert cbor.target("/service/GraniteServiceVersion20100801/operation/GetMetricData") == (
        "GraniteServiceVersion20100801",
        "GetMetricData",
    )
    assert cbor.target("/service/x/operation/") == ("", "")


def test_errors_are_in_the_clients_protocol(cloudwatch):
    with pytest.raises(ClientError) as caught:
        cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker", MetricName="Invocations", Period=7, Statistics=["Sum"], **span()
        )
    assert caught.value.response["Error"]["Code"] in {"ValidationError", "InvalidParameterValue"}
    assert "eriod" in caught.value.response["Error"]["Message"]


def test_a_form_is_what_its_shape_says(tmp_path):
    from sm_magics.local.protocol.errors import ApiError
    from sm_magics.local.service import service_model

    shape = service_model("cloudwatch").operation_model("GetMetricData").input_shape
    form = {
        "StartTime": "2026-01-01T00:00:00Z",
        "MetricDataQueries.member.2.Id": "two",
        "MetricDataQueries.member.10.Id": "ten",
        "MetricDataQueries.member.2.ReturnData": "false",
        "MetricDataQueries.member.2.MetricStat.Period": "60",
        "Action": "GetMetricData",
    }
    assert document(shape, form) == {
        "MetricDataQueries": [{"Id": "two", "ReturnData": False, "MetricStat": {"Period": 60}}, {"Id": "ten"}],
        "StartTime": "2026-01-01T00:00:00Z",
    }
    for bad in (
        {"MetricDataQueries.member.x.Id": "a"},
        {"MetricDataQueries": "a"},
        {"MetricDataQueries.member": "a", "MetricDataQueries.member.1.Id": "a"},
        {"MetricDataQueries.member.1.MetricStat.Period": "many"},
        {"StartTime.member.1": "a"},
    ):
        with pytest.raises(ApiError, match=r"expected|is no"):
            document(shape, bad)
