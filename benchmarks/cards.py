"""Live cards: what an update costs the kernel, what fifty of them ask for, and how soon a card knows.

Everything happens in a real kernel, whose cards send to a client over real sockets, beside an ipywidgets.HTML that is
given text of the same length: that is what any live output costs. Endpoints are real ones on this machine.
Run: python benchmarks/cards.py [--rounds N] [--updates N]

Times are processor time of the kernel's thread, but for the last ones, which are by the clock on the wall.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from queue import Empty
from typing import Any

from jupyter_client.manager import start_new_kernel

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "browser"))
import scenes

PATIENCE = 300.0
GOAL_MS = 1.0

PREPARE = """
import json, os, threading, time
from collections import Counter
from dataclasses import replace
from datetime import datetime, timezone
import ipywidgets
from sm_magics import Package, deploy
from sm_magics.display.cards import EndpointCard
from sm_magics.hosting import Endpoint, watching

endpoint = deploy(Package.open({archive!r}), "steady")
asked = Counter()
fetch = Endpoint.fetch
def counted(self):
    asked[self.name] += 1
    return fetch(self)
Endpoint.fetch = counted
"""
# Each update is another status: head, time line or figures, and buttons are drawn and sent anew.
UPDATES = """
card = EndpointCard(endpoint)
plain = ipywidgets.HTML()
length = sum(len(piece.value) for piece in (card._head.widget, card._body.widget))
there, going = replace(endpoint, status="InService"), replace(endpoint, status="Updating")
def spent(act):
    began = time.thread_time()
    for number in range({updates}):
        act(number)
    return (time.thread_time() - began) / {updates} * 1000
def unlike(number):
    plain.value = f"{{number:08}}" + "x" * (length - 8)
card.stop()
print(json.dumps(dict(
    update=spent(lambda number: card.changed(going if number % 2 else there)),
    tick=spent(lambda number: card._draw_head()),
    html=spent(unlike),
    length=length,
)))
card.close()
plain.close()
"""
POLLING = """
cards = [EndpointCard(endpoint) for _ in range({cards})]
time.sleep(1)
asked.clear()
began = time.monotonic(), time.process_time()
time.sleep({seconds})
names = [one.name for one in threading.enumerate() if one.name in ("sm_magics-watcher", "sm_magics-clock")]
print(json.dumps(dict(
    requests=asked["steady"] / (time.monotonic() - began[0]),
    cpu=(time.process_time() - began[1]) / (time.monotonic() - began[0]) * 100,
    threads=len(names),
)))
for card in cards:
    card.close()
"""
KNOWING = """
coming = deploy(Package.open({archive!r}), {name!r}, wait=False)
seen = threading.Event()
when = []
card = EndpointCard(coming)
def look(change):
    if "in service" in change["new"] and not when:
        when.append(datetime.now(timezone.utc))
        seen.set()
card._head.widget.observe(look, "value")
while "being created" not in card._head.widget.value:
    time.sleep(0.01)
open({go!r}, "w").close()
assert seen.wait(120)
print(json.dumps(dict(late=(when[0] - fetch(coming).modified).total_seconds())))
card.close()
coming.delete()
os.unlink({go!r})
"""


def run(client: Any, code: str) -> dict[str, float]:
    """Run code in the kernel; return what it prints last."""
    printed = ""
    sent = client.execute(code)
    while True:
        try:
            message = client.get_iopub_msg(timeout=PATIENCE)
        except Empty as error:
            raise TimeoutError(code) from error
        if message["parent_header"].get("msg_id") != sent:
            continue
        if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
            printed += message["content"]["text"]
        if message["msg_type"] == "error":
            raise RuntimeError("\n".join(message["content"]["traceback"]))
        if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            return json.loads(printed) if printed else {}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--updates", type=int, default=400)
    arguments.add_argument("--seconds", type=float, default=6.0, help="how long polling is looked at")
    options = arguments.parse_args()
    home, directory = (Path(tempfile.mkdtemp(prefix="sm", dir="/tmp")) for _ in range(2))
    environ = {**os.environ, "SM_MAGICS_HOME": str(home)}
    go = directory / "go"
    steady = directory / scenes.pack(directory, "steady.tar.gz", scenes.SERVING)
    waiting = directory / scenes.pack(directory, "waiting.tar.gz", scenes.waiting(go))
    manager, client = start_new_kernel(env=environ, cwd=str(directory))
    measured: dict[str, list[float]] = {}

    def note(prefix: str, values: dict[str, float]) -> None:
        for name, value in values.items():
            measured.setdefault(f"{prefix}{name}", []).append(value)

    try:
        run(client, PREPARE.format(archive=str(steady)))
        for number in range(options.rounds):
            note("", run(client, UPDATES.format(updates=options.updates)))
            for cards in (1, 50):
                note(f"{cards} cards: ", run(client, POLLING.format(cards=cards, seconds=options.seconds)))
            note("", run(client, KNOWING.format(archive=str(waiting), name=f"coming-{number}", go=str(go))))
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        stop = [sys.executable, "-m", "sm_magics.local", "stop"]
        with contextlib.suppress(subprocess.SubprocessError):
            subprocess.run(stop, env=environ, check=False, capture_output=True, timeout=PATIENCE)
        for path in (home, directory):
            shutil.rmtree(path, ignore_errors=True)
    table(measured)


def table(measured: dict[str, list[float]]) -> None:
    rows = [
        ("an update of a card, ms", "update", f"< {GOAL_MS:g}"),
        ("a second that passes, ms", "tick", ""),
        ("ipywidgets.HTML given as many characters, ms", "html", ""),
        ("one card: requests a second", "1 cards: requests", ""),
        ("fifty cards: requests a second", "50 cards: requests", "as one"),
        ("fifty cards: threads", "50 cards: threads", "2"),
        ("one card: the kernel's processor, %", "1 cards: cpu", ""),
        ("fifty cards: the kernel's processor, %", "50 cards: cpu", ""),
        ("status changed → the card says so, s", "late", "≤ 0.375, an interval"),
    ]
    print("| | median | lowest – highest | goal |\n|---|---|---|---|")
    for title, name, goal in rows:
        values = measured[name]
        print(f"| {title} | {statistics.median(values):.3g} | {min(values):.3g} – {max(values):.3g} | {goal} |")
    ratio = statistics.median(measured["update"]) / statistics.median(measured["html"])
    print(f"\nAn update costs {ratio:.1f} times what ipywidgets.HTML costs for {measured['length'][0]:.0f} characters.")


if __name__ == "__main__":
    main()
