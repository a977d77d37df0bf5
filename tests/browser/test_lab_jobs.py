"""The panel's training jobs: followed while they run, opened, and attached in the notebook."""

from __future__ import annotations

import scenes
from panel_driver import Panel
from playwright.sync_api import expect


def test_a_training_job_is_followed_in_the_panel_and_attached_in_the_notebook(open_notebook, lab, tmp_path):
    go = tmp_path / "go"
    notebook = open_notebook("%load_ext sm_magics", scenes.train("seen-job", go))
    notebook.run_all()
    panel = Panel.show(notebook)
    panel.node.get_by_role("button", name="Training jobs").click()
    expect(panel.row("seen-job")).to_contain_text("in progress", timeout=60_000, ignore_case=True)
    go.touch()
    expect(panel.row("seen-job")).to_have_attribute("data-status", "Completed", timeout=60_000)

    row = panel.opened("seen-job")
    expect(row).to_contain_text("train:loss")
    expect(row).to_contain_text("epoch=29", timeout=30_000)
    row.get_by_role("button", name="Attach in notebook").click()
    expect(notebook.page.locator(".jp-Notebook")).to_contain_text("%sm_attach seen-job")
