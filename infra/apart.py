"""Work that takes a processor for long, in a process of its own: what it says is its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from infra.errors import FreshgridError


class ApartError(FreshgridError):
    """The process failed, or took too long."""


async def said_apart(command: Sequence[str], limit_s: float, given: bytes = b"") -> bytes:
    """What a process writes to its standard output; it is ended when it is waited for no more.

    Args:
        given: its standard input.

    Raises:
        ApartError: it fails, in the last of its words, or takes longer than `limit_s`.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(limit_s):
            said, complained = await process.communicate(given)
    except TimeoutError:
        raise ApartError(f"no answer within {limit_s:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        last = complained.decode(errors="replace").strip().rpartition("\n")[2]
        raise ApartError(last or f"it ended with code {process.returncode}")
    return said
