"""What the JupyterLab extension does in notebooks: it deploys, inserts handlers, marks cells and follows tracebacks."""

from __future__ import annotations

import shutil

import pytest
from panel_driver import Panel
from playwright.sync_api import expect

pytest.importorskip("torch")

MODEL = """\
import torch
class Twice(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(2.0))
    def forward(self, x):
        return self.factor * x
model = Twice().eval()"""
HANDLER = """\
%%sm_inference
import json, torch
def input_fn(body, content_type):
    values = json.loads(body)
    return torch.tensor(values["inputs"])"""


COUNTS = """() => Array.from(window.jupyterapp.shell.widgets('main'))
    .filter(one => one.context?.path.endsWith('.ipynb'))
    .flatMap(one => Array.from(one.content.model.cells).map(cell => cell.executionCount))"""


def sources(notebook) -> list[str]:
    return notebook.evaluate("return Array.from(panel.content.model.cells).map(cell => cell.sharedModel.getSource());")


@pytest.fixture(autouse=True)
def _nobodys_code(lab):
    """The notebooks share a folder, and a script belongs to the notebook that wrote it."""
    shutil.rmtree(lab.root / "code", ignore_errors=True)
    (lab.root / ".sm_magics.json").unlink(missing_ok=True)


def test_a_fresh_notebook_is_deployed_from_its_toolbar(open_notebook):
    notebook = open_notebook(MODEL)
    notebook.run(0)
    notebook.command("sm-magics:insert-handlers")
    page = notebook.page
    expect(page.locator(".jp-Cell.jp-mod-active .cm-content")).to_contain_text("def output_fn")
    texts = sources(notebook)
    assert texts[1] == "%load_ext sm_magics"  # no magic runs before it
    assert texts[2].startswith("%%sm_inference\n")
    notebook.run(1)
    notebook.run(2)
    expect(notebook.outputs(2)).to_contain_text("code/inference.py")

    page.locator(".jp-NotebookPanel-toolbar [data-jp-item-name='sm-magics']").get_by_role("button").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Model")).to_have_value("model")
    expect(dialog).to_contain_text("model · Twice · 1 parameters")
    dialog.get_by_label("Endpoint name").fill("from-the-toolbar")
    dialog.get_by_role("button", name="Deploy", exact=True).click()
    active = page.locator(".jp-Cell.jp-mod-active .cm-content")
    expect(active).to_have_text("%sm_deploy model --endpoint-name from-the-toolbar")
    panel = Panel.show(notebook)
    expect(panel.row("from-the-toolbar")).to_contain_text("in service")
    # Nothing that was asked has been counted: the cells are all that ran.
    notebook.page.wait_for_function(f"() => ({COUNTS})().join() === '1,2,3,4'")
    row = panel.opened("from-the-toolbar")
    row.get_by_role("button", name="Predict").click()
    row.get_by_label("Payload for from-the-toolbar").fill("[1, 2.5]")
    row.get_by_role("button", name="Send").click()
    expect(row.locator(".jp-SmMagics-answer pre")).to_have_text("[2, 5]")
    panel.delete("from-the-toolbar")


def test_a_cell_says_whether_its_file_is_what_it_says_and_a_traceback_leads_to_it(open_notebook):
    notebook = open_notebook(
        f"%load_ext sm_magics\n{MODEL}",
        HANDLER,
        "%sm_deploy model -e jumping",
        "%sm_predict -e jumping [1, 2]",
        "%sm_delete jumping",
    )
    badge = notebook.page.locator(".jp-SmMagics-badge")
    expect(badge).to_have_attribute("data-state", "absent")
    for index in range(4):
        notebook.run(index)
    expect(badge).to_have_attribute("data-state", "matches")
    expect(badge).to_have_text("✓ code/inference.py")
    outputs = notebook.outputs(3)
    expect(outputs.locator(".jp-SmMagics-frame").first).to_contain_text("code/inference.py")
    for folded in outputs.locator("details:not([open]) > summary").all():
        folded.click()
    frame = outputs.locator(".jp-SmMagics-frame").locator("visible=true").first
    frame.click()
    active = notebook.page.locator(".jp-Cell.jp-mod-active")
    expect(active.locator(".cm-content")).to_contain_text("%%sm_inference")
    expect(notebook.page.get_by_text("Ln 5, Col 1", exact=True)).to_be_visible()
    notebook.page.keyboard.type("# changed")
    expect(badge).to_have_attribute("data-state", "differs")
    notebook.run(1)
    expect(badge).to_have_attribute("data-state", "matches")
    badge.click()
    expect(notebook.page.locator(".jp-FileEditor .cm-content")).to_contain_text("# changed")
    notebook.run(4)
    expect(notebook.outputs(4)).to_contain_text("jumping")


