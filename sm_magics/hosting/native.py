"""What a user of the SageMaker SDK already has, as something that can be deployed from here."""

from __future__ import annotations

from typing import Any

from sm_magics import sdk
from sm_magics.settings import LOCAL, Settings

from .connection import connect
from .names import suggest_name
from .plan import LOCAL_INSTANCE_TYPE, ModelData
from .training import TrainingJob, attach


def is_model(value: Any) -> bool:
    """Return whether a value is a model of SageMaker SDK 2, such as a ``PyTorchModel``."""
    return sdk.is_model(value)


def is_job(value: Any) -> bool:
    """Return whether a value stands for a training job: ours, or an Estimator, a ModelTrainer, a TrainingJob."""
    return isinstance(value, TrainingJob) or sdk.is_job(value)


def model_data(model: Any, settings: Settings | None = None) -> ModelData:
    """Return a model of SDK 2 as the container definition that the SDK makes of it.

    The SDK uploads what it has to: with an entry point it packs the archive anew.

    Raises
    ------
    DeploymentError
        If the SDK refuses it.
    """
    settings = settings or Settings()
    connection = connect(settings)
    instance_type = LOCAL_INSTANCE_TYPE if settings.instance_type == LOCAL else settings.instance_type
    container = sdk.container(model, instance_type, connection.session, connection.bucket)
    isolated = getattr(model, "enable_network_isolation", None)
    return ModelData(
        name=suggest_name(str(model.name or "")) or "model",
        container=container,
        vpc_config=dict(getattr(model, "vpc_config", None) or {}),
        enable_network_isolation=bool(isolated() if callable(isolated) else isolated),
        role=sdk.role(model),
    )


def training_job(value: Any, settings: Settings | None = None) -> TrainingJob:
    """Return the training job that a value stands for.

    Raises
    ------
    DeploymentError
        If an SDK's object has not trained anything yet.
    TrainingJobNotFound
        If there is no such job at the place that the settings name.
    """
    return value if isinstance(value, TrainingJob) else attach(sdk.training_job_name(value), settings)
