"""The side panel beside a notebook: it follows what happens there, predicts, deletes and says what is wrong."""

from __future__ import annotations

import json

import pytest
from panel_driver import Panel, pack
from playwright.sync_api import expect

BROKEN = "def model_fn(model_dir):\n    raise OSError('<b>no</b> such weights')\n"


@pytest.fixture
def deployed(open_notebook, lab):
    """Open a notebook that has deployed an endpoint, with the panel beside it."""

    def deploy(name: str, **options) -> Panel:
        notebook = open_notebook(
            "%load_ext sm_magics", f"%sm_deploy {pack(lab.root, f'{name}.tar.gz')} -e {name}", **options
        )
        notebook.run_all()
        return Panel.show(notebook)

    return deploy


def test_the_panel_follows_a_deployment_made_in_the_notebook(open_notebook, lab):
    notebook = open_notebook("%load_ext sm_magics", f"%sm_deploy {pack(lab.root, 'followed.tar.gz')} -e followed")
    panel = Panel.show(notebook)
    expect(panel.row("followed")).to_have_count(0)
    notebook.run_all()
    expect(panel.row("followed")).to_contain_text("in service")
    expect(panel.row("followed")).to_contain_text("1 worker")
    expect(notebook.page.locator(".jp-SmMagics-status")).to_contain_text("endpoint")

    row = panel.opened("followed")
    expect(row).to_contain_text(notebook.name)  # the notebook that made it
    expect(row).to_contain_text("pytorch-inference")
    row.get_by_text("tags", exact=False).first.click()
    row.get_by_role("button", name="Predict").click()
    row.get_by_label("Payload for followed").fill("[1, 2.5")
    row.get_by_role("button", name="Send").click()
    expect(row).to_contain_text("This is not JSON")
    row.get_by_label("Payload for followed").fill("[1, 2.5]")
    notebook.page.keyboard.press("Control+Enter")
    expect(row.locator(".jp-SmMagics-answer pre")).to_have_text("[2, 5]")
    expect(row.locator(".jp-SmMagics-log pre")).to_contain_text("asked for [1, 2.5]")

    row.get_by_role("button", name="Copy snippet").click()
    notebook.page.get_by_text("Magics into the notebook").click()
    expect(notebook.page.locator(".jp-Cell.jp-mod-active .cm-content")).to_contain_text("sm_predict")
    # What was sent is what the code sends.
    expect(notebook.page.locator(".jp-Cell.jp-mod-active .cm-content")).to_contain_text("[1, 2.5]")

    row.get_by_role("button", name="Delete…").click()
    dialog = notebook.page.get_by_role("dialog")
    for kind in ("endpoint configuration", "model data", "model"):
        expect(dialog.get_by_role("cell", name=kind, exact=True)).to_be_visible()
    dialog.get_by_role("button", name="Keep").click()
    expect(row).to_contain_text("in service")
    panel.delete("followed")
    expect(notebook.outputs(1)).to_contain_text("deleted")


def test_what_the_model_raised_is_shown_and_leads_nowhere_else(deployed):
    panel = deployed("raising")
    row = panel.opened("raising")
    row.get_by_role("button", name="Predict").click()
    row.get_by_label("Payload for raising").fill("{}")
    row.get_by_role("button", name="Send").click()
    expect(row.locator(".jp-SmMagics-detail")).to_contain_text("raised")
    panel.delete("raising")
    # A browser reports every answer that is an error.
    panel.notebook.complaints[:] = [said for said in panel.notebook.complaints if "424" not in said]


def test_an_endpoint_that_failed_says_why(open_notebook, lab):
    archive = pack(lab.root, "failing.tar.gz", BROKEN)
    notebook = open_notebook("%load_ext sm_magics", f"%sm_deploy {archive} -e failing --no-wait")
    panel = Panel.show(notebook)
    notebook.run_all()
    expect(panel.row("failing")).to_contain_text("failed")
    row = panel.opened("failing")
    expect(row.locator(".jp-SmMagics-diagnosis")).to_contain_text("OSError: <b>no</b> such weights")
    panel.delete("failing")


def test_two_pages_show_the_same(deployed, open_notebook):
    first = deployed("shared")
    second = Panel.show(open_notebook("1 + 1"))
    expect(second.row("shared")).to_contain_text("in service")
    first.delete("shared")
    expect(second.row("shared")).to_have_count(0)


