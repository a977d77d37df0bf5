from __future__ import annotations

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from sm_magics.authoring.cells import python_of

BODY = "RATE = 0.5\nclass A:\n    rate = RATE\n"


@pytest.mark.parametrize("raw", [False, True], ids=["as in the history", "as typed"])
@pytest.mark.parametrize(
    ("line", "runs"),
    [
        ("%%time", True),
        ("%%capture out --no-stderr", True),
        ("%%prun -r", True),
        ("%%sm_inference model_fn --run", True),
        ("%%sm_code nets.py --run --force", True),
        ("%%sm_inference model_fn", False),
        ("%%sm_code running.py", False),
        ("%%timeit -n 1", False),
        ("%%bash", False),
        ("%%writefile nets.py", False),
    ],
)
def test_a_cell_under_a_magic_counts_if_the_magic_runs_it_here(line, runs, raw):
    cell = f"{line}\n{BODY}"
    found = python_of(cell if raw else TransformerManager().transform_cell(cell))
    assert found.strip() == (BODY.strip() if runs else "")


def test_magics_may_stand_in_a_cell_under_a_magic():
    cell = TransformerManager().transform_cell("%%time\n%%capture\nx = 1\n%matplotlib inline\n")
    assert python_of(cell).split() == ["x", "=", "1", "pass"]


def test_a_call_that_is_no_cell_magic_stays():
    cell = "get_ipython().run_line_magic('time', 'x = 1')\n"
    assert python_of(cell) == cell
