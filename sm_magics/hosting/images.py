"""The container image for a package: from its torch and Python, the region and the instance type."""

from __future__ import annotations

from dataclasses import dataclass

from sm_magics import sdk
from sm_magics.errors import ConfigurationError
from sm_magics.settings import LOCAL, Settings

CPU, GPU, GRAVITON = "cpu", "gpu", "graviton"

_TABLES = {CPU: "inference", GPU: "inference", GRAVITON: "inference_graviton"}
_WORDS = {CPU: "", GPU: " for GPUs", GRAVITON: " for Graviton"}

_OTHER_IMAGES = {"inf1": "Neuron", "inf2": "Neuron", "trn1": "Neuron", "trn1n": "Neuron", "trn2": "Neuron"}
_OTHER_IMAGES |= {"dl1": "Habana", "g5g": "ARM GPU", "p6e": "ARM GPU"}
"""Families whose processors the PyTorch inference images are not built for (g5g and p6e-gb200: ARM with a GPU)."""


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

    def gap(self, torch: str, saved_as: str = "", python: str = "") -> str:
        """Return what differs from the notebook, and what that means for a package; empty where nothing matters.

        Parameters
        ----------
        torch, python
            The notebook's versions.
        saved_as
            How the package's weights are saved. What is known of each is measured: see the page on versions.
        """
        said = []
        if self.torch and torch and _minor(torch) != _minor(self.torch):
            said.append(f"The notebook has torch {_release(torch)}, the container image torch {self.torch}.")
            meaning = {
                "state_dict": "A state_dict loads under both.",
                "torchscript": "TorchScript loads under both, unless it uses an operator that the older one lacks.",
                "module": "A pickled module loads if the classes of torch that it uses are the same in both.",
            }
            said += [meaning[saved_as]] if saved_as in meaning else []
        if saved_as == "module" and self.python and python and _minor(python) != _minor(self.python):
            said.append(
                f"It was pickled under Python {python} and the image has {self.python}: "
                "functions that were pickled by value do not load there."
            )
        return " ".join(said)


def choose(
    torch: str, settings: Settings, region: str, *, saved_as: str = "", python: str = "", serverless: bool = False
) -> Image:
    """Return the PyTorch inference image for a package.

    The image with the notebook's own torch version where there is one; else the newest of the same minor version;
    else the newest that loads the package: a state_dict or TorchScript saved by a newer torch loads in it, a pickled
    module needs the same Python, so that the newest with that one is taken if there is any.

    Parameters
    ----------
    torch, python
        The versions that the package was made with, such as ``2.13.0+cpu`` and ``3.11``. Empty: not known.
    settings
        ``image_uri``, ``framework_version`` and ``py_version`` override; ``instance_type`` decides the processor.
    region
        The AWS region whose registry serves the image.
    saved_as
        How the package's weights are saved.
    serverless
        Whether it runs on no instance type of its own: serverless endpoints have CPUs.

    Raises
    ------
    ConfigurationError
        If there is no such image, naming those there are.
    """
    if settings.image_uri:
        return Image(settings.image_uri)
    kind = CPU if serverless else processor(settings.instance_type)
    table = sdk.pytorch_images()[_TABLES[kind]]
    # The table goes back to images of an older contract, without model_fn in code/.
    versions = table["versions"]
    wanted = settings.framework_version
    if wanted:
        version = table.get("version_aliases", {}).get(wanted, wanted)
    else:
        needed = settings.py_version or (f"py{python.replace('.', '')}" if saved_as == "module" and python else "")
        version = sdk.nearest_version(versions, torch, needed)
    if version not in versions:
        raise ConfigurationError(
            f"SageMaker has no PyTorch inference image{_WORDS[kind]} with torch {wanted}; the newest are "
            f"{', '.join(sorted(versions, key=sdk.version_key)[-4:])}.",
            hint=f"--framework-version {max(versions, key=sdk.version_key)}",
        )
    entry = versions[version]
    account = entry["registries"].get(region)
    if account is None:
        raise ConfigurationError(
            f"SageMaker has no PyTorch {version} inference image{_WORDS[kind]} in the region {region}.",
            hint="--region us-west-2    # or --image-uri with an image of your own",
        )
    py_versions = entry["py_versions"]
    py_version = settings.py_version or py_versions[-1]
    if py_version not in py_versions:
        fitting = [name for name, other in versions.items() if py_version in other["py_versions"]]
        raise ConfigurationError(
            f"The PyTorch {version} inference image{_WORDS[kind]} has {', '.join(py_versions)}, not {py_version}.",
            hint=f"--py-version {py_versions[-1]}"
            + (f"    # or --framework-version {max(fitting, key=sdk.version_key)}" if fitting else ""),
        )
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    repository = f"{account}.dkr.ecr.{region}.{domain}/{entry['repository']}"
    system = entry.get("container_version", {}).get("cpu", "") if kind == GRAVITON else ""
    tag = f"{version}-{GPU if kind == GPU else CPU}-{py_version}" + (f"-{system}-sagemaker" if system else "")
    digits = py_version.removeprefix("py")
    return Image(
        f"{repository}:{tag}",
        torch=version,
        python=f"{digits[0]}.{digits[1:]}" if len(digits) > 1 else digits,
    )


def processor(instance_type: str) -> str:
    """Return which images an instance type takes, ``gpu``, ``graviton`` or ``cpu``: its family names its processor.

    Raises
    ------
    ConfigurationError
        If it has a processor that no PyTorch inference image is built for.
    """
    if instance_type == LOCAL:
        return CPU
    family = instance_type.removeprefix("ml.").split(".")[0].split("-")[0]
    if family in _OTHER_IMAGES:
        raise ConfigurationError(
            f"{instance_type} takes {_OTHER_IMAGES[family]} images; the PyTorch inference images have none for it.",
            hint="--image-uri URI    # an image built for it; or --instance-type ml.g5.xlarge",
        )
    if family[:1] in {"p", "g"} and family[1:2].isdigit():
        return GPU
    # c7g, m6gd, r6g, …: a digit and then "g" is AWS's own processor.
    return GRAVITON if "g" in family[2:4] and family[1:2].isdigit() else CPU


def _release(version: str) -> str:
    return version.split("+", maxsplit=1)[0]


def _minor(version: str) -> tuple[str, ...]:
    return tuple(_release(version).split(".")[:2])
