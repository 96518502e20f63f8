"""Secrets: where they come from, and that none leaves a process by what it says.

A secret setting comes from its variable or from a file (:func:`given_secret`). :func:`masked` takes
secrets out of any text: passwords in URLs, whole secrets of the settings, keys and tokens by their
form. :func:`mask_output` lets all that a process prints go through it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TextIO, cast
from urllib.parse import unquote

from infra.errors import SettingsError

MASK: Final = "***"
#: Mark a setting in its annotation: all of it is secret, or the password in the URL that it is.
SECRET: Final = "secret"
SECRET_URL: Final = "secret URL"
#: More than any secret has: a file that was meant for something else.
MOST_BYTES: Final = 64 * 1024
#: Shorter secrets that are no URL are not looked for in texts: they would be found in words.
LEAST_MASKED: Final = 6
#: ``scheme://name:password@``, and a parameter of a URL that is named for what it is.
_IN_URL: Final = re.compile(r"(://[^\s/@:]*:)[^\s/@]+(?=@)")
_PARAMETER: Final = re.compile(r"([?&](?:password|secret|token|key)=)[^\s&\"']+", re.IGNORECASE)

#: Keys, and JSON Web Tokens.
_KEY: Final = re.compile(r"(fgk_[0-9a-f]{8}_)[A-Za-z0-9_-]{20,}")
_TOKEN: Final = re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}")

#: Passwords of the settings with what stands around them in a URL: nothing else looks like it.
_known: set[str] = set()


#: Secrets of the settings that are no URLs.
_known_whole: set[str] = set()


def given_secret(name: str, environment: Mapping[str, str]) -> str | None:
    """The value of a secret setting: of its variable, or what the file holds that NAME_FILE names.

    A line feed at the end of a file is no part of it.

    Args:
        name: of the variable, upper case.

    Returns:
        None where neither is set.

    Raises:
        SettingsError: both are set, or the file cannot be read.
    """
    value, file = environment.get(name), environment.get(f"{name}_FILE")
    if file is not None:
        if value is not None:
            raise SettingsError(f"{name} and {name}_FILE are both set; unset one of them")
        try:
            held = Path(file).read_bytes()
            if len(held) > MOST_BYTES:
                raise SettingsError(f"{name}_FILE={file} has more than {MOST_BYTES} bytes")
            value = held.decode().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise SettingsError(f"{name}_FILE={file} cannot be read: {reason}") from None
        if not value:
            raise SettingsError(f"{name}_FILE={file} is empty; put the secret into it")
    return value


def remember(secret: str, kind: str) -> None:
    """Mask a setting of this kind even where a text does not show it for what it is."""
    if kind == SECRET:
        if len(secret.strip()) >= LEAST_MASKED:
            _known_whole.add(secret)
        return
    userinfo = secret.partition("://")[2].rpartition("@")[0]
    password = userinfo.partition(":")[2]
    if password:
        _known.update(f":{form}@" for form in (password, unquote(password)))


def masked(text: str) -> str:
    """The text with every secret in it replaced by :data:`MASK`."""
    for secret in _known_whole:
        text = text.replace(secret, MASK)
    if "fgk_" in text:
        text = _KEY.sub(rf"\g<1>{MASK}", text)
    if "eyJ" in text:
        text = _TOKEN.sub(MASK, text)
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
