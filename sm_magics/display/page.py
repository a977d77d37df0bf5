"""The pieces that everything shown is made of: escaped HTML, and the same as plain text.

Colours, fonts and borders are JupyterLab's own variables, so that a card looks native in every theme. What a card
says never depends on its style: JupyterLab drops styles from notebooks it does not trust, and GitHub from all.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

STYLE = """<style>
.sm-magics{font:13px/1.5 var(--jp-ui-font-family,system-ui,sans-serif);color:var(--jp-ui-font-color1,inherit);\
border:1px solid var(--jp-border-color2,#ddd);border-radius:6px;padding:10px 14px;margin:2px 0;max-width:680px}
.sm-magics p{margin:4px 0 0}.sm-magics .sm-head{margin:0}.sm-magics .sm-head b{font-size:14px}
.sm-magics .sm-dim{color:var(--jp-ui-font-color2,#777)}
.sm-magics .sm-ok{color:var(--jp-success-color1,#388e3c)}.sm-magics .sm-busy{color:var(--jp-brand-color1,#1976d2)}
.sm-magics .sm-bad{color:var(--jp-error-color1,#d32f2f)}.sm-magics .sm-warn{color:var(--jp-warn-color1,#f57c00)}
.sm-magics pre,.sm-magics code{font:12px/1.5 var(--jp-code-font-family,monospace);color:inherit}
.sm-magics pre{background:var(--jp-layout-color2,#f5f5f5);border-radius:4px;padding:6px 10px;margin:6px 0 0;\
overflow-x:auto;white-space:pre}
.sm-magics code{background:var(--jp-layout-color2,#f5f5f5);border-radius:3px;padding:0 3px}
.sm-magics table{border-collapse:collapse;font-size:12px;margin:6px 0 0}
.sm-magics table th,.sm-magics table td{text-align:left;vertical-align:baseline;padding:1px 18px 1px 0;\
background:none;max-width:none;white-space:normal}
.sm-magics table tr{background:none}
.sm-magics table th{font-weight:normal;color:var(--jp-ui-font-color2,#777)}
.sm-magics table td.sm-n{text-align:right;font-variant-numeric:tabular-nums}
.sm-magics .sm-bar{display:inline-block;height:9px;border-radius:2px;background:var(--jp-brand-color1,#1976d2)}
</style>"""

OK, BUSY, BAD, WARN = "ok", "busy", "bad", "warn"
_SIGN = {OK: "●", BUSY: "◐", BAD: "●", WARN: "!"}


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


def card(state: str, name: str, what: str, *parts: Part) -> Shown:
    """Return a card: one line that says what it is and how it is, and below it only what matters now."""
    sign = _SIGN[state]
    head = f'<p class="sm-head"><span class="sm-{state}">{sign}</span> <b>{escape(name)}</b>'
    head += f' <span class="sm-dim">{escape(what)}</span></p>'
    body = "".join(part.html for part in parts)
    text = "\n".join([f"{sign} {name} · {what}", *(part.text for part in parts)])
    return Shown(f'{STYLE}<div class="sm-magics">{head}{body}</div>', text)


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


def table(rows: Iterable[Sequence[object]], header: Sequence[str] = (), *, numbers: bool = False) -> Part:
    """Return a table. Cells that are a `Part` are taken as they are, all others are escaped."""
    cells = [[cell if isinstance(cell, Part) else Part(escape(cell), str(cell)) for cell in row] for row in rows]
    kind = ' class="sm-n"' if numbers else ""
    head = "<tr>" + "".join(f"<th>{escape(title)}</th>" for title in header) + "</tr>" if header else ""
    body = "".join("<tr>" + "".join(f"<td{kind}>{cell.html}</td>" for cell in row) + "</tr>" for row in cells)
    lines = [list(header)] if header else []
    lines += [[cell.text for cell in row] for row in cells]
    return Part(f"<table>{head}{body}</table>", "\n".join(f"  {line}" for line in columns(lines)))


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


def sign(state: str, text: str) -> Part:
    """Return a word or sign in the colour of its state."""
    return Part(f'<span class="sm-{state}">{escape(text)}</span>', text)


def bar(share: float, pixels: int = 220) -> Part:
    """Return a bar for a number from 0 to 1."""
    width = max(2, round(share * pixels))
    return Part(f'<span class="sm-bar" style="width:{width}px"></span>', "█" * max(1, round(share * 20)))


def size(number: int) -> str:
    """Return a number of bytes for people: decimal units, as disks and networks have them."""
    kilo = 1000
    if number < kilo:
        return f"{number} B"
    value, unit = float(number), ""
    for unit in ("kB", "MB", "GB", "TB"):  # noqa: B007 - the unit it ends with is the one that fits
        value /= kilo
        if value < kilo:
            break
    return f"{value:.1f} {unit}"
