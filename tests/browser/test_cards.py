"""Cards that are alive: what an endpoint does, and what is done to it, is seen without another cell being run."""

from __future__ import annotations

import scenes
from accessibility import serious
from playwright.sync_api import expect

BUSY = "import os, time\nwhile not os.path.exists({free!r}):\n    time.sleep(0.05)"


def button(outputs, name):
    return outputs.get_by_role("button", name=name, exact=True)


def test_an_endpoints_card_goes_on_by_itself(open_notebook, lab):
    go, free = lab.root / "go", lab.root / "free"
    notebook = open_notebook(
        "%load_ext sm_magics",
        f"%sm_deploy {scenes.pack(lab.root, 'slow.tar.gz', scenes.waiting(go))} -e living --no-wait",
        f"%sm_deploy {scenes.pack(lab.root, 'broken.tar.gz', scenes.BROKEN)} -e broken --no-wait",
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
    expect(living.get_by_role("status")).to_have_text("living is in service")  # to a screen reader
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
    assert serious(notebook) == []

    notebook.theme("dark")
    for name in ("living", "broken"):
        shown = notebook.outputs(1 if name == "living" else 2).locator("b", has_text=name).first
        colour = shown.evaluate("element => getComputedStyle(element).color.match(/[0-9.]+/g).slice(0, 3).map(Number)")
        assert min(colour) > 180, "text in a dark theme is light"
    assert serious(notebook) == []
    notebook.theme("light")

    second = notebook.outputs(4)
    button(second, "Hide logs").click()
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


# Of ours, but for the one that waits for the end of a service that this kernel has started.
THREADS = """\
import threading
names = [thread.name for thread in threading.enumerate() if thread.name.startswith("sm_magics")]
sorted({*names} - {"sm_magics-reaper"}), len(names) < 4"""


def test_fifty_cards_cost_one_poller_and_an_untrusted_notebook_reads_well(open_notebook, lab):
    go = lab.root / "go-fifty"
    notebook = open_notebook(
        "%load_ext sm_magics",
        f"fifty = %sm_deploy {scenes.pack(lab.root, 'fifty.tar.gz', scenes.waiting(go))} -e fifty --no-wait",
        *["for _ in range(10):\n    display(fifty)"] * 5,
        THREADS,
        "%sm_endpoints",
    )
    notebook.run_all()
    expect(notebook.outputs(7)).to_contain_text("(['sm_magics-clock', 'sm_magics-watcher'], True)")
    for index in range(2, 7):
        expect(notebook.outputs(index).locator(".sm-live", has_text="being created")).to_have_count(10)
    go.touch()
    for index in range(2, 7):
        expect(notebook.outputs(index).locator(".sm-live", has_text="in service")).to_have_count(10)

    # As somebody else's notebook: JupyterLab takes away what is not plain.
    notebook.command("docmanager:save")
    saved = (lab.root / notebook.name).read_text()
    name = "somebody_elses.ipynb"
    (lab.root / name).write_text(saved.replace('"metadata": {', '"metadata": {"of": "somebody else"},"was": {', 1))
    theirs = open_notebook(name=name)
    first = theirs.outputs(1)
    expect(
        first.get_by_text("fifty being created · this machine").or_(first.get_by_text("fifty").first)
    ).to_be_visible()
    words = " ".join(first.inner_text().split())
    assert "fifty deployment started · this machine" in words
    assert "Follow it: %sm_status fifty" in words
    expect(theirs.outputs(8)).to_contain_text("fifty")
    assert serious(theirs, ".jp-OutputArea-output") == []


def test_a_table_a_job_and_a_package_are_alive_and_worked_by_keyboard(open_notebook, lab):
    done = lab.root / "done"
    notebook = open_notebook(
        "%load_ext sm_magics",
        "%%sm_inference\ndef transform_fn(model, body, content_type, accept):\n    return body, accept",
        "%%sm_inference\ndef model_fn(model_dir):\n    return open(model_dir + '/model.pth').read()",
        scenes.train("a-job", done),
        "%sm_attach a-job",
        f"%sm_deploy {scenes.pack(lab.root, 'zebra.tar.gz', scenes.SERVING)} -e zebra",
        "%sm_endpoints",
        f"%sm_deploy {scenes.pack(lab.root, 'ant.tar.gz', scenes.SERVING)} -e ant",
        "_ = %sm_delete ant",
    )
    for index in range(7):
        notebook.run(index)

    job = notebook.outputs(4)
    expect(job).to_contain_text("training job · training · this machine")
    expect(job.get_by_role("img", name="train:loss")).to_be_visible()  # it comes in while it runs
    expect(button(job, "Deploy…")).to_have_count(0)
    done.touch()
    expect(job).to_contain_text("training job · completed · this machine")
    button(job, "Artifacts").click()
    expect(job).to_contain_text("model.pth")

    # A table that another cell's endpoint comes into.
    expect(notebook.outputs(6).locator(".sm-live")).to_contain_text("zebra")
    notebook.run(7)
    table = notebook.outputs(6)
    expect(table.locator(".sm-grid")).to_contain_text("ant")
    button(table, "name").focus()
    notebook.page.keyboard.press("Enter")
    expect(button(table, "name ▲")).to_be_focused()
    expect(table.get_by_role("columnheader", name="name")).to_have_attribute("aria-sort", "ascending")
    assert names(table) == sorted(names(table))
    notebook.page.keyboard.press("Enter")
    expect(table.get_by_role("columnheader", name="name")).to_have_attribute("aria-sort", "descending")
    assert names(table) == sorted(names(table), reverse=True)
    outline = table.locator(".jupyter-button:focus").evaluate("element => getComputedStyle(element).outlineStyle")
    assert outline != "none", "where the keyboard is can be seen"
    notebook.run(8)
    expect(notebook.outputs(6).locator(".sm-grid")).not_to_contain_text("ant")

    # What was trained is deployed from its card.
    job = notebook.outputs(4)
    button(job, "Deploy…").click()
    expect(job).to_contain_text("Deploy what it trained as")
    button(job, "Deploy").click()
    expect(job).to_contain_text("in service · this machine")
    for theme in ("dark", "light"):
        notebook.theme(theme)
        assert serious(notebook) == []


def names(table):
    """Return the names in a table, as they stand below each other."""
    return table.locator(".sm-grid tr:not(.sm-said) td:nth-child(2)").all_inner_texts()
