"""Queries in Python, with the operators of the text and one class a set type::

    from models.igql.builder import blend, user
    from models.igql.expressions import column

    near = user.liked(max_num_to_retrieve=30).account_nn().posted_media()
    query = blend((0.7, near), (0.3, user.popular(200))).filter(column("nsfw") < 0.2).build()

A wrong order is an error for mypy, and an :class:`~models.igql.errors.IgqlTypeError` where types
are not checked. What a call is given ends up in the tree as it was given: positions, names, and
nothing for what was left out; all else is the checker's business.

``make generate`` writes the methods between two comments from the operators of the library.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, Literal, ParamSpec, Self, TypeVar

from models.igql.errors import IgqlArgumentError, IgqlTypeError, did_you_mean
from models.igql.expressions import Condition, identifier, literal
from models.igql.formatter import format_query
from models.igql.registry import RESERVED
from models.igql.tree import Argument, Blend, Branch, Call, Chain, Name, Number, Text, User, Value

_Taken = TypeVar("_Taken", bound="Query")
_Given = TypeVar("_Given", bound="Query")
_P = ParamSpec("_P")


class _NoOperatorError(IgqlTypeError, AttributeError):
    """An IgqlTypeError that ``hasattr`` understands."""


@dataclass(frozen=True, slots=True)
class Query:
    """A chain that may go on; every operator gives a new one."""

    tree: Chain

    #: How messages call the set.
    _set: ClassVar[str] = "a set"

    def __str__(self) -> str:
        return format_query(self.tree)

    def call(self, operator: str, /, *arguments: Any, **named: Any) -> AnyQuery:
        """An operator by name, e.g. one that user code registered; mypy cannot know its types."""
        return AnyQuery(_extended(self.tree, identifier(operator), arguments, named))

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_"):
                raise AttributeError(name)
            sets = (ViewerQuery, AccountsQuery, MediaQuery)
            behind = " or ".join(of._set for of in sets if name in dir(of))
            if behind:
                raise _NoOperatorError(f"{name} stands behind {behind}, not behind {self._set}")
            operators = set(dir(type(self))) - {"call", "tree"}
            public = sorted(word for word in operators if not word.startswith("_"))
            raise _NoOperatorError(
                f"{name} is no operator of {self._set}" + did_you_mean(name, public)
            )


def _operator(declared: Callable[Concatenate[_Taken, _P], _Given]) -> Callable[
    Concatenate[_Taken, _P], _Given
]:  # fmt: skip
    """A method that says which type of set it gives; its call is added to the tree here."""

    @wraps(declared)
    def called(self: _Taken, /, *arguments: _P.args, **named: _P.kwargs) -> _Given:
        try:
            given = declared(self, *arguments, **named)
        except TypeError as error:
            raise IgqlArgumentError(str(error)) from None
        return type(given)(_extended(self.tree, declared.__name__, arguments, named))

    return called


class _Binding(Query):
    """What takes every set."""

    __slots__ = ()

    # generated from the operators of everything
    @_operator
    def let(self, /, **bindings: str) -> Self:
        """The same rows with columns bound to new names, which then ride along."""
        return self

    # end


class _WithAccounts(_Binding):
    """What takes accounts, or accounts and media alike; media give theirs where it does not."""

    __slots__ = ()

    # generated from the operators of accounts
    @_operator
    def account_nn(
        self, embedding_config: str = "default", max_num_to_retrieve: int = 400
    ) -> AccountsQuery:
        """The accounts nearest to the seeds by vector; score is the cosine."""
        return AccountsQuery(self.tree)

    @_operator
    def posted_media(self, max_media_per_account: int = 10) -> MediaQuery:
        """The newest posts of each account, under the account's seed and score."""
        return MediaQuery(self.tree)

    @_operator
    def exclude_followed(self) -> Self:
        """Accounts that the viewer does not follow, or their media."""
        return self

    @_operator
    def exclude_own_accounts(self, newest: int = 40) -> Self:
        """Accounts, or their media, other than the viewer and those the viewer lately acted on."""
        return self

    @_operator
    def take(self, count: int) -> Self:
        """The first ``count`` rows of each viewer."""
        return self

    # end


