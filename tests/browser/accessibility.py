"""What axe-core finds in cards: contrast, names of controls, roles, what can be reached by keyboard."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from lab_driver import Notebook

_SERIOUS = {"serious", "critical"}


def serious(notebook: Notebook, selector: str = ".jp-OutputArea-output .sm-magics") -> list[str]:
    """Return what is serious or worse in all that a selector finds, a line each."""
    assert notebook.page.locator(selector).count(), f"nothing is {selector}"
    found = Axe().run(notebook.page, context=selector, options={"resultTypes": ["violations"]})
    return [
        f"{one['id']} ({one['impact']}): {one['help']}: {node['html'][:200]}: {node['failureSummary']}"
        for one in found.response["violations"]
        if one["impact"] in _SERIOUS
        for node in one["nodes"]
    ]
