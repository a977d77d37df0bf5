"""Cards that are alive: what an endpoint does, and what is done to it, is seen without another cell being run."""

from __future__ import annotations

import gzip
import io
import tarfile

import pytest
from playwright.sync_api import expect

SLOW = """\
import json, os, time
def model_fn(model_dir):
    while not os.path.exists({go!r}):
        time.sleep(0.05)
def transform_fn(model, body, content_type, accept):
    value = json.loads(body)
    if value == "fail":
        raise ValueError("<b>not today</b>")
    return json.dumps([{{"said": value}}]), "application/json"
"""
BROKEN = "def model_fn(model_dir):\n    raise OSError('<img src=x onerror=alert(1)> is no file')\n"
BUSY = "import os, time\nwhile not os.path.exists({free!r}):\n    time.sleep(0.05)"


@pytest.fixture
def packed(lab):
    """Write a model.tar.gz with a script into the lab's folder; no torch is needed for that."""

    def pack(name: str, code: str) -> str:
        with gzip.open(lab.root / name, "wb") as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
            for path, content in {"model.pth": b"none", "code/inference.py": code.encode()}.items():
                member = tarfile.TarInfo(path)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        return name

    return pack


def button(outputs, name):
    return outputs.get_by_role("button", name=name, exact=True)


def test_an_endpoints_card_goes_on_by_itself(open_notebook, lab, packed):
    go, free = lab.root / "go", lab.root / "free"
    notebook = open_notebook(
        "%load_ext sm_magics",
        f"%sm_deploy {packed('slow.tar.gz', SLOW.format(go=str(go)))} -e living --no-wait",
        f"%sm_deploy {packed('broken.tar.gz', BROKEN)} -e broken --no-wait",
        BUSY.format(free=str(free)),
        "%sm_status living",
        "%sm_predict -e living",
    )
    for index in range(4):
        notebook.run(index)

    # The kernel is busy all the while.
    broken = notebook.outputs(2)
    expect(broken).to_contain_text("failed · this machine")
    expect(broken).to_contain_text("OSError: <img src=x onerror=alert(1)> is no file")
    expect(broken).to_contain_text("model_fn raised")
    expect(broken.locator("img")).to_have_count(0)
    expect(broken.locator("details pre")).to_be_hidden()
    broken.get_by_text("Traceback", exact=True).click()
    expect(broken.locator("details pre")).to_contain_text("code/inference.py")

    living = notebook.outputs(1)
    expect(living).to_contain_text("being created · this machine")
    expect(living.get_by_text("deployment started")).to_be_hidden()  # the static card, for later
    expect(living.locator("li[aria-current=step]")).to_contain_text("Starting")
    expect(button(living, "Predict")).to_have_count(0)
    go.touch()
    expect(living).to_contain_text("in service · this machine")
    expect(button(living, "Predict")).to_be_visible()
    free.touch()

    # Two cards of one endpoint, and a panel without one.
    notebook.run(4)
    second = notebook.outputs(4)
    expect(second).to_contain_text("in service · this machine")
    button(second, "Predict").click()
    sends(second)
    notebook.run(5)
    sends(notebook.outputs(5))

    second = notebook.outputs(4)
    button(second, "Logs").click()
    expect(second.locator(".sm-drawer pre").first).to_contain_text("not today")
    button(second, "Hide logs").click()

    notebook.theme("dark")
    for name in ("living", "broken"):
        shown = notebook.outputs(1 if name == "living" else 2).locator("b", has_text=name).first
        colour = shown.evaluate("element => getComputedStyle(element).color.match(/[0-9.]+/g).slice(0, 3).map(Number)")
        assert min(colour) > 180, "text in a dark theme is light"
    notebook.theme("light")

    second = notebook.outputs(4)
    button(second, "Delete…").click()
    expect(second).to_contain_text("Delete living on this machine?")
    expect(second).to_contain_text("endpoint configuration")
    button(second, "Keep").click()
    expect(second).not_to_contain_text("Delete living on this machine?")
    expect(second).to_contain_text("in service")
    button(second, "Delete…").click()
    button(second, "Delete").click()
    expect(second).to_contain_text("deleted · this machine")
    expect(notebook.outputs(1)).to_contain_text("deleted · this machine")

    # What is saved is true without a kernel, and without what happened since.
    notebook.command("docmanager:save")
    notebook.restart()
    notebook.reload()
    expect(notebook.outputs(1).get_by_text("deployment started · this machine")).to_be_visible()
    expect(notebook.outputs(4).get_by_text("in service · this machine")).to_be_visible()
    for error in notebook.outputs(4).get_by_text("Error displaying widget").all():
        expect(error).to_be_hidden()


def sends(panel):
    """Send values with a panel."""
    panel.get_by_placeholder("inputs").fill('{"a": "<b>bold</b>"}')
    button(panel, "Send").click()
    expect(panel).to_contain_text("<b>bold</b>")
    expect(panel).to_contain_text("Sent")
    button(panel, "Send the last one again").click()
    expect(panel.locator(".sm-panel td code")).to_have_count(2)
    button(panel, "As curl").click()
    expect(panel.locator(".sm-panel pre").last).to_contain_text("--aws-sigv4")
    panel.get_by_placeholder("inputs").fill("no json")
    button(panel, "Send").click()
    expect(panel).to_contain_text("This is not JSON")
    panel.get_by_placeholder("inputs").fill('"fail"')
    button(panel, "Send").click()
    expect(panel).to_contain_text("ValueError: <b>not today</b>")
    button(panel, "Variable").click()
    panel.locator("textarea").fill("[1] + [2]")
    button(panel, "Send").click()
    expect(panel.locator(".sm-panel td code").first).to_have_text("[1] + [2]")
