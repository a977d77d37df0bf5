"""A panel that sends values to an endpoint: what is typed, a variable of the notebook, or a file."""

from __future__ import annotations

import functools
import json
import mimetypes
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ipywidgets

from sm_magics.hosting import Endpoint, Prediction
from sm_magics.hosting.invoking import CSV, JSON, NPY, encode

from . import answers, page, snippets, timeline, widgets
from .page import Part

_JSON, _CSV, _VARIABLE, _FILE = "JSON", "CSV", "Variable", "File"
_TYPES = (JSON, CSV, NPY, "text/plain", "image/png", "image/jpeg", "application/octet-stream")
_PLACEHOLDERS = {_JSON: '{"inputs": [[1.0, 2.0]]}', _CSV: "1.0,2.0\n3.0,4.0", _VARIABLE: "x[:2]"}
_KEPT = 8
"""How many of the last requests are listed."""


@dataclass(frozen=True)
class Sent:
    """One request of the history."""

    what: str
    request: snippets.Request
    said: str


class PredictPanel(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets is not typed
    """The panel.

    Parameters
    ----------
    evaluate
        Returns the value of an expression in the notebook; what it raises is shown.
    """

    def __init__(self, endpoint: Endpoint, evaluate: Callable[[str], Any]) -> None:
        self._endpoint, self._evaluate = endpoint, evaluate
        self._sent: list[Sent] = []
        self._lock = threading.Lock()
        self._is_sending = False
        self._kind = ipywidgets.ToggleButtons(options=[_JSON, _CSV, _VARIABLE, _FILE])
        self._text = ipywidgets.Textarea(description="payload", placeholder=_PLACEHOLDERS[_JSON], rows=4)
        self._file = ipywidgets.FileUpload(description="Choose a file", multiple=False)
        self._content_type = ipywidgets.Combobox(description="content type", value=JSON, options=_TYPES)
        self._accept = ipywidgets.Combobox(description="accept", value=JSON, options=_TYPES)
        self._send_button = ipywidgets.Button(
            description="Send", button_style="primary", tooltip=f"Send to {endpoint.name}"
        )
        self._send_button.on_click(lambda _: self._start(self._compose))
        self._again = widgets.button("Send the last one again", "The same bytes once more", self._resend)
        copies = [
            widgets.button(f"As {name}", f"The last request in {name}, to copy", functools.partial(self._copy, write))
            for name, write in (("boto3", snippets.boto3), ("SDK", snippets.sdk), ("curl", snippets.curl))
        ]
        self._answer, self._history, self._code = widgets.Html(), widgets.Html(), widgets.Html()
        self._after = widgets.actions(self._again, *copies)
        self._after.layout.display = "none"
        self._code.widget.layout.display = "none"
        for field in (self._text, self._content_type, self._accept):
            field.add_class("sm-labelled")
        types = ipywidgets.Box([self._content_type, self._accept, self._send_button])
        types.add_class("sm-fields")
        self._kind.observe(lambda _: self._choose(), "value")
        self._payload = ipywidgets.Box([self._text])
        self._payload.add_class("sm-payload")
        super().__init__(
            (
                *(self._kind, self._payload, types, self._answer.widget),
                *(self._after, self._code.widget, self._history.widget),
            )
        )
        self.add_class("sm-panel")

    def _choose(self) -> None:
        kind = self._kind.value
        self._payload.children = [self._file if kind == _FILE else self._text]
        self._text.placeholder = _PLACEHOLDERS.get(kind, "")
        self._content_type.value = {_CSV: CSV, _FILE: ""}.get(kind, JSON)

    # -- sending ------------------------------------------------------------------------------------------------

    def _start(self, make: Callable[[], tuple[str, bytes, str]]) -> None:
        with self._lock:
            if self._is_sending:
                return
            self._is_sending = True
        self._send_button.disabled = True
        self._answer.show(page.paragraph("Sending …", dim=True))
        widgets.in_background(lambda: self._exchange(make), self._refuse)

    def _compose(self) -> tuple[str, bytes, str]:
        """Return what is to be sent: in a few words, as bytes, and their content type."""
        kind, text = self._kind.value, self._text.value
        content_type = self._content_type.value.strip() or JSON
        if kind == _VARIABLE:
            return text.strip(), encode(self._evaluate(text.strip()), content_type), content_type
        if kind == _FILE:
            if not self._file.value:
                raise ValueError("No file is chosen.")
            chosen = self._file.value[0]
            guessed = mimetypes.guess_type(chosen["name"])[0] or "application/octet-stream"
            return chosen["name"], bytes(chosen["content"]), self._content_type.value.strip() or guessed
        if kind == _JSON:
            try:
                json.loads(text)
            except ValueError as error:
                raise ValueError(f"This is not JSON: {error}.") from error
        return " ".join(text.split()), text.encode(), content_type

    def _resend(self) -> None:
        if self._sent:
            last = self._sent[-1]
            self._accept.value = last.request.accept
            self._start(lambda: (last.what, last.request.body, last.request.content_type))

    def _exchange(self, make: Callable[[], tuple[str, bytes, str]]) -> None:
        what, body, content_type = make()
        endpoint = self._endpoint
        region = "" if endpoint.where == "local" else endpoint.where
        accept = self._accept.value.strip() or JSON
        request = snippets.Request(endpoint.name, region, content_type, accept, body)
        try:
            prediction = endpoint.predict(body, content_type=content_type, accept=accept)
        except Exception as error:
            self._note(Sent(what, request, type(error).__name__))
            raise
        took = timeline.duration(prediction.seconds)
        self._note(Sent(what, request, took))
        self._answer.show(*_shown(prediction))
        self._ready()

    def _refuse(self, error: Exception) -> None:
        """Show why there is no answer: a model's own error with its traceback."""
        lines = getattr(error, "message", str(error)).splitlines() or [type(error).__name__]
        parts = [Part(f"<p><b>{page.escape(lines[0])}</b></p>", f"  {lines[0]}")]
        parts += [page.listing(lines[1:])] if "".join(lines[1:]).strip() else []
        if hint := getattr(error, "hint", ""):
            parts.append(page.paragraph("Try", code=hint))
        self._answer.show(*parts)
        self._ready()

    def _ready(self) -> None:
        self._is_sending = False
        self._send_button.disabled = False

    # -- what was sent ------------------------------------------------------------------------------------------

    def _note(self, sent: Sent) -> None:
        self._sent = [*self._sent, sent][-_KEPT:]
        self._after.layout.display = ""
        self._code.widget.layout.display = "none"
        rows = [
            (
                page.code(one.what if len(one.what) <= 60 else f"{one.what[:60]}…"),  # noqa: PLR2004 - fits the card
                page.dim(page.size(len(one.request.body))),
                page.dim(one.said),
            )
            for one in reversed(self._sent)
        ]
        self._history.show(page.paragraph("Sent", dim=True), page.table(rows))

    def _copy(self, write: Callable[[snippets.Request], str]) -> None:
        if self._sent:
            self._code.show(page.listing(write(self._sent[-1].request).splitlines()))
            self._code.widget.layout.display = ""


def _shown(prediction: Prediction) -> list[Part]:
    facts = (timeline.duration(prediction.seconds), page.size(len(prediction.body)), prediction.content_type)
    return [page.paragraph(" · ".join(filter(None, facts)), dim=True), *answers.parts(prediction)]


class Panel(widgets.Card):
    """The panel as something of its own, with the endpoint's name above it."""

    def __init__(self, endpoint: Endpoint, evaluate: Callable[[str], Any]) -> None:
        head = widgets.Html()
        head.show(
            Part(f'<p class="sm-head"><b>{page.escape(endpoint.name)}</b> {page.dim(endpoint.place).html}</p>', "")
        )
        shown = page.card(page.OK, endpoint.name, f"predict · {endpoint.place}", _paste(endpoint))
        super().__init__(shown, (head.widget, PredictPanel(endpoint, evaluate)))


def _paste(endpoint: Endpoint) -> Part:
    return page.paragraph("Call it:", code=f"%sm_predict -e {endpoint.name} …")
