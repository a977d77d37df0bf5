"""The tutorials as pages: the notebooks with what their cells have shown."""

from __future__ import annotations

import base64
import html
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat

PLACE = re.compile(r'<div data-output="([\w/.-]+)"></div>')
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Tutorials:
    """Files of the site, and the outputs that take the places of their marks once Markdown is read."""

    files: dict[str, str | bytes] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)


def pages(directory: Path) -> Tutorials:
    """Return the pages of all notebooks in a directory."""
    made = Tutorials()
    for path in sorted(directory.glob("[0-9]*.ipynb")):
        _add(made, path)
    return made


def _add(made: Tutorials, path: Path) -> None:
    parts = []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        parts.append(f"```{_language(cell.source)}\n{cell.source}\n```")
        for index, output in enumerate(cell.outputs):
            mark = f"{path.stem}/{cell.id}-{index}"
            shown = _shown(made, mark, output)
            if shown:
                made.outputs[mark] = f'<div class="cell-output">{shown}</div>'
                parts.append(f'<div data-output="{mark}"></div>')
    title = parts[0]
    source = f'<p class="notebook">This page is <code>notebooks/{path.name}</code>, as it was executed.</p>'
    made.files[f"tutorials/{path.stem}.md"] = "\n\n".join([title, source, *parts[1:]]) + "\n"


def _language(source: str) -> str:
    return "python" if not source.startswith(("%%sm_predict", "!")) else "text"


def _shown(made: Tutorials, mark: str, output: Any) -> str:
    """Return an output as HTML; images become files of the site."""
    if output.output_type == "stream":
        return _text(output.text)
    if output.output_type == "error":
        is_ours = output.traceback and output.traceback[0].startswith(output.ename)  # and no list of frames
        lines = output.traceback if is_ours else [f"{output.ename}: {output.evalue}"]
        return _text("\n".join(lines), "error")
    data = output.get("data", {})
    if "image/png" in data:
        made.files[f"tutorials/{mark}.png"] = base64.b64decode(data["image/png"])
        return f'<img alt="{html.escape(data.get("text/plain", "plot"))}" src="{mark}.png">'
    if "text/html" in data:
        return str(data["text/html"])
    return _text(data.get("text/plain", ""))


def _text(text: str, kind: str = "text") -> str:
    return f'<pre class="{kind}">{html.escape(_ANSI.sub("", text).rstrip())}</pre>' if text.strip() else ""
