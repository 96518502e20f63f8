"""No secret leaves a process by what it says: one mask for logs, messages and tracebacks.

Passwords come in URLs (``REDIS_URL``, ``ARTIFACTS_URL``). :func:`masked` takes them out of any text
that holds such a URL, and :func:`mask_output` lets all that a process prints go through it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import Any, Final, TextIO, cast
from urllib.parse import unquote

MASK: Final = "***"
#: ``scheme://name:password@``, and a parameter of a URL that is named for what it is.
_IN_URL: Final = re.compile(r"(://[^\s/@:]*:)[^\s/@]+(?=@)")
_PARAMETER: Final = re.compile(r"([?&](?:password|secret|token|key)=)[^\s&\"']+", re.IGNORECASE)

#: Passwords of the settings with what stands around them in a URL: nothing else looks like it.
_known: set[str] = set()


def remember(url: str) -> None:
    """Mask the password of this URL even where a text does not show it for what it is."""
    userinfo = url.partition("://")[2].rpartition("@")[0]
    password = userinfo.partition(":")[2]
    if password:
        _known.update(f":{form}@" for form in (password, unquote(password)))


def masked(text: str) -> str:
    """The text with every password in it replaced by :data:`MASK`."""
    for password in _known:
        text = text.replace(password, f":{MASK}@")
    if "://" in text:
        text = _IN_URL.sub(rf"\g<1>{MASK}", text)
        text = _PARAMETER.sub(rf"\g<1>{MASK}", text)
    return text


def mask_output() -> None:
    """Mask all that this process prints from here on, whoever prints it."""
    sys.stdout = cast(TextIO, _Masked(sys.stdout))
    sys.stderr = cast(TextIO, _Masked(sys.stderr))


class _Masked:
    """A text stream whose text is masked."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(masked(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
