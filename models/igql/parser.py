"""The text of a query → its tree, or every mistake with its place."""

from __future__ import annotations

import json
from functools import cache
from typing import Any, Final, cast

from lark import Lark, Token, v_args
from lark.exceptions import UnexpectedInput
from lark.tree import Meta
from lark.visitors import Transformer_NonRecursive

from models.igql.errors import IgqlLimitError
from models.igql.grammar import GRAMMAR
from models.igql.syntax_errors import explain, span_of
from models.igql.tree import (
    AllOf,
    AnyOf,
    Argument,
    Blend,
    Branch,
    Call,
    Chain,
    Comparison,
    ComparisonSign,
    Flag,
    Name,
    Not,
    Number,
    Predicate,
    Span,
    Text,
    User,
    Value,
)

MAX_CHARACTERS: Final = 64 * 1024
MAX_TOKENS: Final = 4096
#: Parentheses and ``not`` inside one another; nobody reads deeper ones, and what walks the tree
#: recurses.
MAX_DEPTH: Final = 32
MAX_NAME: Final = 64
MAX_TEXT: Final = 256
#: Digits, point and exponent; Python itself refuses integers of some thousand digits.
MAX_DIGITS: Final = 32
#: Above it a float no longer holds every integer, and nothing that a query counts is as large.
MAX_MAGNITUDE: Final = 1e15


def parse(text: str) -> Chain:
    """The tree of a query; whether it makes sense is the checker's business.

    Raises:
        IgqlSyntaxError: the text is no query.
        IgqlLimitError: it is too long, too deep, or a number, name or text in it too large.
    """
    if len(text) > MAX_CHARACTERS:
        raise IgqlLimitError(
            f"the query has {len(text)} characters; at most {MAX_CHARACTERS} are read"
        )
    reading = _parser().parse_interactive(text)
    guard = _Guard(text)
    try:
        for token in reading.iter_parse():
            guard.see(token)
        read = reading.feed_eof(guard.tokens[-1] if guard.tokens else None)  # type: ignore[no-untyped-call]
    except UnexpectedInput as error:
        accepts = reading.accepts()  # type: ignore[no-untyped-call]
        raise explain(error, accepts, text, guard.tokens, guard.opened) from None
    return cast(Chain, _ToTree().transform(read))


class _Guard:
    """Sees every token before it is used, and refuses what is too much."""

    def __init__(self, text: str) -> None:
        self.tokens: list[Token] = []
        self.opened: list[Token] = []
        self._text = text
        # ``not`` before the next token, and before each open parenthesis.
        self._pending = 0
        self._negations: list[int] = []
        self._depth = 0

    def see(self, token: Token) -> None:
        self.tokens.append(token)
        if len(self.tokens) > MAX_TOKENS:
            self._refuse(f"the query has more than {MAX_TOKENS} words and signs", token)
        self._nest(token)
        size = len(token)
        if token.type == "NUMBER":
            if size > MAX_DIGITS:
                self._refuse(f"a number of {size} characters; at most {MAX_DIGITS} are read", token)
            if abs(float(token)) > MAX_MAGNITUDE:
                self._refuse(f"{token} is too large; numbers go to ±{MAX_MAGNITUDE:g}", token)
        elif token.type == "NAME" and size > MAX_NAME:
            self._refuse(f"a name of {size} characters; at most {MAX_NAME} are read", token)
        elif token.type == "TEXT" and size - 2 > MAX_TEXT:
            self._refuse(f"a text of {size - 2} characters; at most {MAX_TEXT} are read", token)

    def _nest(self, token: Token) -> None:
        if token.type == "NOT":
            self._pending += 1
        elif token.type == "LPAR":
            self.opened.append(token)
            self._negations.append(self._pending)
            self._depth += 1 + self._pending
            self._pending = 0
        else:
            if token.type == "RPAR" and self.opened:
                self.opened.pop()
                self._depth -= 1 + self._negations.pop()
            self._pending = 0
        if self._depth + self._pending > MAX_DEPTH:
            self._refuse(
                f"nested deeper than {MAX_DEPTH}: parentheses and not inside one another", token
            )

    def _refuse(self, message: str, token: Token) -> None:
        raise IgqlLimitError(message, self._text, span_of(token))


def _span(meta: Meta) -> Span:
    return Span(meta.line, meta.column, meta.end_line, meta.end_column)


def _number(token: Token) -> Number:
    written = str(token)
    whole = written.lstrip("+-").isdigit()
    return Number(int(written) if whole else float(written), span_of(token))


@v_args(inline=True, meta=True)
class _ToTree(Transformer_NonRecursive[Token, Any]):
    """Builds the tree; one method a rule of the grammar."""

    def query(self, meta: Meta, chain: Chain) -> Chain:
        return chain

    def chain(self, meta: Meta, head: User | Blend, *calls: Call) -> Chain:
        return Chain(head, calls, _span(meta))

    def user(self, meta: Meta) -> User:
        return User(_span(meta))

    def blend(self, meta: Meta, *branches: Branch) -> Blend:
        span = Span(meta.line, meta.column, meta.line, meta.column + len("blend"))
        return Blend(branches, span)

    def branch(self, meta: Meta, weight: Token, query: Chain) -> Branch:
        return Branch(_number(weight), query, _span(meta))

    def call(self, meta: Meta, operator: Token, *arguments: Argument) -> Call:
        return Call(str(operator), arguments, span_of(operator))

    def named(self, meta: Meta, name: Token, value: Value) -> Argument:
        return Argument(str(name), value, _span(meta))

    def unnamed(self, meta: Meta, value: Value) -> Argument:
        return Argument(None, value, _span(meta))

    def number(self, meta: Meta, token: Token) -> Number:
        return _number(token)

    def text(self, meta: Meta, token: Token) -> Text:
        return Text(json.loads(token), span_of(token))

    def flag(self, meta: Meta, token: Token) -> Flag:
        return Flag(token.type == "TRUE", span_of(token))

    def name(self, meta: Meta, token: Token) -> Name:
        return Name(str(token), span_of(token))

    def comparison(
        self, meta: Meta, left: Token, sign: Token, right: Number | Text | Flag
    ) -> Comparison:
        column = Name(str(left), span_of(left))
        return Comparison(column, cast(ComparisonSign, str(sign)), right, _span(meta))

    def negation(self, meta: Meta, of: Predicate) -> Not:
        return Not(of, _span(meta))

    def all_of(self, meta: Meta, *parts: Predicate) -> Predicate:
        return AllOf(parts, _span(meta)) if len(parts) > 1 else parts[0]

    def any_of(self, meta: Meta, *parts: Predicate) -> Predicate:
        return AnyOf(parts, _span(meta)) if len(parts) > 1 else parts[0]


@cache
def _parser() -> Lark:
    # Built on first use: a process that never reads a query does not pay for it.
    return Lark(
        GRAMMAR,
        start="query",
        parser="lalr",
        lexer="contextual",
        propagate_positions=True,
        maybe_placeholders=False,
    )
