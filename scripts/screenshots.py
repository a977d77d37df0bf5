"""Take pictures of every card in JupyterLab, light and dark, into screenshots/.

Without arguments: the cards, of endpoints, a training job and a package that are made for them. ``--docs`` also writes
the best ones, compressed, into docs/images/. With notebooks as arguments: the outputs of all their cells.

Everything runs on SageMaker on this machine, in a state directory of its own.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT / "tests" / "browser"))

import scenes  # noqa: E402
from lab_driver import Lab, Notebook, browser  # noqa: E402
from playwright.sync_api import Locator, expect  # noqa: E402

expect.set_options(timeout=120_000)

TARGET, DOCS = PROJECT / "screenshots", PROJECT / "docs" / "images"
# The cells that deploy and predict, with their outputs.
DEPLOY_AND_PREDICT = """
    const [deploy, predict] = [3, 4].map(index => panel.content.widgets[index].node.getBoundingClientRect());
    return {x: deploy.x, y: deploy.y, width: deploy.width, height: predict.bottom - deploy.y};
"""
IN_DOCS = ("package", "coming", "in-service", "failed", "table", "job", "panel", "prediction", "notebook")
HEIGHT = 1600
"""Of the window: what is taller is cut off."""
MOST = 150_000
"""Bytes of a picture in the documentation."""

MODEL = """\
import torch
%load_ext sm_magics

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden, self.scores = torch.nn.Linear(64, 32), torch.nn.Linear(32, 10)

    def forward(self, x):
        return (8 * self.scores(self.hidden(x).relu())).softmax(-1)

torch.manual_seed(2)
net, image = Net().eval(), torch.rand(1, 64)"""
HANDLER = """\
%%sm_inference
import json, torch

def input_fn(body, content_type):
    return torch.tensor(json.loads(body)).reshape(-1, 64)

def predict_fn(images, model):
    return model(images)"""
DEPLOY = "%sm_deploy net --endpoint-name digits --sample image"
PREDICT = """\
digits = "zero one two three four five six seven eight nine".split()
scores = %sm_predict --labels digits image"""
BROKEN = """\
%%sm_inference --model-dir other
import torch

def model_fn(model_dir):
    net = torch.nn.Linear(64, 10)
    net.labels = open("labels.txt").read().split()
    return net"""
DEPLOY_BROKEN = "%sm_deploy net --endpoint-name digits-v2 --model-dir other --no-check --no-wait"

# A cell that raises would call off those that are queued behind it.
RAN = """([path, index]) => {
    const panel = Array.from(window.jupyterapp.shell.widgets('main')).find(one => one.context?.path === path);
    const kernel = panel.sessionContext.session.kernel;
    return panel.content.widgets[index].model.executionCount !== null && kernel.status === 'idle';
}"""


@dataclass(frozen=True)
class Scene:
    """A card in the state that is pictured: the cell that shows it, and what is done to get it there."""

    name: str
    cell: int
    act: Callable[[Locator], None]


def main() -> None:
    """Take the pictures."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("notebooks", nargs="*", type=Path)
    arguments.add_argument("--docs", action="store_true", help="write the best ones into docs/images/")
    options = arguments.parse_args()
    TARGET.mkdir(exist_ok=True)
    with a_lab() as (open_notebook, root):
        if options.notebooks:
            for path in options.notebooks:
                shutil.copy(path, root)
                of_notebook(open_notebook(path.name), path.stem)
        else:
            of_cards(open_notebook, root)
    if options.docs and not options.notebooks:
        DOCS.mkdir(exist_ok=True)
        for name in IN_DOCS:
            for theme in ("light", "dark"):
                compress(TARGET / f"{name}-{theme}.png", DOCS / f"{name}-{theme}.png")


@contextmanager
def a_lab() -> Iterator[tuple[Callable[..., Notebook], Path]]:
    """Start JupyterLab in Chromium; yield what opens a notebook, and the directory of notebooks."""
    home, root = (Path(tempfile.mkdtemp(prefix="sm", dir="/tmp")) for _ in range(2))
    try:
        with browser() as chromium, Lab.start(root, {"SM_MAGICS_HOME": str(home)}) as lab:

            def open_notebook(name: str, *cells: str) -> Notebook:
                path = lab.write(name, cells) if cells else name
                notebook = Notebook.open(chromium, lab, path, width=860, height=HEIGHT, scale=2)
                notebook.command("application:toggle-left-area")
                return notebook

            yield open_notebook, root
    finally:
        stop = [sys.executable, "-m", "sm_magics.local", "stop"]
        subprocess.run(stop, env={**os.environ, "SM_MAGICS_HOME": str(home)}, check=False)
        for directory in (home, root):
            shutil.rmtree(directory, ignore_errors=True)


