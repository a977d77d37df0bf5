"""Training jobs that are stopped, take too long, or lose the service that runs them."""

from __future__ import annotations

import psutil
import pytest
from botocore.exceptions import ClientError
from local_service import gone, wait_until
from training_jobs import described, ended, keys, log, request, train, unpacked, wait_for_line

#: Saves what it has when it is told to stop.
SAVES = """
import os, signal, time
def save(*_):
    with open(os.environ["SM_MODEL_DIR"] + "/half.txt", "w") as file:
        file.write("half")
    raise SystemExit
signal.signal(signal.SIGTERM, save)
print("training", flush=True)
while True:
    time.sleep(1)
"""

#: Does not stop, nor does its child, which has left its process group. Says which processes they are.
STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open(os.environ["SM_MODEL_DIR"] + "/half.txt", "w") as file:
    file.write("half")
sleep = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", sleep], start_new_session=True, stdout=subprocess.PIPE)
child.stdout.readline()
print("processes", os.getpid(), child.pid, flush=True)
while True:
    time.sleep(1)
"""


def processes(service, name) -> list[psutil.Process]:
    def look():
        return [line for line in log(service, name) if line.startswith("processes ")]

    [line] = wait_until(look, what="the processes' ids")
    return [psutil.Process(int(pid)) for pid in line.split()[1:]]


def test_a_job_that_is_stopped_keeps_what_it_saves(service):
    service.sagemaker.create_training_job(**request(service, "saves", SAVES))
    wait_for_line(service, "saves", "training")
    job = described(service, "saves")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("InProgress", "Training")
    shape = service.sagemaker.meta.service_model.operation_model("DescribeTrainingJob").output_shape
    assert set(shape.required_members) <= set(job)
    assert not {"FailureReason", "TrainingEndTime", "TrainingTimeInSeconds", "FinalMetricDataList"} & set(job)
    service.sagemaker.stop_training_job(TrainingJobName="saves")
    assert described(service, "saves")["TrainingJobStatus"] in {"Stopping", "Stopped"}
    job = ended(service, "saves")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert "FailureReason" not in job
    assert unpacked(service, job["ModelArtifacts"]["S3ModelArtifacts"]) == {"half.txt": b"half"}
    stages = [stage["Status"] for stage in job["SecondaryStatusTransitions"]]
    assert stages == ["Starting", "Downloading", "Training", "Stopping", "Uploading", "Stopped"]
    with pytest.raises(ClientError, match="in status Stopped"):
        service.sagemaker.stop_training_job(TrainingJobName="saves")


def test_a_shell_script_that_is_stopped_tells_its_commands(service):
    files = {"run.sh": "python train.py\necho after", "train.py": SAVES}
    service.sagemaker.create_training_job(
        **request(service, "shell-saves", files, hyperparameters={"sagemaker_program": "run.sh"})
    )
    wait_for_line(service, "shell-saves", "training")
    service.sagemaker.stop_training_job(TrainingJobName="shell-saves")
    job = ended(service, "shell-saves")
    assert job["TrainingJobStatus"] == "Stopped"
    assert unpacked(service, job["ModelArtifacts"]["S3ModelArtifacts"]) == {"half.txt": b"half"}


def test_a_job_that_does_not_stop_is_killed_after_its_grace(own_service):
    own_service.environ["SM_MAGICS_STOP_GRACE"] = "0.2"
    own_service.start()
    own_service.sagemaker.create_training_job(**request(own_service, "stubborn", STUBBORN))
    running = processes(own_service, "stubborn")
    own_service.sagemaker.stop_training_job(TrainingJobName="stubborn")
    own_service.sagemaker.stop_training_job(TrainingJobName="stubborn")
    job = ended(own_service, "stubborn")
    assert job["TrainingJobStatus"] == "Stopped"
    assert keys(own_service, "output/stubborn/") == ["output/stubborn/output/model.tar.gz"]
    assert gone(running)
    wait_until(lambda: not list((own_service.home / "training").iterdir()), what="its folders gone")


def test_a_job_that_takes_too_long_is_stopped(service):
    job = train(service, "overran", SAVES, StoppingCondition={"MaxRuntimeInSeconds": 1})
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")


@pytest.mark.parametrize("kill", [True, False], ids=["killed", "stopped"])
def test_a_job_does_not_outlive_the_service(own_service, kill):
    own_service.start()
    own_service.sagemaker.create_training_job(**request(own_service, "orphan", STUBBORN))
    running = processes(own_service, "orphan")
    if kill:
        own_service.kill()
        own_service.close_clients()
    else:
        own_service.end()
    wait_until(lambda: gone(running), what="the processes gone")
    own_service.start()
    job = described(own_service, "orphan")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Failed", "Failed")
    assert job["FailureReason"].startswith("InternalServerError: SageMaker on this machine ended")
    assert not list((own_service.home / "training").iterdir())
    assert train(own_service, "after", "print('works')")["TrainingJobStatus"] == "Completed"
