"""What the parser met, said so that the writer knows what to write instead."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from typing import Final

from lark import Token
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from models.igql.errors import IgqlSyntaxError, nearest, shortened
from models.igql.tree import Span

#: Terminal of the grammar → how a message says it, in the order in which it lists them.
_WORDS: Final = {
    "USER": "user",
    "BLEND": "blend(…)",
    "NAME": "a name",
    "NUMBER": "a number",
    "TEXT": 'a text in "quotes"',
    "TRUE": "true",
    "FALSE": "false",
    "NOT": "not",
    "SIGN": "a comparison such as `<`",
    "AND": "and",
    "OR": "or",
    "EQUAL": "`=`",
    "COLON": "`:`",
    "DOT": "`.`",
    "LPAR": "`(`",
    "COMMA": "`,`",
    "RPAR": "`)`",
    "$END": "the end of the query",
}
_LITERAL: Final = {"NUMBER", "TEXT", "TRUE", "FALSE"}
_FLIPPED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
#: A character that no token begins with → what to write.
_CHARACTERS: Final = {
    "&": "write and",
    "|": "write or",
    "!": "write not, or != to compare",
    "*": "numbers are written out, there is no arithmetic",
    "/": "numbers are written out, there is no arithmetic; a comment begins with #",
    "+": "numbers are written out, there is no arithmetic",
    "-": "numbers are written out, there is no arithmetic; names have _ instead",
    "%": "write 0.2 for 20 %",
    "[": "there are no lists",
    "{": "there are no dictionaries",
    ";": "a query is one chain of calls and ends without a sign",
    "\\": "a line goes on without a sign",
}
_QUOTES: Final = "'`´‘’‚“”„«»"


def span_of(token: Token) -> Span:
    """Where a token begins and ends, lines and columns from 1."""
    line, column = token.line or 1, token.column or 1
    return Span(line, column, token.end_line or line, token.end_column or column + len(token))


def explain(
    error: UnexpectedInput,
    accepts: Collection[str],
    text: str,
    before: Sequence[Token],
    opened: Sequence[Token],
) -> IgqlSyntaxError:
    """The error for what Lark met.

    Args:
        accepts: the terminals that could have stood there.
        before: the tokens read so far, the unexpected one among them or not.
        opened: parentheses that are still open.
    """
    if isinstance(error, UnexpectedCharacters):
        message, length = _character(error, accepts, text)
        return IgqlSyntaxError(
            message, text, Span(error.line, error.column, error.line, error.column + length)
        )
    assert isinstance(error, UnexpectedToken)
    token: Token = error.token
    read = [seen for seen in before if seen is not token]
    if token.type == "$END":
        return _end(accepts, text, read, opened)
    still_open = opened if token.type != "LPAR" else opened[:-1]
    message = _token(token, set(accepts), read, still_open, text)
    return IgqlSyntaxError(message, text, span_of(token))


def _character(error: UnexpectedCharacters, accepts: Collection[str], text: str) -> tuple[str, int]:
    """Message and number of characters it is about."""
    rest = text[error.pos_in_stream :].split("\n", 1)[0]
    character = rest[:1]
    if character == '"':
        if re.match(r'"([^"\\]|\\.)*"', rest) is None:
            return 'this text is not closed: add `"` at its end, on the same line', 1
        return (
            'a text has no such escape or character: write \\" \\\\ \\n \\t or \\u00e9',
            len(rest.split('"')[1]) + 2,
        )
    if character in _QUOTES:
        return f'`{character}` does not quote: write a text as "…"', 1
    if character in _CHARACTERS:
        sign = character * 2 if rest.startswith(character * 2) else character
        return f"`{sign}` means nothing here: {_CHARACTERS[character]}", len(sign)
    code = f"U+{ord(character):04X}"
    called = unicodedata.name(character, "a control character").lower()
    if character.isspace():
        return f"this blank is {code}, {called}: write a plain space", 1
    if character.isalnum():
        return f"{character} ({code}) cannot stand in a name: names are a–z, A–Z, 0–9 and _", 1
    shown = f"{character} ({code}, {called})" if character.isprintable() else f"{code}, {called},"
    return f"{shown} means nothing here; expected {_list(accepts)}", 1


def _end(
    accepts: Collection[str], text: str, read: Sequence[Token], opened: Sequence[Token]
) -> IgqlSyntaxError:
    if not read:
        return IgqlSyntaxError(
            "the query is empty; it begins with user or blend(…)", text, Span(1, 1, 1, 2)
        )
    last = span_of(read[-1])
    after = Span(last.end_line, last.end_column, last.end_line, last.end_column + 1)
    if opened and "RPAR" in accepts:
        return IgqlSyntaxError("this `(` is never closed: add `)`", text, span_of(opened[-1]))
    if set(accepts) == {"LPAR"}:
        return IgqlSyntaxError(_not_called(read[-1]), text, last)
    return IgqlSyntaxError(f"the query ends here; expected {_list(accepts)}", text, after)


def _not_called(name: Token) -> str:
    word = shortened(str(name))
    return f"{word} has no parentheses: write {word}(), with or without arguments"


def _token(
    token: Token, accepts: set[str], read: Sequence[Token], opened: Sequence[Token], text: str
) -> str:
    previous = read[-1] if read else None
    word = shortened(str(token))
    if accepts == {"USER", "BLEND"}:
        begins = "a query" if previous is None else "the query of a branch"
        close = nearest(word, ("user", "blend")) if token.type == "NAME" else None
        meant = f"; did you mean {close}?" if close else ""
        return f"{begins} begins with user or blend(…), not with {word}{meant}"
    if previous is not None:
        said = _by_context(token, accepts, previous, opened)
        if said is None and token.type == "SIGN":
            said = _sign(str(token), read, text[token.end_pos :])
        if said is not None:
            return said
    return f"expected {_list(accepts)}, not `{word}`"


def _by_context(
    token: Token, accepts: set[str], previous: Token, opened: Sequence[Token]
) -> str | None:
    """The mistakes that people make, each with what to write instead."""
    kind, word, left = token.type, shortened(str(token)), shortened(str(previous))
    if "$END" in accepts:
        return _after_query(kind, word)
    if accepts == {"LPAR"}:
        return _not_called(previous)
    if accepts == {"NUMBER"}:
        return f"a branch of blend begins with its weight: write 0.5: before {word}"
    if accepts == {"COLON"}:
        return f"expected `:` and a query after the weight {left}"
    if previous.type == "SIGN" and kind == "NAME" and "NUMBER" in accepts:
        if word.lower() in ("true", "false"):
            return f"a comparison ends in a number, a text, true or false; write {word.lower()}"
        return f'a comparison ends in a number, a text, true or false; did you mean "{word}"?'
    if kind in ("AND", "OR") and "SIGN" in accepts:
        return f'{left} alone is no condition: compare it, as in {left} > 0.5 or {left} == "…"'
    if kind == "EQUAL" and accepts == {"SIGN"}:
        return f"`=` names an argument, `==` compares: write {left} == …"
    if kind == "COLON" and "EQUAL" in accepts:
        return f"arguments are named by `=`: write {left}=…"
    if kind == "DOT" and opened and "RPAR" in accepts:
        opening = span_of(opened[-1])
        where = f"line {opening.line}, column {opening.column}"
        return f"the `(` of {where} is not closed: add `)` before this"
    return None


def _sign(sign: str, read: Sequence[Token], rest: str) -> str | None:
    """A comparison that stands where none can."""
    previous = read[-1]
    before = read[-2].type if len(read) > 1 else ""
    if previous.type == "SIGN":
        return "write != for different" if previous + sign == "<>" else None
    if previous.type == "EQUAL":
        return f"write {sign}= instead of ={sign}" if sign in "<>" else None
    if before == "SIGN":
        return "comparisons do not chain: join two of them by and"
    if before == "EQUAL":
        return "a predicate has no name: write it without name= before it"
    if previous.type in _LITERAL:
        column = re.match(r"\s*([A-Za-z_]\w*)", rest, re.ASCII)
        named = shortened(column[1]) if column else "…"
        return f"the column stands on the left: write {named} {_FLIPPED[sign]} {previous}"
    return None


def _after_query(kind: str, word: str) -> str:
    if kind == "RPAR":
        return "this `)` closes nothing: remove it"
    if kind == "COMMA":
        return "a query is one chain: write several as blend(0.5: …, 0.5: …)"
    if kind == "NAME":
        return f"expected `.` before {word}, or the end of the query"
    return f"expected `.` and an operator or the end of the query, not `{word}`"


def _list(accepts: Collection[str]) -> str:
    words = [said for terminal, said in _WORDS.items() if terminal in accepts]
    if not words:
        return "the end of the query"
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]