class ViewerQuery(_Binding):
    """A query that stands at the viewer."""

    __slots__ = ()
    _set = "the viewer"

    # generated from the operators of viewer
    @_operator
    def liked(self, max_num_to_retrieve: int = 30) -> MediaQuery:
        """Media the viewer liked, newest first; the author is the seed."""
        return MediaQuery(self.tree)

    @_operator
    def saved(self, max_num_to_retrieve: int = 30) -> MediaQuery:
        """Media the viewer saved, newest first; the author is the seed."""
        return MediaQuery(self.tree)

    @_operator
    def engaged(self, max_num_to_retrieve: int = 30) -> MediaQuery:
        """Media the viewer meant to act on (liked, saved, …), newest first, then those viewed
        long.
        """
        return MediaQuery(self.tree)

    @_operator
    def followed(self, max_num_to_retrieve: int = 100) -> AccountsQuery:
        """Accounts the viewer follows, each its own seed."""
        return AccountsQuery(self.tree)

    @_operator
    def popular(self, max_num_to_retrieve: int = 100) -> MediaQuery:
        """The media with the highest decayed weighted counts, best first."""
        return MediaQuery(self.tree)

    @_operator
    def evergreen(self, max_num_to_retrieve: int = 100) -> MediaQuery:
        """The media with the highest weighted counts over months, best first."""
        return MediaQuery(self.tree)

    @_operator
    def fresh(self, max_num_to_retrieve: int = 100) -> MediaQuery:
        """The newest media, newest first; the score halves every week."""
        return MediaQuery(self.tree)

    # end


class AccountsQuery(_WithAccounts):
    """A query that stands at accounts."""

    __slots__ = ()
    _set = "accounts"


class MediaQuery(_WithAccounts):
    """A query that stands at media; it may end there."""

    __slots__ = ()
    _set = "media"

    def build(self) -> Chain:
        """The tree, for the checker."""
        return self.tree

    # generated from the operators of media
    @_operator
    def authors(self) -> AccountsQuery:
        """The distinct authors of media, in order; each is a seed where the media has none."""
        return AccountsQuery(self.tree)

    @_operator
    def alike(self, max_num_to_retrieve: int = 500) -> Self:
        """Media by their item weights from all of these together, each under what adds most."""
        return self

    @_operator
    def co_engaged(self, max_num_to_retrieve: int = 200) -> Self:
        """Media that viewers act on together with these, the closest first, each under its
        closest.
        """
        return self

    @_operator
    def filter(
        self,
        *predicates: Condition,
        non_recommendable_model_threshold: float | None = None,
        nsfw: float | None = None,
        spam: float | None = None,
        misinformation: float | None = None,
        language: Text | None = None,
        max_age_hours: float | None = None,
    ) -> Self:
        """Media within thresholds, of a language, of an age and with predicates that hold."""
        return self

    @_operator
    def exclude_seen(self) -> Self:
        """Media the viewer has neither viewed nor acted on."""
        return self

    @_operator
    def exclude_suppressed(self) -> Self:
        """Media the viewer does not want fewer of, of authors neither blocked nor muted."""
        return self

    @_operator
    def rank(self, ranking_model: str = "default") -> Self:
        """Media by score, highest first: of the first ranking pass, or their sources' own."""
        return self

    @_operator
    def diversify_by(
        self,
        column: str,
        method: Literal["round_robin", "penalty", "mmr"] = "round_robin",
        strength: float = 0.5,
    ) -> Self:
        """The same media in an order that spreads the values of a column."""
        return self

    @_operator
    def similar_image(self, max_num_to_retrieve: int = 100) -> Self:
        """Media whose pictures look most like those of these, by cosine, each under its likest."""
        return self

    # end


class AnyQuery(MediaQuery, AccountsQuery, ViewerQuery):
    """A query behind :meth:`Query.call`: it has every operator, the checker knows the types."""

    __slots__ = ()
    _set = "a set"


#: Where every query begins.
user = ViewerQuery(Chain(User()))


def blend(*branches: tuple[float, MediaQuery]) -> MediaQuery:
    """Branches interleaved by weight.

    Raises:
        IgqlArgumentError: there is none, or a weight is no number.
        IgqlTypeError: a branch does not give media.
    """
    if not branches:
        raise IgqlArgumentError("blend has no branches: write blend((0.5, user.popular()), …)")
    made: list[Branch] = []
    for weight, query in branches:
        number = literal(weight)
        if not isinstance(number, Number):
            raise IgqlArgumentError(f"a weight is a number, not {weight!r}")
        if not isinstance(query, MediaQuery):
            raise IgqlTypeError(f"a branch of blend gives media, not {_described(query)}")
        made.append(Branch(number, query.tree))
    return MediaQuery(Chain(Blend(tuple(made))))


def _described(query: object) -> str:
    return query._set if isinstance(query, Query) else repr(query)


def _extended(
    tree: Chain, operator: str, arguments: tuple[Any, ...], named: dict[str, Any]
) -> Chain:
    given = [Argument(None, _value(value)) for value in arguments]
    for name, value in named.items():
        if value is not None:
            given.append(Argument(identifier(name), _value(value)))
    return Chain(tree.head, (*tree.calls, Call(operator, tuple(given))))


def _value(value: Any) -> Value:
    if isinstance(value, Condition):
        return value.predicate
    if isinstance(value, Text):
        return value
    if isinstance(value, str):
        if value in RESERVED:
            raise IgqlArgumentError(f"{value} is a word of the language and names nothing")
        return Name(identifier(value))
    return literal(value)