def of_notebook(notebook: Notebook, stem: str) -> None:
    """Picture the outputs of a notebook's cells."""
    notebook.run_all()
    count = notebook.page.evaluate("window.jupyterapp.shell.currentWidget.content.widgets.length")
    for theme in ("light", "dark"):
        notebook.theme(theme)
        for index in range(count):
            outputs = notebook.outputs(index)
            if (
                outputs.count()
                and outputs.is_visible()
                and (outputs.inner_text().strip() or outputs.locator("img").count())
            ):
                outputs.screenshot(path=TARGET / f"{stem}-{theme}-{index:02}.png")
    notebook.close()


def of_cards(open_notebook: Callable[..., Notebook], root: Path) -> None:
    """Picture the cards, each in the states that matter."""
    go, done = root / "go", root / "done"
    waiting = scenes.pack(root, "waiting.tar.gz", scenes.waiting(go))
    serving = scenes.pack(root, "serving.tar.gz", scenes.SERVING)
    cells = (
        *(MODEL, HANDLER, "%sm_package net --name digits --sample image", DEPLOY, PREDICT),
        *(BROKEN, DEPLOY_BROKEN, f"%sm_deploy {waiting} -e digits-waiting --no-wait", "%sm_endpoints"),
        *(scenes.train("digits-training", done), "%sm_attach digits-training"),
        *(f"%sm_deploy {serving} -e echo", '%sm_predict -e echo "fail"', "%sm_predict -e echo", "%sm_status digits"),
        "%sm_predict --repeat 40 image",
    )
    notebook = open_notebook("digits.ipynb", *cells)
    for index in range(len(cells)):
        notebook.run(index)
        notebook.page.wait_for_function(RAN, arg=[notebook.name, index])

    def finish_training(card: Locator) -> None:
        done.touch()
        says(card, "training job · completed")

    for scene in (
        Scene("handlers", 1, lambda card: says(card, "input_fn")),
        Scene("package", 2, lambda card: card.get_by_text("Where it comes from").click()),
        Scene("verified", 3, lambda card: says(card, "verified")),
        Scene("prediction", 4, lambda card: says(card, "prediction")),
        Scene("failed", 6, lambda card: says(card, "failed")),
        Scene("coming", 7, lambda card: says(card, "being created")),
        Scene("table", 8, lambda card: click(card, "name")),
        Scene("job", 10, lambda card: says(card, "train:loss")),
        Scene("model-error", 12, lambda card: says(card, "not today")),
        Scene("panel", 13, send),
        Scene("in-service", 14, lambda card: says(card, "p50")),
        Scene("log", 14, lambda card: click(card, "Logs")),
        Scene("delete", 14, ask_whether_to_delete),
        Scene("latencies", 15, lambda card: says(card, "p90")),
        Scene("job-completed", 10, finish_training),
    ):
        scene.act(notebook.outputs(scene.cell))
        for theme in ("light", "dark"):
            notebook.theme(theme)
            outputs = notebook.outputs(scene.cell)
            card = outputs.locator(".sm-magics:visible").first
            (card if card.count() else outputs).screenshot(path=TARGET / f"{scene.name}-{theme}.png")
    for theme in ("light", "dark"):
        notebook.theme(theme)
        notebook.evaluate("panel.content.scrollToItem(3, 'start');")
        notebook.page.wait_for_timeout(1000)  # until JupyterLab has drawn what came into sight
        notebook.page.screenshot(path=TARGET / f"notebook-{theme}.png", clip=notebook.evaluate(DEPLOY_AND_PREDICT))
    notebook.close()
    print(f"{len(list(TARGET.glob('*.png')))} pictures in {TARGET.name}/")


def says(card: Locator, words: str) -> None:
    """Wait until a card says something."""
    expect(card).to_contain_text(words)


def click(card: Locator, name: str) -> None:
    """Click a button."""
    card.get_by_role("button", name=name, exact=True).click()


def ask_whether_to_delete(card: Locator) -> None:
    """Click *Delete…*."""
    click(card, "Hide logs")
    click(card, "Delete…")
    says(card, "Delete digits on")


def send(card: Locator) -> None:
    """Send two values with the panel."""
    for text in ('{"inputs": [1, 2, 3]}', '{"inputs": "hello"}'):
        card.locator("textarea").fill(text)
        click(card, "Send")
        expect(card.locator(".sm-panel td code").first).to_have_text(text)


def compress(source: Path, target: Path) -> None:
    """Write a picture with few colours; those that are rare, a green tick, stay."""
    method = Image.Quantize.MAXCOVERAGE
    picture = Image.open(source).convert("RGB").quantize(256, method=method, dither=Image.Dither.NONE)
    picture.save(target, optimize=True)
    size = target.stat().st_size
    if size > MOST:
        raise SystemExit(f"{target.name} has {size:,} bytes, more than {MOST:,}.")


if __name__ == "__main__":
    main()
