"""What to do about the exceptions that packages fail with most: a sentence, and something to paste.

Each remedy is tried on the exception's line; the first that fits is taken.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import NamedTuple

from sm_magics.authoring import own_file

_MODELS = (".pth", ".pt", ".safetensors")


class Remedy(NamedTuple):
    """What to do: a sentence, and code or a command to paste, which may be empty."""

    fix: str
    paste: str = ""


def remedy(exception: str, *, handler: str, files: Sequence[str]) -> Remedy:
    """Return what to do about an exception; empty where nothing is known.

    Parameters
    ----------
    exception
        A traceback's last line.
    handler
        The container's default handler that raised, empty if none did.
    files
        Names of the files in the package.
    """
    for pattern, make in _REMEDIES:
        found = re.search(pattern, exception)
        if found:
            return make(found, files)
    return _DEFAULTS.get(handler, Remedy(""))


def _missing_file(match: re.Match[str], files: Sequence[str]) -> Remedy:
    wanted = Path(match["path"]).name
    models = [name for name in files if name.endswith(_MODELS)]
    said = f"The package has no {wanted}"
    if wanted in {Path(name).name for name in files}:
        here = next(name for name in files if Path(name).name == wanted)
        return Remedy(
            f"The package has it as {here}: files of a package are found below model_dir.",
            f'os.path.join(model_dir, "{here}")',
        )
    if models and wanted.endswith(_MODELS):
        return Remedy(
            f"{said}; it has {', '.join(models)}.",
            f'torch.load(os.path.join(model_dir, "{models[0]}"), map_location="cpu", weights_only=True)',
        )
    return Remedy(f"{said}. Put it into the package, and read it from model_dir.", f"--include {wanted}")


def _missing_module(match: re.Match[str], _files: Sequence[str]) -> Remedy:
    name = match["name"]
    top = name.partition(".")[0]
    own = own_file(top)
    if own is not None:
        return Remedy(
            f"{own.name} lies beside the notebook and is not in code/. Put it there.", f"%%sm_code {own.name}"
        )
    if top == "__main__" or _spec(top) is None:
        return Remedy(
            f"The container has no {top} unless code/requirements.txt asks for it.", "%%sm_code requirements.txt"
        )
    distribution = next(iter(packages_distributions().get(top, ())), top)
    try:
        pin = f"{distribution}=={version(distribution).partition('+')[0]}"
    except PackageNotFoundError:
        pin = distribution
    return Remedy(
        f"{distribution} is installed here, and neither the container image nor code/requirements.txt has it.",
        f"%%sm_code requirements.txt\n{pin}",
    )


def _spec(name: str) -> object:
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None


def _name(match: re.Match[str], _files: Sequence[str]) -> Remedy:
    name = match["name"]
    return Remedy(
        f"{name} may exist in the notebook; the package does not have it. Define or import it in a cell of "
        "%%sm_inference.",
        f"%%sm_inference\n{name} = …",
    )


def _says(fix: str, paste: str = "") -> Callable[[re.Match[str], Sequence[str]], Remedy]:
    return lambda _match, _files: Remedy(fix, paste)


_DTYPES = (
    r"must have the same dtype|expected (scalar type|m1 and m2|.*to have the same dtype)|"
    r"expected.*(Double|Float|Long|Half).*(but got|found)|Expected tensor for argument .* scalar types|"
    r"Input type .* and (bias|weight) type .* should be the same|"
    r"input must have the type torch|does not match weight dtype"
)
_WANTED = (
    r"scalar types: (\w+)",
    r"expected scalar type (\w+)",
    r"(?:must have the type |weight dtype \()torch\.(\w+)",
    r"same dtype, but got:? \S+ (?:and|!=) (?:c10::)?(\w+)",
    r"(?:bias|weight) type \((?:torch\.)?(?:c10::)?(\w+?)(?:Tensor)?\)",
)
"""How torch's messages say which type the weights, or an embedding, take."""
_TYPES = {
    "long": "long", "int": "long", "double": "float64", "half": "float16", "bfloat16": "bfloat16", "float": "float32",
}  # fmt: skip


def _dtype(match: re.Match[str], _files: Sequence[str]) -> Remedy:
    said = (found[1] for pattern in _WANTED if (found := re.search(pattern, match.string)))
    word = next(said, "float").lower()
    wanted = word if word in _TYPES.values() else _TYPES.get(word, "float32")
    return Remedy(
        "input_fn gives the model a tensor of another dtype than it takes: JSON and CSV become float32, "
        "NPY keeps the dtype that it was sent with.",
        "%%sm_inference\nimport json, torch\n\ndef input_fn(body, content_type):\n"
        f"    return torch.tensor(json.loads(body), dtype=torch.{wanted})",
    )


def _no_tensor(match: re.Match[str], _files: Sequence[str]) -> Remedy:
    passed = {"dict": "**data", "tuple": "*data"}.get(match["kind"], "data")
    return Remedy(
        f"input_fn returns a {match['kind']}, and the container's own predict_fn calls the model with one tensor. "
        "Define predict_fn.",
        "%%sm_inference\nimport torch\n\ndef predict_fn(data, model):\n    with torch.no_grad():\n"
        f"        return model({passed})",
    )


_REMEDIES: tuple[tuple[str, Callable[[re.Match[str], Sequence[str]], Remedy]], ...] = (
    (r"No such file or directory: '(?P<path>[^']+)'", _missing_file),
    (r"No module named '(?P<name>[\w.]+)'", _missing_module),
    (
        r"Can't get attribute '\w+' on <module '__main__'",
        _says(
            "The model was pickled with a class that only the notebook has. Save its state_dict.",
            "%sm_package model --save-as state_dict",
        ),
    ),
    (r"NameError: name '(?P<name>\w+)' is not defined", _name),
    (
        r"Attempting to deserialize object on a CUDA device",
        _says("The weights were saved on a GPU, and the process has none.", 'torch.load(…, map_location="cpu")'),
    ),
    (
        r"Weights only load failed",
        _says("torch.load refuses a pickled object; a state_dict it loads.", "%sm_package model --save-as state_dict"),
    ),
    (
        r"Error\(s\) in loading state_dict",
        _says("The class that model_fn builds is not the one whose weights were saved."),
    ),
    (_DTYPES, _dtype),
    (r"AttributeError: '(?P<kind>list|tuple|dict|str)' object has no attribute 'to'", _no_tensor),
    (
        r"is not JSON serializable",
        _says(
            "What output_fn returns must be text, bytes, or what JSON can hold.",
            "return json.dumps(prediction.tolist())",
        ),
    ),
    (
        r"takes \d+ arguments but \d+ were given",
        _says(
            "The container calls model_fn(model_dir), input_fn(body, content_type), predict_fn(data, model) and "
            "output_fn(prediction, accept), each with the context after these if it takes one more."
        ),
    ),
)

_DEFAULTS = {
    "model_fn": Remedy(
        "The container's own model_fn loads TorchScript alone. Package the model again, or define model_fn.",
        "%sm_package model",
    ),
    "input_fn": Remedy(
        "The container's own input_fn reads numbers alone, as JSON, CSV or NPY. Define input_fn.",
        "%%sm_inference\ndef input_fn(body, content_type):\n    ...",
    ),
    "predict_fn": Remedy(
        "The container's own predict_fn calls the model with one tensor. Define predict_fn.",
        "%%sm_inference\ndef predict_fn(data, model):\n    ...",
    ),
    "output_fn": Remedy(
        "The container's own output_fn writes a tensor, or what JSON can hold. Define output_fn.",
        "%%sm_inference\ndef output_fn(prediction, accept):\n    ...",
    ),
}
