"""What looks like a secret is not shown: in tags, hyperparameters, log lines and messages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MASK = "••••"

_NAMES = re.compile(r"key|token|secret|passw(or)?d|pwd|credential|auth", re.IGNORECASE)
"""Names whose values are secrets, or might be. Those of our own tags and SageMaker's are not among them."""

_SHAPES = re.compile(
    r"""
    (?P<keep>
        ://[^\s/:@]*:                                   # a password in an address
      | \b(?:Bearer|Basic)\s+                           # an Authorization header
      | X-Amz-(?:Signature|Security-Token|Credential)=  # a presigned address
      | (?i:
            \b[\w-]*(?:secret|token|passw(?:or)?d|pwd|api_?key|access_?key(?:_id)?|credential)[\w-]*
            ["']?\s*[:=]\s*["']?
        )
    )
    [^\s"'&,;@}\])]{4,}
  | \b(?:AKIA|ASIA)[A-Z0-9]{12,}\b                       # an AWS access key's id
  | \b(?:hf_|gh[pousr]_|github_pat_|sk-|xox[abpr]-)[A-Za-z0-9_-]{16,}
  | \beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*                    # a JSON Web Token
    """,
    re.VERBOSE,
)


def text(value: str) -> str:
    """Return a text with what has the shape of a secret masked."""
    return _SHAPES.sub(lambda found: (found["keep"] or "") + MASK, value)


def named(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values with those masked whose name, or whose shape, is that of a secret."""
    return {name: MASK if _NAMES.search(name) and value != "" else _shown(value) for name, value in values.items()}


def _shown(value: Any) -> Any:
    """Return a value as JSON has it, whatever it is made of."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, Mapping):
        return named({str(name): one for name, one in value.items()})
    if isinstance(value, (list, tuple)):
        return [_shown(one) for one in value]
    return value if isinstance(value, (bool, int, float)) or value is None else text(str(value))
