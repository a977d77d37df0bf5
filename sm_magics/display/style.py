"""What live cards look like beyond static ones: the time line, figures, and buttons that look like links.

Kept apart from the static style: that one is saved with every notebook.
"""

from __future__ import annotations

from . import page

_LINK = "var(--jp-content-link-color,var(--jp-brand-color1,#1976d2))"
_CELL = "flex:1 1 0;min-width:84px;padding:4px 8px 0 0;border-top:2px solid"
_RULES = {
    "": "position:relative;overflow:visible;display:block;height:auto;width:auto",
    # ipywidgets gives each of its boxes a height, a margin and a line height of its own.
    ":is(.widget-html,.widget-box,.widget-inline-hbox)": "display:block;height:auto;width:auto;margin:0;"
    "overflow:visible",
    ".widget-html-content": "line-height:1.5;height:auto",
    ".sm-actions": "display:flex;flex-wrap:wrap;gap:4px 14px;margin:6px 0 0",
    ".sm-actions .jupyter-button": f"font-size:12px;line-height:20px;height:20px;width:auto;margin:0;padding:0;"
    f"border:0;border-radius:2px;background:none;box-shadow:none;color:{_LINK}",
    ".sm-actions .jupyter-button:hover": "text-decoration:underline;box-shadow:none;background:none",
    ".sm-actions .jupyter-button:focus-visible": "outline:1px solid;outline-offset:2px",
    ".sm-actions .jupyter-button:disabled": "opacity:.5;text-decoration:none;cursor:default",
    ".sm-actions .jupyter-button.sm-risky": "color:var(--jp-error-color1,#d32f2f)",
    ".sm-head": "display:flex;flex-wrap:wrap;align-items:baseline;gap:0 6px",
    ".sm-right": "margin-left:auto;color:var(--jp-ui-font-color2,#777);font-variant-numeric:tabular-nums",
    ".sm-said": "position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap",
    "ol.sm-phases": "display:flex;flex-wrap:wrap;list-style:none;margin:8px 0 4px;padding:0;position:relative",
    ".sm-phases li": f"{_CELL} var(--jp-border-color2,#ddd);margin:0;font-size:12px;"
    "color:var(--jp-ui-font-color2,#777)",
    ".sm-phases li.sm-done": "border-color:var(--jp-success-color1,#388e3c)",
    ".sm-phases li.sm-now": "border-color:var(--jp-brand-color1,#1976d2);color:inherit",
    ".sm-phases li.sm-bad": "border-color:var(--jp-error-color1,#d32f2f);color:inherit",
    ".sm-phases small": "display:block;font-size:11px;overflow-wrap:anywhere",
    "dl": "display:flex;flex-wrap:wrap;gap:2px 20px;margin:6px 0 2px",
    # JupyterLab floats the terms of a list.
    "dl>div": "display:block",
    "dt": "float:none;display:block;width:auto;white-space:nowrap;font-size:11px;"
    "font-weight:normal;color:var(--jp-ui-font-color2,#777)",
    "dd": "float:none;display:block;width:auto;margin:0;font-variant-numeric:tabular-nums",
    # The names of a table's columns are buttons, in a grid of their own with the widths of the table's.
    ".sm-sorts,.sm-grid tr:not(.sm-said)": "display:grid;gap:0 10px;margin:0;align-items:baseline",
    ".sm-sorts.sm-few,.sm-few tr:not(.sm-said)": "grid-template-columns:14px minmax(0,4fr) minmax(0,3fr) minmax(0,2fr)"
    " minmax(0,1.2fr)",
    ".sm-sorts.sm-many,.sm-many tr:not(.sm-said)": "grid-template-columns:14px minmax(0,3.4fr) minmax(0,2.4fr)"
    " minmax(0,1.9fr) minmax(0,1.2fr) minmax(0,2.2fr) minmax(0,1.4fr) minmax(0,1.3fr)",
    ".sm-sorts": "margin:6px 0 0",
    ".sm-sorts .jupyter-button": "color:var(--jp-ui-font-color2,#777);text-align:left;overflow:visible",
    ".sm-sorts .jupyter-button:first-child": "grid-column:2",
    ".sm-grid": "display:block;margin:0",
    ".sm-grid tbody": "display:block",
    ".sm-grid td": "padding:1px 0",
    "svg.sm-line": "display:block;width:260px;max-width:100%;height:26px;margin:4px 0",
    "tr:has(svg.sm-line) td": "vertical-align:middle",
    "svg.sm-line polyline": "fill:none;stroke:var(--jp-brand-color1,#1976d2);stroke-width:1.5;stroke-linejoin:round;"
    "stroke-linecap:round",
    "details": "margin:4px 0 0",
    "summary": f"display:list-item;width:max-content;font-size:12px;cursor:pointer;color:{_LINK}",
    ".sm-panel": "margin:8px 0 0;padding:8px 0 0;border-top:1px solid var(--jp-border-color2,#ddd)",
    ".sm-payload": "margin:6px 0",
    ".sm-payload textarea": "font:12px/1.5 var(--jp-code-font-family,monospace);height:auto;resize:vertical",
    ".sm-payload .widget-textarea": "width:100%;height:auto;margin:0",
    ".widget-toggle-buttons": "margin:0;width:auto;height:auto",
    ".widget-toggle-button": "width:auto;height:24px;line-height:24px;font-size:12px;padding:0 12px;margin:0",
    ".sm-fields": "display:flex;flex-wrap:wrap;gap:4px 12px;align-items:flex-end",
    ".sm-fields>.sm-labelled": "flex:0 1 190px",
    # The label that ipywidgets puts beside a field stands above it.
    ".sm-labelled.widget-inline-hbox": "display:block;width:100%;height:auto;margin:0",
    ".sm-labelled .widget-label": "display:block;width:auto;max-width:none;text-align:left;font-size:12px;"
    "line-height:18px;height:18px;color:var(--jp-ui-font-color2,#777)",
    ".sm-labelled :is(input,textarea)": "width:100%;box-sizing:border-box",
    ".sm-fields>.jupyter-button": "width:auto;margin:0;padding:0 16px;height:28px;line-height:28px",
    ".sm-drawer td>.sm-dim": "white-space:nowrap",
    ".sm-drawer pre": "max-height:280px;overflow:auto",
}
# Of two outputs, a static card and a live one, the live one is seen while it lives.
_STATIC = ":has(.jp-RenderedHTMLCommon>.sm-magics)"
_INSTEAD = (
    f"<style>.jp-OutputArea-child{_STATIC}:has(+.jp-OutputArea-child .sm-live),"
    f".jp-OutputArea-child:has(.sm-live)+.jp-OutputArea-child{_STATIC}{{display:none}}</style>"
)
LIVE = page.STYLE + page.style_sheet(_RULES)
INSTEAD = LIVE + _INSTEAD
