"""The proof of a package: the model server opens it in a clean process, and it answers as the notebook does.

The archive is extracted into an empty directory and served by a worker that ``serving``'s warm process forks: with
nothing of the notebook, and with no more importable than the container has. What it answers is compared with what the
same handlers answer in this process with the live model, or with what is expected.
"""

from __future__ import annotations

import platform
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from socket import socket
from typing import Any, NoReturn

from sm_magics.authoring import Author, CodeFolder, Finding
from sm_magics.authoring.origins import Cell
from sm_magics.errors import PackagingError, PayloadError
from sm_magics.payload import JSON, LARGEST, encode
from sm_magics.progress import Listener, Progress, ignore
from sm_magics.serving.client import ParentClient
from sm_magics.serving.layout import model_directory, requirements_file
from sm_magics.serving.messages import Answer, Assignment, Request
from sm_magics.serving.parent import ParentFailed
from sm_magics.serving.requirements import find_unmet
from sm_magics.serving.settings import Settings

from .archive import extract
from .package import Package
from .proving import agreement, comparing, like_container, memory, tracing, trial, warm
from .proving.container import Container, installed, skew
from .proving.importable import importable, not_installed
from .report import FAILED, PASSED, SKIPPED, WARNING, Failure, Frame, Measures, Report, Status, Step

TOLERANCE = 1e-4
_OK = 200
_LOAD, _CALL = "loads in a clean process", "answers the sample"
NOTHING: Any = object()  # stands for an expectation that is not given: None is one
_UNKNOWN = Container()
_NOBODY = Author()


def prove(
    package: Package,
    *,
    sample: Any = NOTHING,
    model: Any = None,
    expect: Any = NOTHING,
    content_type: str = JSON,
    accept: str = JSON,
    tolerance: float = TOLERANCE,
    environ: Mapping[str, str] | None = None,
    container: Container = _UNKNOWN,
    like: bool = False,
    author: Author = _NOBODY,
    ran: Sequence[Cell] = (),
    patience: float = 0.0,
    listener: Listener = ignore,
) -> Report:
    """Prove a package: extract it, load it and call it in a clean process, and compare its answer.

    Parameters
    ----------
    sample
        What the endpoint is to be sent: bytes as they are, all else encoded as `content_type`. Without one, the package
        is only loaded.
    model
        The live model, for the answer to compare with. It is not changed.
    expect
        The answer to compare with instead.
    content_type, accept
        How the sample is sent, and the answer asked for.
    tolerance
        How far a number may be away from the expected one, as a share of the largest one beside it.
    environ
        The container's environment.
    container
        What the container has. Nothing else that is installed here can be imported.
    like
        Build an environment with the container's own versions of Python, torch and what the code imports, and prove
        the package there.
    author
        The session that asks: its execution numbers name the cells.
    ran
        The cells that it has run, oldest first.
    patience
        Seconds to wait for a warm process that somebody is just starting, before one is started here.
    listener
        Is told what goes on.

    Returns
    -------
    Report
        What was found. A package that fails is no error.

    Raises
    ------
    PackagingError
        If the archive cannot be read or is not the one that the package says, or no clean process can be had.
    """
    asked = _Asked(
        sample,
        model,
        expect,
        content_type,
        accept,
        tolerance,
        dict(environ or {}),
        container,
        like,
        author,
        tuple(ran),
        patience,
    )
    with tempfile.TemporaryDirectory(prefix="sm_magics-") as directory:
        proof = _Proof(package, asked, Path(directory).resolve(), listener)
        with suppress(_Stopped):
            proof.run()
        return proof.report()


@dataclass(frozen=True)
class _Asked:
    sample: Any
    model: Any
    expect: Any
    content_type: str
    accept: str
    tolerance: float
    environ: dict[str, str]
    container: Container
    like: bool
    author: Author
    ran: tuple[Cell, ...]
    patience: float


class _Stopped(Exception):  # noqa: N818 - what happened
    """A step failed: there is nothing to go on with."""


