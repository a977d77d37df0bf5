"""A training job from its request to its model, as boto3 sees it."""

from __future__ import annotations

import io
import json

import torch
from local_service import BUCKET
from training_jobs import FIT, IMAGE, channel, log, train, unpacked

POINTS = json.dumps([[x / 10, 3 * x / 10 + 1] for x in range(20)]).encode()


def test_a_script_trains_a_model(service):
    service.upload("fit/data/points.json", POINTS)
    job = train(
        service,
        "fit",
        FIT,
        hyperparameters={"epochs": "200", "learning-rate": "0.1"},
        InputDataConfig=[channel("train", f"s3://{BUCKET}/fit/data")],
        AlgorithmSpecification={
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "train:loss", "Regex": r"loss=(\S+)"}],
        },
    )
    assert job["TrainingJobStatus"] == "Completed", (job.get("FailureReason"), log(service, "fit"))
    assert job["SecondaryStatus"] == "Completed"
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://{BUCKET}/output/fit/output/model.tar.gz"
    weights = torch.load(io.BytesIO(unpacked(service, job["ModelArtifacts"]["S3ModelArtifacts"])["model.pth"]))
    assert abs(weights["weight"].item() - 3) < 0.1
    assert abs(weights["bias"].item() - 1) < 0.1
    output = unpacked(service, f"s3://{BUCKET}/output/fit/output/output.tar.gz")
    [metric] = job["FinalMetricDataList"]
    assert metric["MetricName"] == "train:loss"
    assert abs(metric["Value"] - float(output["loss.txt"])) < 1e-5
    assert "epoch 199 loss=" in log(service, "fit")[-2]
    stages = [stage["Status"] for stage in job["SecondaryStatusTransitions"]]
    assert stages == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
