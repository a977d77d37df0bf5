"""A package: the ``model.tar.gz`` of one model, what is in it and where it came from."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sm_magics.authoring.ownership import state_of
from sm_magics.errors import PackagingError

from .archive import check_layout, digest_of_archive, read_contents
from .saved import Saved, recognise_stream

_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")  # ModelName, EndpointName in the SageMaker API reference


@dataclass(frozen=True)
class PackageFile:
    """A file in the archive.

    Attributes
    ----------
    name
        Its name inside the archive, such as ``code/inference.py``.
    size
        In bytes.
    note
        A few words on what it is: ``"state_dict, 14 tensors"``.
    """

    name: str
    size: int
    note: str = ""


@dataclass(frozen=True)
class Package:
    """A finished ``model.tar.gz``.

    Attributes
    ----------
    name
        What the model is called; a name that SageMaker accepts.
    path
        The archive.
    digest
        BLAKE3 of what the archive unpacks to, in hexadecimal. The same model and code give the same digest.
    size
        The archive's size in bytes.
    files
        What is in it, in its order.
    model_dir
        The directory that holds ``code/`` and the model file.
    python, torch
        The versions that the model was packaged under; empty if not known (an archive that was opened).
    saved_as
        ``"state_dict"``, ``"torchscript"`` or ``"module"``; empty if not known (an archive with several model files).
    source
        What was packaged: the variable, the class where it has no name, or the saved file.
    notes
        Sentences on what the person should know.
    sample
        An input that the model accepts, or None.
    state
        What the archive's file was like (place on the disk, size, time), by which it is seen to be the same still.
    """

    name: str
    path: Path
    digest: str
    size: int
    files: tuple[PackageFile, ...]
    model_dir: Path
    python: str
    torch: str
    saved_as: str
    source: str
    notes: tuple[str, ...] = ()
    sample: Any = field(default=None, repr=False, compare=False)
    state: str = field(default="", repr=False, compare=False)

    @classmethod
    def open(cls, path: str | Path) -> Package:
        """Read an archive back and verify that SageMaker's container would find what is in it.

        Raises
        ------
        ArchiveError
            If it is no complete ``.tar.gz``, holds links or unsafe names, or the inference script or the model file is
            not where the container looks.
        """
        path = Path(path).expanduser().absolute()
        models: list[Saved | None] = []
        state = state_of(path) if path.is_file() else ""
        contents = read_contents(path, lambda file: models.append(recognise_stream(file)))
        check_layout(contents, str(path))
        stem = path.name.removesuffix(".gz").removesuffix(".tar")
        return cls(
            name=stem if _NAME.fullmatch(stem) else "model",
            path=path,
            digest=contents.digest,
            size=contents.size,
            files=tuple(PackageFile(name, size) for name, size in contents.sizes.items()),
            model_dir=path.parent,
            python="",
            torch="",
            saved_as=models[0].kind if len(models) == 1 and models[0] else "",
            source=path.name,
            state=state,
        )

    def is_unchanged(self) -> bool:
        """Return whether the archive is there and holds what was packaged. It is read only if it was written to."""
        try:
            if self.state and state_of(self.path) == self.state:
                return True
        except OSError:
            pass
        return digest_of_archive(self.path) == self.digest

    def to_pytorch_model(self, role: str | None = None, sagemaker_session: Any = None, **kwargs: Any) -> Any:
        """Return a ``PyTorchModel`` of SageMaker SDK 2 that deploys this very archive, without repacking it.

        Uploads the archive to the session's default bucket. See `sm_magics.sdk.pytorch_model`.

        Raises
        ------
        ConfigurationError
            Without SDK 2.
        """
        from sm_magics.sdk import pytorch_model

        versions = {"torch": self.torch, "python": self.python, "saved_as": self.saved_as}
        given = {"role": role, "sagemaker_session": sagemaker_session, **kwargs}
        return pytorch_model(self.path, self.digest, versions, **given)


def check_name(name: str) -> None:
    """Refuse a name that SageMaker would refuse.

    Raises
    ------
    PackagingError
        If it is not 1 to 63 letters, digits and hyphens that begins and ends with a letter or digit.
    """
    if not _NAME.fullmatch(name):
        usable = re.sub(r"[^a-zA-Z0-9]+", "-", name).strip("-")[:63].strip("-") or "model"
        raise PackagingError(
            f"SageMaker refuses the name {name!r}: up to 63 letters, digits and hyphens, no hyphen at either end.",
            hint=f"--name {usable}",
        )
