"""What is wrong with a query, where, and what would be right.

Errors::

    ValueError
    └── IgqlError              one mistake, or several found together (``errors``)
        ├── IgqlSyntaxError    the text is no query
        ├── IgqlTypeError      an operator stands after a set that it does not take
        ├── IgqlNameError      an operator, column, embedding, model or source nobody knows
        ├── IgqlArgumentError  an argument is missing, unknown, twice there or out of range
        ├── IgqlBranchError    a branch or a filter that can never give anything
        └── IgqlLimitError     the text is too long or too deep, or the query too dear
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import Final

from models.igql.tree import Span

#: Characters of a quoted line on both sides of what is wrong.
_CONTEXT: Final = 60
#: The checker stops here: a text that is wrong all over is not repeated in full.
MOST_ERRORS: Final = 20


class IgqlError(ValueError):
    """A query that cannot run.

    Attributes:
        message: what is wrong, without the place.
        span: where, ``None`` where several errors are one.
        text: the query.
        errors: every mistake found, in the order of the text; itself where it is the only one.
    """

    def __init__(self, message: str, text: str = "", span: Span | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.text = text
        self.span = span
        self.errors: tuple[IgqlError, ...] = (self,)

    @property
    def line(self) -> int:
        """The line of the first mistake, from 1."""
        span = self.errors[0].span
        return span.line if span else 1

    @property
    def column(self) -> int:
        """The column of the first mistake, from 1."""
        span = self.errors[0].span
        return span.column if span else 1

    @property
    def end_column(self) -> int:
        """The column after the first mistake; on a later line if it spans lines."""
        span = self.errors[0].span
        return span.end_column if span else 1

    def __str__(self) -> str:
        if self.errors != (self,):
            return "\n".join([str(error) for error in self.errors] + [self.message])
        return locate(self.message, self.text, self.span)


class IgqlSyntaxError(IgqlError):
    """The text is no query."""


class IgqlTypeError(IgqlError):
    """An operator stands after a set that it does not take."""


class IgqlNameError(IgqlError):
    """Nobody knows this operator, column, embedding, model or source."""


class IgqlArgumentError(IgqlError):
    """An argument is missing, unknown, given twice, of another type or out of range."""


class IgqlBranchError(IgqlError):
    """A branch or a filter that can never give anything."""


class IgqlLimitError(IgqlError):
    """The text is too long or too deep, a number too large or the query too dear."""


def together(errors: Sequence[IgqlError]) -> IgqlError:
    """One error for all of them, in the order of the text."""
    if len(errors) == 1:
        return errors[0]
    # Stable: mistakes at one place stay in the order in which they were found.
    found = sorted(errors, key=lambda e: (e.span.line, e.span.column) if e.span else (0, 0))
    more = ", and the rest is not checked" if len(found) == MOST_ERRORS else ""
    joined = IgqlError(f"{len(found)} mistakes{more}", errors[0].text)
    joined.errors = tuple(found)
    return joined


def locate(message: str, text: str, span: Span | None) -> str:
    """The message with its place, the line of the text and carets below it.

    Example::

        line 3, column 2: media_nn is no operator; did you mean account_nn?
          .media_nn(embedding_config=default)
           ^^^^^^^^
    """
    if span is None:
        return message
    lines = text.split("\n")
    line = lines[span.line - 1].rstrip("\r") if span.line <= len(lines) else ""
    start = span.column - 1
    end = span.end_column - 1 if span.end_line == span.line else len(line)
    # A line may be as long as the text: what is far from the mistake is left out.
    cut = max(start - _CONTEXT, 0)
    stop = min(max(end, start + 1), start + _CONTEXT)
    before, after = ("…" if cut else ""), ("…" if stop + _CONTEXT < len(line) else "")
    shown = "".join(c if c.isprintable() else " " for c in line[cut : stop + _CONTEXT])
    carets = " " * (len(before) + start - cut) + "^" * (stop - start)
    return (
        f"line {span.line}, column {span.column}: {message}\n"
        f"  {(before + shown + after).rstrip()}\n  {carets}"
    )


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """The valid name that is most like `name`, ``None`` if none is.

    Like by its letters, else as a part of it, else by its last word or any other.
    """
    name = name[:64].lower()
    by_lower = {candidate.lower(): candidate for candidate in valid}
    close = get_close_matches(name, by_lower, n=1, cutoff=0.6)
    if close:
        return by_lower[close[0]]
    words = [word for word in name.split("_") if len(word) > 1]
    if not words:
        return None
    tests: tuple[Callable[[str], bool], ...] = (
        lambda other: len(name) > 2 and other.startswith(name),
        lambda other: other.split("_")[-1] == words[-1],
        lambda other: not set(words).isdisjoint(other.split("_")),
    )
    return next((by_lower[other] for test in tests for other in by_lower if test(other)), None)


def did_you_mean(name: str, valid: Iterable[str], among: str = "choose among") -> str:
    """The end of a message on an unknown name: the nearest valid one, else the first of them."""
    names = list(valid)
    close = nearest(name, names)
    if close is not None:
        return f"; did you mean {close}?"
    if not names:
        return ""
    listed = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"; {among} {listed}"


def shortened(value: str, most: int = 40) -> str:
    """A name or literal as a message quotes it."""
    printable = "".join(c if c.isprintable() else "?" for c in value[: most + 1])
    return printable if len(printable) <= most else printable[:most] + "…"
