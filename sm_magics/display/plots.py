"""Small pictures of numbers: a line in time, a heat map. What they say stands beside them in words."""

from __future__ import annotations

import base64
import math
import struct
import zlib
from collections.abc import Sequence

from . import page
from .page import Part

_WIDTH, _HEIGHT = 260, 26
_SIDE = 224
"""Pixels of a heat map's longer side, about; of more numbers some are left out."""

_HUE = "#2196f3"  # to be read on white and on black
_WARM, _COLD = bytes.fromhex("2196f3"), bytes.fromhex("f57c00")
_BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float | None], title: str) -> Part:
    """Return values over time as a line; where there is none the line is interrupted, a single one is a dot."""
    known = [value for value in values if value is not None]
    least, most = min(known), max(known)
    spread = (most - least) or 1.0
    step = _WIDTH / max(len(values) - 1, 1)
    runs: list[list[str]] = [[]]
    for index, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            # A value that does not change lies in the middle, not at the bottom.
            share = (value - least) / spread if most > least else 0.5
            runs[-1].append(f"{index * step:.1f},{2 + (1 - share) * (_HEIGHT - 4):.1f}")
    lines = "".join(f'<polyline points="{" ".join(run if len(run) > 1 else run * 2)}"/>' for run in runs if run)
    label = page.escape(title)
    html = f'<svg class="sm-line" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">{lines}</svg>'
    text = "".join(" " if value is None else _BLOCKS[round((value - least) / spread * 7)] for value in values)
    return Part(html, f"  {text.strip()}")


def line(values: Sequence[float], said: str) -> Part:
    """Return many numbers in a row as a line.

    As an image of its own: it is saved with the notebook, and what sanitizes untrusted ones takes inline SVG away.
    """
    width, height = 520, 64
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return page.paragraph(said, dim=True)
    least, most = min(finite), max(finite)
    count = min(len(values), width)
    picked = [values[index * len(values) // count] for index in range(count)]
    step = width / max(count - 1, 1)
    points = " ".join(
        f"{index * step:.1f},{2 + (1 - _share(value, least, most)) * (height - 4):.1f}"
        for index, value in enumerate(picked)
        if math.isfinite(value)
    )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
        f'<polyline fill="none" stroke="{_HUE}" stroke-width="1.5" stroke-linejoin="round" points="{points}"/></svg>'
    )
    drawn = image(svg.encode(), "image/svg+xml", f"A line of {len(values):,} numbers")
    return Part(drawn.html + page.paragraph(said, dim=True).html, f"  {said}")


def heat_map(rows: Sequence[Sequence[float]], said: str) -> Part:
    """Return a table of numbers as a picture: the larger the darker; what is below zero in another colour."""
    finite = [value for row in rows for value in row if math.isfinite(value)]
    if not finite:
        return page.paragraph(said, dim=True)
    least, most = min(finite), max(finite)
    reach = max(abs(least), abs(most)) or 1.0
    scale = max(1, _SIDE // max(len(rows), len(rows[0])))
    high, wide = min(len(rows), _SIDE), min(len(rows[0]), _SIDE)
    lines = []
    for y in range(high):
        row = rows[y * len(rows) // high]
        picked = [row[x * len(row) // wide] for x in range(wide)]
        line = b"".join(_pixel(value, least, most, reach) * scale for value in picked)
        lines += [line] * scale
    drawn = image(_png(lines, wide * scale), "image/png", f"A heat map of {len(rows)} × {len(rows[0])} numbers")
    return Part(drawn.html + page.paragraph(said, dim=True).html, f"  {said}")


def image(content: bytes, content_type: str, said: str) -> Part:
    """Return an image. Its bytes are saved with the notebook."""
    encoded = base64.b64encode(content).decode()
    html = f'<p><img src="data:{content_type};base64,{encoded}" alt="{page.escape(said)}"></p>'
    return Part(html, f"  [{said}]")


def _share(value: float, least: float, most: float) -> float:
    return (value - least) / (most - least) if most > least else 0.5


def _pixel(value: float, least: float, most: float, reach: float) -> bytes:
    """Return red, green, blue and opacity of a value: the background of either theme shines through small ones."""
    if not math.isfinite(value):
        return b"\x9e\x9e\x9e\xff"
    share = abs(value) / reach if least < 0 < most else _share(value, least, most)
    return (_COLD if value < 0 < most else _WARM) + bytes([round(255 * share)])


def _png(lines: Sequence[bytes], width: int) -> bytes:
    """Return lines of four bytes a pixel as a PNG (RFC 2083): 8 bits, with opacity, not interlaced."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, len(lines), 8, 6, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + line for line in lines), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
