"""The ``/opt/ml`` of one training job, in a directory of its own.

Nobody may make ``/opt/ml`` on their own machine, and two jobs would share it. So the folders lie elsewhere, the
environment says where, and what names ``/opt/ml`` outright (arguments, values, AWS's own scripts) is rewritten. Only
the user's code is left as it is: it finds its folders by ``SM_MODEL_DIR`` and its kin.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CONTAINER_ROOT = "/opt/ml"
HOST = "algo-1"
_GROUP = "homogeneousCluster"
_INTERFACE = "eth0"

_ROOT = re.compile(r"(?<![\w./-])/opt/ml(?![\w.-])")
#: AWS's scripts use paths without quotes.
_NEEDS_NO_QUOTES = re.compile(r"[A-Za-z0-9_./-]+")
#: No script of AWS's is longer, in bytes.
_LONGEST_SCRIPT = 1 << 20


class Layout:
    """The folders of a job.

    Parameters
    ----------
    directory
        Its own; `make` makes it, `remove` removes it.

    Attributes
    ----------
    root
        What stands for ``/opt/ml``; a link where the directory's path would need quotes in a shell script.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.root = directory / "ml"

    def make(self) -> None:
        """Make the folders."""
        folders = self._directory / "ml"
        folders.mkdir(mode=0o700, parents=True)
        if not _NEEDS_NO_QUOTES.fullmatch(str(folders)):
            self.root = Path(tempfile.mkdtemp(prefix="sm-magics-")) / "ml"
            self.root.symlink_to(folders)
        for folder in (self.code, self.config, self.data, self.model, self.output_data, self.checkpoints, self.bin):
            folder.mkdir(mode=0o700, parents=True)

    def remove(self) -> None:
        """Remove the folders, whatever the script left in them."""
        shutil.rmtree(self._directory, ignore_errors=True)
        if self.root.parent != self._directory:
            shutil.rmtree(self.root.parent, ignore_errors=True)

    @property
    def code(self) -> Path:
        """Where the toolkit unpacks the source directory."""
        return self.root / "code"

    @property
    def config(self) -> Path:
        """``hyperparameters.json`` and its like."""
        return self.root / "input" / "config"

    @property
    def data(self) -> Path:
        """Where each input channel has a folder."""
        return self.root / "input" / "data"

    @property
    def model(self) -> Path:
        """What becomes ``model.tar.gz``."""
        return self.root / "model"

    @property
    def output(self) -> Path:
        """Where the file ``failure`` says why a job failed."""
        return self.root / "output"

    @property
    def output_data(self) -> Path:
        """What becomes ``output.tar.gz``."""
        return self.output / "data"

    @property
    def checkpoints(self) -> Path:
        """The default of ``CheckpointConfig.LocalPath``."""
        return self.root / "checkpoints"

    @property
    def bin(self) -> Path:
        """Commands that come before all others: ``python`` and ``pip``."""
        return self.root / "bin"

    @property
    def environment(self) -> Path:
        """The job's own layer on top of its Python environment."""
        return self._directory / "env"

    def local(self, text: str) -> str:
        """Return a text with the job's folders in the place of ``/opt/ml``."""
        return _ROOT.sub(str(self.root), text)

    def path(self, container_path: str) -> Path | None:
        """Return where a path of the container lies, or None if it is not under ``/opt/ml``."""
        local = Path(self.local(container_path))
        inside = local.is_relative_to(self.root) and ".." not in local.parts
        return local if inside else None

    def rewrite(self, folder: Path) -> None:
        """Rewrite the scripts in a folder that name ``/opt/ml``: those that AWS's SDK sends along."""
        for path in folder.rglob("*"):
            if path.is_file() and path.stat().st_size <= _LONGEST_SCRIPT:
                try:
                    text = path.read_text(encoding="utf-8")
                except UnicodeDecodeError:
                    continue
                if CONTAINER_ROOT in text:
                    path.write_text(self.local(text), encoding="utf-8")

    def write_configuration(self, request: Mapping[str, Any]) -> None:
        """Write the three files of ``input/config``.

        Source of their contents: "How Amazon SageMaker AI Provides Training Information", SageMaker developer guide.
        """
        instance = request["ResourceConfig"]["InstanceType"]
        resources = {
            "current_host": HOST,
            "current_instance_type": instance,
            "current_group_name": _GROUP,
            "hosts": [HOST],
            "instance_groups": [{"instance_group_name": _GROUP, "instance_type": instance, "hosts": [HOST]}],
            "network_interface_name": _INTERFACE,
        }
        hyperparameters = {name: self.local(value) for name, value in request.get("HyperParameters", {}).items()}
        for name, content in (
            ("resourceconfig", resources),
            ("inputdataconfig", {channel["ChannelName"]: _channel(channel) for channel in _channels(request)}),
            ("hyperparameters", hyperparameters),
        ):
            (self.config / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")

    def configuration(self, name: str) -> dict[str, Any]:
        """Return one of these files as it is read by the toolkit."""
        content: dict[str, Any] = json.loads((self.config / f"{name}.json").read_text(encoding="utf-8"))
        return content


def _channels(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    channels: list[dict[str, Any]] = request.get("InputDataConfig", [])
    return channels


def _channel(channel: Mapping[str, Any]) -> dict[str, str]:
    source = channel["DataSource"]["S3DataSource"]
    described = {
        "TrainingInputMode": channel.get("InputMode", "File"),
        "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
        "RecordWrapperType": channel.get("RecordWrapperType", "None"),
    }
    if "ContentType" in channel:
        described["ContentType"] = channel["ContentType"]
    return described
