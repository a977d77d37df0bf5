"""Cells that a person is shown to paste and complete, where no code can be written for them."""

from __future__ import annotations

_MODEL_FN = """\
%%sm_inference
import os, torch

# {name} has to be defined here too, in this cell or another of %%sm_inference.
def model_fn(model_dir):
    model = {name}()  # with the arguments that it takes
    weights = torch.load(os.path.join(model_dir, "model.pth"), map_location="cpu", weights_only=True)
    model.load_state_dict(weights)
    return model.eval()"""


def own_model_fn(name: str) -> str:
    """Return a cell with a ``model_fn`` for a class of this name.

    As it stands it does not go unnoticed: until the class is there too, packaging says that it is missing.
    """
    return _MODEL_FN.replace("{name}", name)


def moved_out(cls: type) -> str:
    """Return what to do about a class that a function defines: what it takes of that function becomes arguments."""
    return f"class {cls.__name__}(nn.Module): …    # in a cell, outside of any function; then make the model anew"
