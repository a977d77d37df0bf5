"""Cells that show every card, for the tests and for the pictures: small models, and none of torch."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

SERVING = """\
import json

def model_fn(model_dir):
    print("ready")

def transform_fn(model, body, content_type, accept):
    value = json.loads(body)
    if value == "fail":
        raise ValueError("<b>not today</b>")
    return json.dumps([{"said": value}]), "application/json"
"""
BROKEN = """\
def model_fn(model_dir):
    raise OSError("<img src=x onerror=alert(1)> is no file")
"""
TRAINING = """\
import os, time
for epoch in range(30):
    loss = 0.9 ** epoch + 0.02 * (epoch % 3)
    print(f"epoch={epoch} loss={loss:.4f} accuracy={1 - loss / 2:.4f}", flush=True)
    while epoch == 20 and not os.path.exists(os.environ["SM_HP_GO"]):
        time.sleep(0.05)
with open(os.path.join(os.environ["SM_MODEL_DIR"], "model.pth"), "w") as file:
    file.write("trained")
"""
TRAIN = """\
import io, json, tarfile
from sm_magics.hosting import connect
connection = connect()
s3 = connection.client("s3")
buffer = io.BytesIO()
with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
    member = tarfile.TarInfo("train.py")
    member.size = len(script := {script!r}.encode())
    tar.addfile(member, io.BytesIO(script))
s3.create_bucket(Bucket="{name}-bucket", CreateBucketConfiguration={{"LocationConstraint": connection.region}})
s3.put_object(Bucket="{name}-bucket", Key="source/sourcedir.tar.gz", Body=buffer.getvalue())
given = dict(sagemaker_program="train.py", sagemaker_submit_directory="s3://{name}-bucket/source/sourcedir.tar.gz")
given |= dict(epochs=30, go={go!r})
_ = connection.client("sagemaker").create_training_job(
    TrainingJobName={name!r},
    AlgorithmSpecification=dict(
        TrainingImage="763104351884.dkr.ecr.us-west-2.amazonaws.com/pytorch-training:2.6.0-cpu-py312",
        TrainingInputMode="File",
        MetricDefinitions=[
            dict(Name="train:loss", Regex=r"loss=(\\S+)"),
            dict(Name="train:accuracy", Regex=r"accuracy=(\\S+)"),
        ],
    ),
    HyperParameters={{name: json.dumps(value) for name, value in given.items()}},
    RoleArn=connection.role,
    OutputDataConfig=dict(S3OutputPath="s3://{name}-bucket/out"),
    ResourceConfig=dict(InstanceType="ml.m5.large", InstanceCount=1, VolumeSizeInGB=1),
    StoppingCondition=dict(MaxRuntimeInSeconds=600),
)"""


def waiting(go: Path) -> str:
    """Return a script whose model is loaded once a file is there."""
    wait = f"import os, time\n    while not os.path.exists({str(go)!r}):\n        time.sleep(0.05)"
    return SERVING.replace('print("ready")', wait)


def pack(directory: Path, name: str, code: str) -> str:
    """Write a ``model.tar.gz`` with a script into a directory; return its name."""
    with gzip.open(directory / name, "wb") as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
        for path, content in {"model.pth": b"none", "code/inference.py": code.encode()}.items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return name


def train(name: str, go: Path) -> str:
    """Return a cell that starts a training job, which goes on from its 20th epoch once a file is there."""
    return TRAIN.format(script=TRAINING, name=name, go=str(go))
