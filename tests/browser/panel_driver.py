"""The side panel of the JupyterLab extension, as its user sees it."""

from __future__ import annotations

import gzip
import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

from lab_driver import Notebook
from playwright.sync_api import Locator, expect

TWICE = """\
import json
def model_fn(model_dir):
    return None
def transform_fn(model, body, content_type, accept):
    value = json.loads(body)
    print("asked for", value)
    return json.dumps([2 * one for one in value]), "application/json"
"""


def pack(folder: Path, name: str, code: str = TWICE) -> str:
    """Write a model.tar.gz with a script; return its name. No torch is needed for that."""
    with gzip.open(folder / name, "wb") as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
        for path, content in {"model.pth": b"none", "code/inference.py": code.encode()}.items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return name


@dataclass
class Panel:
    """The panel beside a notebook."""

    notebook: Notebook
    node: Locator

    @classmethod
    def show(cls, notebook: Notebook) -> Panel:
        """Open it, and wait until the server has answered."""
        notebook.command("sm-magics:show")
        node = notebook.page.get_by_role("region", name="SageMaker", exact=True)
        expect(node.get_by_role("region", name="This machine")).to_be_visible()
        return cls(notebook, node)

    def row(self, name: str) -> Locator:
        """Return the row of an endpoint or a training job."""
        return self.node.locator(f".jp-SmMagics-row[data-name='{name}']")

    def opened(self, name: str) -> Locator:
        """Open a row that is closed; return it."""
        row = self.row(name)
        head = row.locator(".jp-SmMagics-head")
        head.click()
        expect(head).to_have_attribute("aria-expanded", "true")
        return row

    def delete(self, name: str) -> None:
        """Delete an endpoint, and wait until it has gone."""
        row = self.row(name)
        if row.locator(".jp-SmMagics-head").get_attribute("aria-expanded") != "true":
            self.opened(name)
        row.get_by_role("button", name="Delete…").click()
        dialog = self.notebook.page.get_by_role("dialog")
        expect(dialog).to_contain_text(f"Delete {name} on this machine?")
        dialog.get_by_role("button", name="Delete", exact=True).click()
        expect(row).to_have_count(0)