class _Proof:
    """One proof under way."""

    def __init__(self, package: Package, asked: _Asked, scratch: Path, listener: Listener) -> None:
        self._package = package
        self._asked = asked
        self._scratch = scratch
        self._listener = listener
        self._log = scratch / "log"
        self._steps: list[Step] = []
        self._findings: tuple[Finding, ...] = ()
        self._failure: Failure | None = None
        self._measures = Measures()
        self._answer: Any = None
        self._importable: tuple[str, ...] | None = None
        self._python, self._torch = platform.python_version(), installed("torch")

    def report(self) -> Report:
        """Return what is known so far."""
        return Report(
            name=self._package.name,
            digest=self._package.digest,
            steps=tuple(self._steps),
            findings=self._findings,
            failure=self._failure,
            answer=self._answer,
            content_type=self._asked.content_type,
            accept=self._asked.accept,
            measures=self._measures,
            python=self._python,
            torch=self._torch,
            log=self._log.read_text(errors="replace") if self._log.exists() else "",
            notebook=self._asked.author.notebook,
        )

    def run(self) -> None:
        """Go through the steps, until one fails."""
        self._extract()
        self._look()
        self._require()
        body = self._encode()
        python = self._environment()
        self._serve(python, body)
        self._versions()

    # -- before anything runs -------------------------------------------------------------------------------------

    def _extract(self) -> None:
        self._tell("Extract")
        started = time.perf_counter()
        place = self._scratch / "model"
        place.mkdir()
        if extract(self._package.path, place) != self._package.digest:
            raise PackagingError(
                f"{self._package.path} is not what was packaged as {self._package.name}: it has been replaced since.",
                hint="%sm_package MODEL    # again, or Package.open(PATH) for what is there now",
            )
        self._directory = model_directory(place)
        self._cells = tracing.Cells(self._directory, self._package.model_dir, self._asked.author, self._asked.ran)
        self._files = [
            path.relative_to(self._directory).as_posix()
            for path in sorted(self._directory.rglob("*"))
            if path.is_file()
        ]
        count = f"{len(self._files)} file{'' if len(self._files) == 1 else 's'}"
        self._add("extract", PASSED, "extracts into an empty directory", count, since=started)

    def _look(self) -> None:
        started = time.perf_counter()
        self._findings = CodeFolder(self._directory).check() if (self._directory / "code").is_dir() else ()
        count = len(self._findings)
        note = f"{count} finding{'' if count == 1 else 's'}" if count else ""
        self._add("findings", WARNING if count else PASSED, "code reads well", note, since=started)

    def _require(self) -> None:
        started = time.perf_counter()
        file = requirements_file(self._directory)
        image = self._asked.container.packages
        if image and not self._asked.like:
            self._importable = importable(image, file)
        unmet = [] if file is None or self._asked.like else find_unmet(file)
        status: Status = WARNING if unmet else PASSED
        note = "checked with what is installed here" if unmet else ""
        details = tuple(map(str, unmet))
        self._add("requirements", status, "requirements are met", note, details, since=started)

    def _encode(self) -> bytes | None:
        if self._asked.sample is NOTHING:
            self._add("call", SKIPPED, _CALL, "no sample is known: --sample EXPR")
            return None
        try:
            body = encode(self._asked.sample, self._asked.content_type)
        except PayloadError as error:
            self._add("call", SKIPPED, _CALL, "the sample cannot be sent", (error.message, error.hint))
            return None
        limit = Settings.from_environ(self._asked.environ).max_request
        what = f"The sample has {len(body):,} bytes as {self._asked.content_type}"
        if len(body) > LARGEST:
            fix = "Send less, or use asynchronous inference or batch transform."
            self._fail("call", f"{what}, more than a real-time endpoint takes.", fix=fix)
        if len(body) > limit:
            fix = f"It takes {limit:,} unless the container's environment says more."
            paste = f"--env TS_MAX_REQUEST_SIZE={LARGEST}"
            self._fail("call", f"{what}: the container answers 413.", fix=fix, paste=paste)
        return body

    def _environment(self) -> str:
        if not self._asked.like:
            return sys.executable
        started = time.perf_counter()
        container, what = self._asked.container, "an environment like the container's"
        try:
            built = like_container.build(
                container.python, container.torch, container.packages, self._directory, self._listener
            )
        except like_container.NotToBeHad as error:
            self._add("environment", WARNING, what, "cannot be had here", (str(error),), since=started)
            return sys.executable
        self._python, self._torch = built.python, built.torch
        note = f"Python {built.python}, torch {built.torch}"
        self._add("environment", PASSED, what, note, since=started)
        return built.executable

    # -- in the clean process -------------------------------------------------------------------------------------

    def _serve(self, python: str, body: bytes | None) -> None:
        self._tell("Load")
        before, started = len(self._steps), time.perf_counter()
        for last in (False, True):
            try:
                with warm.connected(python, expected=self._asked.patience, own=last) as client:
                    self._serve_from(client, body)
            except trial.Broken as error:  # noqa: PERF203 - twice at most
                self._fail(error.step, error.text, fix=error.fix, since=started)
            except ParentFailed as error:
                del self._steps[before:]
                if last:
                    raise PackagingError(
                        f"No clean process can be had: {error}", hint="%sm_package … --no-check    # goes without"
                    ) from error
            else:
                return

    def _serve_from(self, client: ParentClient, body: bytes | None) -> None:
        environ = {"SAGEMAKER_PROGRAM": "inference.py"} if "code/inference.py" in self._files else {}
        assignment = Assignment(
            model_dir=str(self._directory),
            environ={**environ, **self._asked.environ},
            allow_pickle=False,
            max_response=Settings.from_environ(self._asked.environ).max_response,
            importable=self._importable,
        )
        started = time.perf_counter()
        with trial.load(client, assignment, self._log) as worker:
            self._measures = replace(self._measures, load_seconds=time.perf_counter() - started)
            handlers = "its own model_fn" if self._cells.defines("model_fn") else "the container's model_fn"
            self._add("load", PASSED, _LOAD, handlers, since=started)
            if body is not None:
                self._call(client, worker, body)
            self._measures = replace(self._measures, memory=memory.own_memory(client.pid))
        if body is not None:
            self._compare(body)
        self._fit()

    def _call(self, client: ParentClient, worker: socket, body: bytes) -> None:
        self._tell("Call")
        request = Request("POST", "/invocations", self._headers, body)
        started = time.perf_counter()
        answer = trial.call(client, worker, request)
        first = time.perf_counter() - started
        self._check(answer, started)
        usual = trial.usual_seconds(client, worker, request, first)
        self._measures = replace(self._measures, first_seconds=first, call_seconds=usual)

    def _check(self, answer: Answer, started: float) -> None:
        text = answer.body.decode(errors="replace")
        if "Unsupported model output data type" in text and answer.status != _OK:
            log = self._log.read_text(errors="replace")
            self._fail("call", tracing.unsendable(log), at=self._cells.output(), since=started)
        if answer.status != _OK:
            self._fail("call", text, since=started)
        try:
            self._answer = agreement.decoded(answer)
        except PayloadError as error:
            self._fail("call", error.message, at=self._cells.output(), since=started)
        kind = (answer.content_type or "").partition(";")[0]
        note = f"{self._asked.content_type} → {kind}, {comparing.describe(self._answer)}"
        self._add("call", PASSED, _CALL, note, since=started)

    def _compare(self, body: bytes) -> None:
        self._tell("Compare")
        started = time.perf_counter()
        asked = self._asked
        if asked.expect is not NOTHING:
            step, failure = agreement.with_expected(self._answer, asked.expect, asked.tolerance)
        else:
            step, failure = agreement.with_live(
                self._answer,
                self._directory,
                asked.model,
                self._headers,
                body,
                tolerance=asked.tolerance,
                environ=asked.environ,
            )
        self._steps.append(replace(step, seconds=time.perf_counter() - started))
        self._failure = failure
        if failure is not None:
            raise _Stopped

    def _fit(self) -> None:
        if not self._measures.memory:
            return
        good, said, setting = memory.advice(self._measures.memory)
        details = (f"Or with fewer workers: --env {setting}",) if setting else ()
        self._add("memory", PASSED if good else WARNING, "fits into memory", said, details)

    def _versions(self) -> None:
        step = skew(self._asked.container, self._python, self._torch, self._package.saved_as)
        if step is not None:
            self._steps.append(step)

    # -- telling --------------------------------------------------------------------------------------------------

    @property
    def _headers(self) -> tuple[tuple[str, str], ...]:
        return (("Content-Type", self._asked.content_type), ("Accept", self._asked.accept))

    def _tell(self, phase: str) -> None:
        self._listener(Progress(phase, note="in a clean process"))

    def _add(
        self, name: str, status: Status, what: str, note: str = "", details: tuple[str, ...] = (), *, since: float = 0.0
    ) -> None:
        seconds = time.perf_counter() - since if since else 0.0
        self._steps.append(Step(name, status, what, note, details, seconds))

    def _fail(
        self, step: str, text: str, *, at: Frame | None = None, fix: str = "", paste: str = "", since: float = 0.0
    ) -> NoReturn:
        """End with a failed step: `text` is a traceback, or a sentence where nothing was raised."""
        failure = self._cells.failure(step, text, files=self._files, at=at)
        missing = tracing.missing_module(failure.exception)
        file = requirements_file(self._directory)
        elsewhere = not_installed(missing, self._asked.container.packages, file) if missing else ""
        what = {"load": _LOAD, "call": _CALL}[step]
        if elsewhere:
            # The container has it: nothing can be said about what would come then.
            details = (f"{elsewhere} is in the container and not installed here: %pip install {elsewhere}",)
            self._add(step, SKIPPED, what, failure.exception, details, since=since)
            raise _Stopped
        self._failure = replace(failure, fix=fix or failure.fix, paste=paste or failure.paste)
        self._add(step, FAILED, what, failure.exception, since=since)
        raise _Stopped
