"""The container image for a package: from its torch, the region and the instance type."""

from __future__ import annotations

from dataclasses import dataclass

from sm_magics import sdk
from sm_magics.errors import ConfigurationError
from sm_magics.settings import LOCAL, Settings


@dataclass(frozen=True)
class Image:
    """A container image and what is in it.

    Attributes
    ----------
    uri
        As CreateModel takes it.
    torch, python
        The versions in the image, such as ``2.6.0`` and ``3.12``. Empty for an image given by its URI.
    """

    uri: str
    torch: str = ""
    python: str = ""

    def gap(self, torch: str) -> str:
        """Return a sentence on the difference from the notebook's torch version, empty where there is none."""
        if not self.torch or not torch or _minor(torch) == _minor(self.torch):
            return ""
        return f"The notebook has torch {_release(torch)}, the container image torch {self.torch}."


def choose(torch: str, settings: Settings, region: str) -> Image:
    """Return the PyTorch inference image for a package.

    The image with the notebook's own torch version where there is one, else the newest: its torch loads a
    state_dict or TorchScript saved by a newer one.

    Parameters
    ----------
    torch
        The version that the package was made with, such as ``2.13.0+cpu``. Empty: the newest image.
    settings
        ``image_uri``, ``framework_version`` and ``py_version`` override; ``instance_type`` decides CPU or GPU.
    region
        The AWS region whose registry serves the image.

    Raises
    ------
    ConfigurationError
        If there is no such image, naming those there are.
    """
    if settings.image_uri:
        return Image(settings.image_uri)
    kind = _processor(settings.instance_type)
    table = sdk.pytorch_images()["inference_graviton" if kind == "graviton" else "inference"]
    versions = table["versions"]
    wanted = settings.framework_version
    version = table["version_aliases"].get(wanted, wanted) if wanted else _nearest(torch, list(versions))
    if version not in versions:
        raise ConfigurationError(
            f"SageMaker has no PyTorch inference image with torch {wanted}; the newest are "
            f"{', '.join(sorted(versions, key=_key)[-4:])}.",
            hint=f"--framework-version {max(versions, key=_key)}",
        )
    entry = versions[version]
    account = entry["registries"].get(region)
    if account is None:
        raise ConfigurationError(
            f"SageMaker has no PyTorch {version} inference image in the region {region}.",
            hint="--region us-west-2    # or --image-uri with an image of your own",
        )
    py_versions = entry["py_versions"]
    py_version = settings.py_version or py_versions[-1]
    if py_version not in py_versions:
        raise ConfigurationError(
            f"The PyTorch {version} inference image has {', '.join(py_versions)}, not {py_version}.",
            hint=f"--py-version {py_versions[-1]}",
        )
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    processor = "gpu" if kind == "gpu" else "cpu"
    repository = f"{account}.dkr.ecr.{region}.{domain}/{entry['repository']}"
    python = py_version.removeprefix("py")
    return Image(
        f"{repository}:{version}-{processor}-{py_version}",
        torch=version,
        python=f"{python[0]}.{python[1:]}" if len(python) > 1 else python,
    )


def _processor(instance_type: str) -> str:
    """Return ``gpu``, ``graviton`` or ``cpu`` for an instance type: its family names its processor."""
    if instance_type == LOCAL:
        return "cpu"
    family = instance_type.removeprefix("ml.").split(".")[0]
    if family[:1] in {"p", "g"} and family[1:2].isdigit():
        return "gpu"
    # c7g, m6gd, r6g, …: a digit and then "g" is AWS's own processor.
    return "graviton" if "g" in family[2:4] and family[1:2].isdigit() else "cpu"


def _nearest(torch: str, versions: list[str]) -> str:
    same = [version for version in versions if torch and _minor(version) == _minor(torch)]
    return max(same or versions, key=_key)


def _release(version: str) -> str:
    return version.split("+", maxsplit=1)[0]


def _minor(version: str) -> tuple[str, ...]:
    return tuple(version.split(".")[:2])


def _key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
