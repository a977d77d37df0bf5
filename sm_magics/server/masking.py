"""What looks like a secret is not shown: in tags, hyperparameters, log lines and messages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from . import values

MASK = "••••"

_NAMES = re.compile(r"key|token(?!s\b|iz)|secret|passw(or)?d|pwd|credential|auth(?!or)", re.IGNORECASE)
"""Names whose values are secrets, or might be: not ``max_tokens``, ``tokenizer`` and ``author``."""

_HALF = 10_000
"""Characters of a long text's beginning and end. A model may print anything, on one line."""

_SHAPES = re.compile(
    r"""
    (?P<keep>
        ://[^\s/:@]{0,256}:                             # a password in an address
      | \b(?:Bearer|Basic)\s+                           # an Authorization header
      | X-Amz-(?:Signature|Security-Token|Credential)=  # a presigned address
      | (?i:
            \b[\w-]{0,40}
            (?:secret|token(?!s\b|iz)|passw(?:or)?d|pwd|api_?key|access_?key(?:_id)?|credential)
            [\w-]{0,40}["']?\s*[:=]\s*["']?
        )
    )
    [^\s"'&,;@}\])]{4,}
  | \b(?:AKIA|ASIA)[A-Z0-9]{12,}\b                      # an AWS access key's id
  | \b(?:hf_|gh[pousr]_|github_pat_|sk-|xox[abpr]-)[A-Za-z0-9_-]{16,}
  | \beyJ[\w-]{8,2000}\.[\w-]{8,2000}\.[\w-]*           # a JSON Web Token
    """,
    re.VERBOSE,
)


def text(value: str) -> str:
    """Return a text with what has the shape of a secret masked; of a long one its beginning and its end."""
    if len(value) > 2 * _HALF:
        value = f"{value[:_HALF]} … {value[-_HALF:]}"
    return _SHAPES.sub(lambda found: (found["keep"] or "") + MASK, value)


def named(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return values with those masked whose name, or whose shape, is that of a secret."""
    return {name: MASK if _NAMES.search(name) and value != "" else _shown(value) for name, value in given.items()}


def _shown(value: Any) -> Any:
    """Return a value as JSON has it, whatever it is made of."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, Mapping):
        return named({str(name): one for name, one in value.items()})
    if isinstance(value, (list, tuple)):
        return [_shown(one) for one in value]
    if isinstance(value, float):
        return values.number(value)
    return value if isinstance(value, (bool, int)) or value is None else text(str(value))
