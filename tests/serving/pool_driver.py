"""What tests of the pool of workers wait with."""

from __future__ import annotations

import asyncio


async def until(condition) -> None:
    deadline = asyncio.get_running_loop().time() + 60
    while not condition():
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.005)