def test_everything_can_be_done_from_the_keyboard(deployed):
    panel = deployed("by-key")
    page = panel.notebook.page
    press = page.keyboard.press
    page.locator(".jp-Notebook").first.focus()
    press("Control+Alt+m")
    expect(panel.node.get_by_label("Filter endpoints")).to_be_focused()
    page.keyboard.type("by-key")
    head = panel.row("by-key").locator(".jp-SmMagics-head")
    for _ in range(4):
        press("Tab")
        if head.evaluate("one => one === document.activeElement"):
            break
    expect(head).to_be_focused()
    press("Enter")
    expect(head).to_have_attribute("aria-expanded", "true")
    press("Tab")
    expect(panel.row("by-key").get_by_role("button", name="Predict")).to_be_focused()
    press("Enter")
    expect(panel.row("by-key").get_by_label("Payload for by-key")).to_be_focused()
    page.keyboard.type("[4]")
    press("Control+Enter")
    expect(panel.row("by-key").locator(".jp-SmMagics-answer pre")).to_have_text("[8]")
    panel.row("by-key").get_by_role("button", name="Delete…").focus()
    press("Enter")
    expect(page.get_by_role("button", name="Keep")).to_be_focused()
    press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    panel.delete("by-key")


def test_text_stands_out_in_both_themes(deployed):
    panel = deployed("seen")
    row = panel.opened("seen")
    row.get_by_role("button", name="Predict").click()
    expect(row).to_contain_text("pytorch-inference")
    for theme in ("dark", "light"):
        panel.notebook.theme(theme)
        contrasts = panel.node.evaluate(CONTRASTS)
        assert len(contrasts) > 10
        # The colours are JupyterLab's: its red has 4.37 on the grey of its dark theme.
        assert {text for text, ratio in contrasts if ratio < 4.3} == set(), theme
    panel.delete("seen")


# The contrast of each text with what it stands on, as the WCAG define it.
CONTRASTS = """panel => {
    const parse = colour => (colour.match(/[0-9.]+/g) ?? []).map(Number);
    const light = colour => {
        const [r, g, b] = parse(colour).map(one => one / 255).map(
            one => one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = element => {
        for (let at = element; at; at = at.parentElement) {
            const colour = getComputedStyle(at).backgroundColor;
            if (!/, 0\\)$/.test(colour) && colour !== 'transparent') return colour;
        }
        return 'rgb(255, 255, 255)';
    };
    return Array.from(panel.querySelectorAll('*'))
        .filter(one => one.checkVisibility() && !one.disabled && !one.ariaHidden && one.tagName !== 'OPTION')
        .filter(one => Array.from(one.childNodes).some(node => node.nodeType === 3 && node.data.trim()))
        .map(one => {
            const pair = [light(getComputedStyle(one).color), light(behind(one))].sort((a, b) => b - a);
            return [one.textContent, (pair[0] + 0.05) / (pair[1] + 0.05)];
        });
}"""


def test_two_hundred_endpoints_do_not_hold_the_page_up(open_notebook):
    notebook = open_notebook("1 + 1")
    page = notebook.page
    seen = {"second": 0}

    def answer(route):
        seen["second"] += 1
        route.fulfill(status=200, content_type="application/json", body=json.dumps(many(seen["second"])))

    Panel.show(notebook)
    page.evaluate(
        """window.smLong = []; new PerformanceObserver(list => window.smLong.push(
            ...list.getEntries().map(one => [Math.round(one.startTime), Math.round(one.duration)])
        )).observe({type: 'longtask'})"""
    )
    page.route("**/sm-magics/endpoints?**", answer)
    panel = Panel.show(notebook)
    panel.node.get_by_role("button", name="Refresh").click()
    expect(panel.row("endpoint-0")).to_be_visible()
    for _ in range(12):  # all are reached by scrolling
        panel.node.locator(".jp-SmMagics-lists").evaluate("one => one.scrollBy(0, 2000)")
        page.wait_for_timeout(100)
    expect(panel.row("endpoint-199")).to_have_count(1)
    page.wait_for_function("count => window.smLong !== undefined", arg=0)
    expect(panel.row("endpoint-0")).to_contain_text("in service")
    longest = max([0, *(duration for _, duration in page.evaluate("window.smLong"))])
    page.unroute("**/sm-magics/endpoints?**")
    assert longest < 1000  # 50 is what is meant; a busy machine takes its time


def many(second: int) -> dict:
    """Return what the server says of 200 endpoints, half of them changing each time."""
    place = {"where": "local", "place": "this machine", "state": "ok", "problem": None, "asked": None, "incomplete": 0}
    row = {
        "where": "local",
        "place": "this machine",
        "arn": "",
        "moving": False,
        "reason": "",
        "instance_type": "",
        "instance_count": 1,
        "cost_per_hour": 0,
        "cost_so_far": 0,
        "cost_unknown": "",
        "mine": True,
        "made_here": True,
        "notebook": "",
        "notebook_path": None,
        "removal": None,
        "created": "2026-11-22T10:00:00+00:00",
        "modified": "2026-11-22T10:00:00+00:00",
        "status": "InService",
    }
    rows = [{**row, "name": f"endpoint-{one}", "instance_count": 1 + (second + one) % 2} for one in range(200)]
    return {"now": f"2026-11-22T11:{second % 60:02}:00+00:00", "places": [{**place, "endpoints": rows}]}
