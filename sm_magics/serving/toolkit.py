"""AWS's inference toolkit in a process that is not a worker's: what a `Model` changes of it is put back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sagemaker_inference import decoder, transformer


@contextmanager
def unchanged() -> Iterator[None]:
    """Leave the toolkit after the block as it was before."""
    decoders, signature = dict(decoder._decoder_map), transformer.signature  # noqa: SLF001 - it has no public one
    try:
        yield
    finally:
        decoder._decoder_map.clear()  # noqa: SLF001
        decoder._decoder_map.update(decoders)  # noqa: SLF001
        transformer.signature = signature
