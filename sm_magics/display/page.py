"""The pieces that everything shown is made of: escaped HTML, and the same as plain text.

Colours, fonts and borders are JupyterLab's own variables, so that a card looks native in every theme. What a card
says never depends on its style: JupyterLab drops styles from notebooks it does not trust, and GitHub from all.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

_DIM = "var(--jp-ui-font-color2,#777)"
_FILL = "var(--jp-rendermime-table-row-background,#f5f5f5)"
_MONO = "font:12px/1.5 var(--jp-code-font-family,monospace);color:inherit"
_RULES = {
    "": "font:13px/1.5 var(--jp-ui-font-family,system-ui,sans-serif);color:var(--jp-ui-font-color1,inherit);"
    "border:1px solid var(--jp-border-color2,#ddd);border-radius:6px;padding:10px 14px;margin:2px 0;max-width:680px;"
    "box-sizing:border-box",
    "a": "color:var(--jp-content-link-color,#1976d2)",
    "p": "margin:4px 0 0;overflow-wrap:anywhere",
    ".sm-head": "margin:0",
    ".sm-head b": "font-size:14px",
    ".sm-dim": f"color:{_DIM}",
    ".sm-ok": "color:var(--jp-success-color1,#388e3c)",
    ".sm-busy": "color:var(--jp-brand-color1,#1976d2)",
    ".sm-bad": "color:var(--jp-error-color1,#d32f2f)",
    ".sm-warn": "color:var(--jp-warn-color1,#f57c00)",
    "pre": f"{_MONO};background:{_FILL};border-radius:4px;padding:6px 10px;margin:6px 0 0;"
    "white-space:pre-wrap;overflow-wrap:anywhere",
    "code": f"{_MONO};background:{_FILL};border-radius:3px;padding:0 3px",
    "table": "border-collapse:collapse;font-size:12px;margin:6px 0 0",
    ".sm-wide": "overflow-x:auto",
    ".sm-whole": "white-space:nowrap",
    ".sm-whole code": "white-space:nowrap",
    "tr": "background:none",
    "td": "text-align:left;vertical-align:baseline;padding:1px 18px 1px 0;max-width:none;white-space:normal;"
    "overflow-wrap:anywhere",
    "th": f"text-align:left;font-weight:normal;color:{_DIM};padding:1px 18px 1px 0",
    "td.sm-n": "text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap;padding-right:10px",
    ".sm-bar": "display:inline-block;height:9px;border-radius:2px;background:var(--jp-brand-color1,#1976d2)",
}
# An id in :is() outranks what JupyterLab says of every table and listing in an output; no element has it.
_SCOPE = ":is(.sm-magics,#sm-magics-outranks)"


def style_sheet(rules: Mapping[str, str]) -> str:
    """Return rules for the parts of a card as a style sheet."""
    return (
        "<style>"
        + "\n".join(f"{_SCOPE} {part}{{{rule}}}".replace(" {", "{") for part, rule in rules.items())
        + "</style>"
    )


# A live card stands beside the static one. Once its kernel is gone JupyterLab shows an error in its place.
_DEAD = ">.jp-OutputArea-output.jupyter-widgets:not(:has(*))"
_WITHOUT_KERNEL = (
    f"<style>.jp-OutputArea-child:has(.sm-magics)+.jp-OutputArea-child{_DEAD},"
    f".jp-OutputArea-child:has(+.jp-OutputArea-child .sm-magics){_DEAD}{{display:none}}</style>"
)
STYLE = style_sheet(_RULES) + _WITHOUT_KERNEL

OK, BUSY, BAD, WARN = "ok", "busy", "bad", "warn"
SIGN = {OK: "●", BUSY: "◐", BAD: "●", WARN: "!"}


@dataclass(frozen=True)
class Shown:
    """What is shown for one value: the same facts as HTML and as text."""

    html: str
    text: str

    def bundle(self) -> dict[str, str]:
        """Return the MIME bundle that a front end chooses from."""
        return {"text/html": self.html, "text/plain": self.text}


@dataclass(frozen=True)
class Part:
    """One piece of a card, in both forms."""

    html: str
    text: str


def card(state: str, name: str, what: str, *parts: Part, style: str = STYLE) -> Shown:
    """Return a card: one line that says what it is and how it is, and below it only what matters now."""
    sign = SIGN[state]
    head = f'<p class="sm-head"><span class="sm-{state}">{sign}</span> <b>{escape(name)}</b>'
    head += f' <span class="sm-dim">{escape(what)}</span></p>'
    body = "".join(part.html for part in parts)
    text = "\n".join([f"{sign} {name} · {what}", *(part.text for part in parts)])
    return Shown(f'{style}<div class="sm-magics">{head}{body}</div>', text)


def escape(text: object) -> str:
    """Return text for HTML. Names come from AWS, errors from anywhere."""
    return html.escape(str(text))


def paragraph(text: str, *, code: str = "", dim: bool = False) -> Part:
    """Return a line of text, followed by something to paste where there is any."""
    kind = ' class="sm-dim"' if dim else ""
    pasted = f" <code>{escape(code)}</code>" if code else ""
    return Part(f"<p{kind}>{escape(text)}{pasted}</p>", f"  {text} {code}".rstrip())


def listing(lines: Sequence[str]) -> Part:
    """Return lines in a fixed-width font."""
    return Part(f"<pre>{escape(chr(10).join(lines))}</pre>", "\n".join(f"  {line}" for line in lines))


def log(lines: Sequence[str], name: str) -> Part:
    """Return lines of which there may be many: they scroll, by keyboard too."""
    drawn = listing(lines)
    return Part(
        drawn.html.replace("<pre>", f'<pre tabindex="0" role="region" aria-label="{escape(name)}">', 1), drawn.text
    )


def table(rows: Iterable[Sequence[object]], header: Sequence[str] = (), *, numbers: bool = False) -> Part:
    """Return a table. Cells that are a `Part` are taken as they are, all others are escaped."""
    cells = [[cell if isinstance(cell, Part) else Part(escape(cell), str(cell)) for cell in row] for row in rows]
    kind = ' class="sm-n"' if numbers else ""
    head = "<tr>" + "".join(f"<th>{escape(title)}</th>" for title in header) + "</tr>" if header else ""
    body = "".join("<tr>" + "".join(f"<td{kind}>{cell.html}</td>" for cell in row) + "</tr>" for row in cells)
    lines = [list(header)] if header else []
    lines += [[cell.text for cell in row] for row in cells]
    return Part(
        f'<div class="sm-wide"><table>{head}{body}</table></div>', "\n".join(f"  {line}" for line in columns(lines))
    )


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of cells as lines whose columns stand below each other."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)] if rows else []
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def code(text: str) -> Part:
    """Return a name in a fixed-width font."""
    return Part(f"<code>{escape(text)}</code>", text)


def dim(text: str) -> Part:
    """Return text that matters less."""
    return Part(f'<span class="sm-dim">{escape(text)}</span>', text)


def unbroken(value: Part | str) -> Part:
    """Return what is not broken into lines: a name in a table, beside which a long text gives way."""
    part = value if isinstance(value, Part) else Part(escape(value), value)
    return Part(f'<span class="sm-whole">{part.html}</span>', part.text)


def whole(text: str) -> Part:
    """Return text that matters less and is not broken into lines: a number with its unit."""
    return Part(f'<span class="sm-dim sm-whole">{escape(text)}</span>', text)


def sign(state: str, text: str) -> Part:
    """Return a word or sign in the colour of its state."""
    return Part(f'<span class="sm-{state}">{escape(text)}</span>', text)


def bar(share: float, pixels: int = 220) -> Part:
    """Return a bar for a number from 0 to 1."""
    width = max(2, round(share * pixels))
    return Part(f'<span class="sm-bar" style="width:{width}px"></span>', "█" * max(1, round(share * 20)))


def folded(title: str, part: Part) -> Part:
    """Return something that is read on request."""
    return Part(f"<details><summary>{escape(title)}</summary>{part.html}</details>", part.text)


def size(number: int) -> str:
    """Return a number of bytes for people, in decimal units: ``0 B``, ``0.9 kB``, ``1.2 MB``."""
    if not number:
        return "0 B"
    value, unit = float(number), ""
    for unit in ("kB", "MB", "GB", "TB"):  # noqa: B007 - the unit it ends with is the one that fits
        value /= 1000
        if value < 999.95:  # noqa: PLR2004 - more would be written as 1000.0
            break
    return f"{max(value, 0.1):.1f} {unit}"
