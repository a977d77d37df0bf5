"""The JupyterLab extension and its server: under a base URL, restarted, without our routes, of another version."""

from __future__ import annotations

import re

from lab_driver import Lab, Notebook
from panel_driver import Panel
from playwright.sync_api import expect

# Nobody's credentials, and nobody is asked for any.
NO_AWS = {
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nonexistent/config",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent/credentials",
}
BUDGET = 60_000
ROUTES = re.compile(r"/sm-magics/(settings|status|endpoints|training-jobs|cells|frames)")


def test_the_panel_works_behind_a_base_url_and_says_what_it_cannot_ask(a_browser, tmp_path, machine_home):
    environ = {"SM_MAGICS_HOME": str(machine_home.home), **NO_AWS}
    (tmp_path / "notebooks").mkdir()
    with Lab.start(tmp_path / "notebooks", environ, "/jupyterlab/default/") as lab:
        notebook = Notebook.open(a_browser, lab, lab.write("based.ipynb", ["1 + 1"]))
        loaded = notebook.page.evaluate(LOADED)
        panel = Panel.show(notebook)
        expect(panel.node).to_contain_text("Choose a region")
        machine = panel.node.get_by_role("region", name="This machine")
        start = machine.get_by_role("button", name="Start")
        # Others' tests may have started it, and left endpoints.
        expect(machine.locator(".jp-SmMagics-row").or_(machine.locator(".jp-SmMagics-empty")).first).to_be_visible()
        if start.is_visible():
            start.click()
        expect(start).to_have_count(0)

        panel.node.get_by_label("AWS region").select_option("eu-west-1")
        expect(panel.node.get_by_role("region", name="AWS")).to_contain_text("credentials")
        notebook.reload()
        panel = Panel.show(notebook)
        expect(panel.node.get_by_label("AWS region")).to_have_value("eu-west-1")
        panel.node.get_by_label("AWS region").select_option("")
        expect(panel.node).to_contain_text("AWS is not asked.")
        notebook.close()
        notebook.assert_quiet()
    assert 0 < loaded < BUDGET


# What the extension's files weigh, unpacked, that this page has loaded.
LOADED = """() => performance.getEntriesByType('resource')
    .filter(one => one.name.includes('/extensions/sm-magics/'))
    .reduce((sum, one) => sum + one.decodedBodySize, 0)"""


def test_a_server_that_was_restarted_is_asked_again(a_browser, tmp_path, machine_home):
    environ = {"SM_MAGICS_HOME": str(machine_home.home), **NO_AWS}
    (tmp_path / "notebooks").mkdir()
    with Lab.start(tmp_path / "notebooks", environ) as lab:
        notebook = Notebook.open(a_browser, lab, lab.write("again.ipynb", ["1 + 1"]))
        panel = Panel.show(notebook)
    # JupyterLab's own dialog says it too, and lies before everything.
    panel.node.get_by_role("button", name="Refresh").dispatch_event("click")
    expect(panel.node).to_contain_text("The Jupyter server does not answer.")
    with Lab.start(tmp_path / "notebooks", environ, again=lab):
        panel.node.get_by_role("button", name="Refresh").dispatch_event("click")
        expect(panel.node).not_to_contain_text("does not answer")
        expect(panel.node.get_by_role("region", name="This machine")).to_be_visible()
        notebook.close()


def test_a_server_that_does_not_know_us_yet_asks_for_a_restart(open_notebook):
    notebook = open_notebook("1 + 1")
    # What a server that was started before the installation answers.
    notebook.page.route(ROUTES, lambda route: route.fulfill(status=404, body="<html>404</html>"))
    notebook.page.reload()
    notebook.ready()
    notebook.command("sm-magics:show")
    node = notebook.page.get_by_role("region", name="SageMaker", exact=True)
    expect(node).to_contain_text("Restart the server to use this panel.")
    notebook.page.unroute(ROUTES)
    node.get_by_role("button", name="Try again").click()
    expect(node).not_to_contain_text("Restart the server")
    notebook.complaints[:] = [said for said in notebook.complaints if "404" not in said]


def test_a_kernel_without_us_is_told_from_one_with_another_version(open_notebook):
    hidden = (
        "import importlib.metadata as found\n"
        "found.distributions = (lambda all: lambda **of: [] if of.get('name') == 'sm-magics' else all(**of))"
        "(found.distributions)"
    )
    notebook = open_notebook(hidden)
    notebook.run_all()
    panel = Panel.show(notebook)
    expect(panel.node).to_contain_text("kernel does not have sm_magics")
    expect(panel.node).to_contain_text("%pip install sm-magics==")
    notebook.restart()
    expect(panel.node).not_to_contain_text("kernel does not have sm_magics")
