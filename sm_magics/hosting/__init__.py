"""SageMaker through boto3, on this machine or in AWS."""

from __future__ import annotations

from .connection import Connection, connect
from .deploying import deploy, prepare
from .diagnosis import Diagnosis
from .endpoints import Endpoint
from .invoking import Prediction
from .plan import DeploymentPlan, Origin
from .removal import Removal
from .training import TrainingJob, attach

__all__ = [
    "Connection",
    "DeploymentPlan",
    "Diagnosis",
    "Endpoint",
    "Origin",
    "Prediction",
    "Removal",
    "TrainingJob",
    "attach",
    "connect",
    "deploy",
    "prepare",
]