BREAKING = """\
%%sm_inference
def model_fn(model_dir):
    raise OSError("no weights here")"""


def test_a_deployment_that_fails_shows_its_card_and_card_and_panel_lead_to_the_cell(open_notebook):
    notebook = open_notebook(
        f"%load_ext sm_magics\n{MODEL}", BREAKING, "%sm_deploy model -e leading --no-check", "1 + 1"
    )
    page = notebook.page
    for index in range(3):
        notebook.run(index)
    outputs = notebook.outputs(2)
    card = outputs.locator(".sm-live", has_text="failed · this machine")
    expect(card).to_contain_text("OSError: no weights here")
    expect(card).to_contain_text("section model_fn, cell [2], line 2")
    error = outputs.locator(".jp-RenderedText", has_text="EndpointFailed")
    expect(error).to_contain_text("OSError: no weights here (model_fn, section model_fn, cell [2], line 2)")
    expect(error).not_to_contain_text("Traceback")  # the card has it, folded
    active = page.locator(".jp-Cell.jp-mod-active .cm-content")
    card.get_by_role("link", name="section model_fn").click()
    expect(active).to_contain_text("%%sm_inference")
    expect(page.get_by_text("Ln 3, Col 1", exact=True)).to_be_visible()

    notebook.run(3)
    expect(active).not_to_contain_text("%%sm_inference")
    panel = Panel.show(notebook)
    link = panel.opened("leading").locator(".jp-SmMagics-diagnosis").get_by_role("link").first
    expect(link).to_have_text("code/inference.py line 3")
    link.click()
    expect(active).to_contain_text("%%sm_inference")
    expect(page.get_by_text("Ln 3, Col 1", exact=True)).to_be_visible()

    # A notebook that has been closed is opened.
    notebook.command("docmanager:save")
    notebook.command("application:close")
    expect(page.locator(".jp-NotebookPanel")).to_have_count(0)
    link.press("Enter")
    expect(active).to_contain_text("%%sm_inference")
    expect(page.get_by_text("Ln 3, Col 1", exact=True)).to_be_visible()
    panel.delete("leading")


NARROW = """\
import torch
%load_ext sm_magics

class Narrow(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(2, 1)
    def forward(self, x):
        return self.fc(x)
model = Narrow().eval()"""


def test_what_the_models_own_class_raised_leads_to_its_cell(open_notebook):
    notebook = open_notebook(NARROW, "%sm_deploy model -e narrow", "%sm_predict [[1, 2, 3]]", "%sm_delete narrow")
    page = notebook.page
    for index in range(3):
        notebook.run(index)
    outputs = notebook.outputs(2)
    expect(outputs).to_contain_text("class Narrow, cell [1], line 9")
    active = page.locator(".jp-Cell.jp-mod-active .cm-content")
    outputs.get_by_role("link", name="class Narrow").click()
    expect(active).to_contain_text("class Narrow")
    expect(page.get_by_text("Ln 9, Col 1", exact=True)).to_be_visible()
    # By the file, too: the notebook as it was saved says which cell has that class.
    notebook.command("docmanager:save")
    notebook.run(3)
    outputs = notebook.outputs(2)
    outputs.locator("details > summary").first.click()
    outputs.locator(".jp-SmMagics-frame", has_text="code/sm_model.py").locator("visible=true").first.click()
    expect(active).to_contain_text("class Narrow")
    expect(page.get_by_text("Ln 9, Col 1", exact=True)).to_be_visible()


def test_magics_and_options_are_completed_without_a_kernel(open_notebook):
    notebook = open_notebook("%sm_deploy model --endp")
    notebook.lab.shut_down(notebook.name)
    notebook.page.wait_for_function(
        "() => !Array.from(window.jupyterapp.shell.widgets('main'))"
        ".find(one => one.context?.path.endsWith('.ipynb')).sessionContext.session?.kernel"
    )
    notebook.evaluate(
        "app.shell.activateById(panel.id); panel.content.mode = 'edit'; const editor = panel.content.activeCell.editor;"
        " editor.focus(); editor.setCursorPosition({line: 0, column: 23});"
    )
    completer = notebook.page.locator(".jp-Completer")
    notebook.command("completer:invoke-notebook")
    expect(completer).to_contain_text("--endpoint-name")


def test_the_first_tutorial_is_opened_from_the_launcher(open_notebook, lab):
    notebook = open_notebook("1 + 1")
    notebook.command("launcher:create", cwd="")
    notebook.page.locator(".jp-LauncherCard", has_text="SageMaker").click()
    expect(notebook.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell").first).to_contain_text(
        "Bring your own model"
    )
    assert (lab.root / "bring_your_own_model.ipynb").exists()
    lab.shut_down("bring_your_own_model.ipynb")
