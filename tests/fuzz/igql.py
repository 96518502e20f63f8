"""Random and mutated texts: each is a query or raises IgqlError, nothing else.

``python -m tests.fuzz.igql --count 100000`` prints what happened and how long it took; a text that
does anything else is printed with the seed that gives it again.
"""

import argparse
import json
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator

from models.igql.checker import load
from models.igql.environment import Environment
from models.igql.errors import IgqlError
from models.igql.formatter import format_query
from models.igql.parser import parse
from models.igql.registry import RESERVED
from models.queries import environment

ENVIRONMENT = environment()

QUERIES = (
    """user
.let(seed_id=user_id)
.liked(max_num_to_retrieve=30)
.account_nn(embedding_config=default)
.posted_media(max_media_per_account=10)
.filter(non_recommendable_model_threshold=0.2)
.rank(ranking_model=default)
.diversify_by(seed_id, method=round_robin)
""",
    """blend(
  0.5: user.liked(30).account_nn().posted_media(),  # near
  0.3: user.popular(200).filter(media_age_hours < 72 and not (language == "ru" or nsfw > 0.1)),
  0.2: blend(1: user.fresh(), 2e-1: user.followed(10).posted_media(3)).take(50),
)
.exclude_seen().exclude_own_accounts(newest=4).diversify_by(seed, method=mmr, strength=.3).take(500)
""",
    'user.engaged().co_engaged(100).filter(source == "popular" or topic != "caf\\u00e9", spam=1)',
)
_WORD = r"""([A-Za-z_]\w*|[-\d.]*\d|"[^"]*"|[<>=!]=?)"""
_NAMES = ("seed", "user_id", "nsfw", "default", "mmr", "language", "count", "x", "true", "blend")
_LITERALS = ("0", "-1", "30", "0.2", "1e9", "20000", '"ru"', '"popular"', "true")
_SIGNS = ("<", "<=", ">", "==", "!=", "=")
_WORDS = r"""
user blend true false and or not . . . . ( ) ( ) ( ) , : = < <= > >= == != #
0 1 30 0.2 -1 1e3 1e999 99999999999999999999 nan inf .5 0x1f 1_000
"ru" "" "a\"b" "\u00e9" "popular" ' " \ seed seed_id user_id score media_age_hours
nsfw default round_robin max_num_to_retrieve embedding_config column count x
"""
WORDS = ("\n", *_WORDS.split(), *(operator.name for operator in ENVIRONMENT.registry))
ODD = "\x00\x0b\r\t\u00a0\u2028\ufeff\ud800é٣ß𝔘“‘{}[];&|!@$%^*/+-~`?\\'\""


def texts(seed: int, count: int) -> Iterator[str]:
    """`count` texts, the same for the same seed."""
    chosen = random.Random(seed)
    for _ in range(count):
        [kind] = chosen.choices(
            (_mutated, _exchanged, _words, _characters, _deep, _huge), (35, 35, 10, 10, 5, 5)
        )
        yield kind(chosen)


def _mutated(chosen: random.Random) -> str:
    text = chosen.choice(QUERIES)
    for _ in range(chosen.choice((1, 1, 2, 4, 8))):
        start = chosen.randrange(len(text) + 1)
        end = min(len(text), start + chosen.choice((0, 0, 1, 1, 2, 5, 20)))
        put = chosen.choice(
            (
                "",
                chosen.choice(WORDS),
                chosen.choice(ODD),
                text[start:end] * 2,
                chosen.choice(QUERIES)[: chosen.randrange(40)],
            )
        )
        text = text[:start] + put + text[end:]
    return text


def _exchanged(chosen: random.Random) -> str:
    """A query with some names and literals in the places of others: most are still read."""
    parts = re.split(_WORD, chosen.choice(QUERIES))
    names = (*_NAMES, *(operator.name for operator in ENVIRONMENT.registry))
    places = [at for at in range(1, len(parts), 2) if parts[at] not in RESERVED]
    for at in chosen.sample(places, chosen.choice((1, 1, 2, 4))):
        if parts[at][0] in "<>=!":
            parts[at] = chosen.choice(_SIGNS)
        else:
            is_name = parts[at][0].isalpha() and chosen.random() < 0.9
            parts[at] = chosen.choice(names if is_name else _LITERALS)
    return "".join(parts)


def _words(chosen: random.Random) -> str:
    joined = chosen.choice(("", " ", " "))
    return joined.join(chosen.choice(WORDS) for _ in range(chosen.randrange(30)))


def _characters(chosen: random.Random) -> str:
    size = chosen.randrange(40)
    if chosen.random() < 0.5:
        return "".join(chosen.choice(ODD + 'user.()=,:"0123') for _ in range(size))
    return "".join(chr(chosen.randrange(0x110000)) for _ in range(size))


def _deep(chosen: random.Random) -> str:
    depth = chosen.choice((5, 20, 31, 33, 100, 1000))
    opening, inner, closing = chosen.choice(
        (
            ("(", "nsfw < 1", ")"),
            ("not ", "nsfw < 1", ""),
            ("not (", "nsfw < 1", ")"),
            ("(nsfw < 1 or ", "spam < 1", ")"),
            ("blend(1: ", "user.popular()", ")"),
            ("(", "", ""),
        )
    )
    nested = opening * depth + inner + closing * depth
    return nested if opening.startswith("blend") else f"user.popular().filter({nested})"


def _huge(chosen: random.Random) -> str:
    size = chosen.choice((10, 30, 40, 400, 5000, 70_000))
    return chosen.choice(
        (
            f"user.popular({'9' * size})",
            f"user.popular(1e{'9' * min(size, 400)})",
            f"user.popular().filter(nsfw < -0.{'0' * size}1)",
            f"user.popular().filter(nsfw < 1e-{'9' * min(size, 20)})",
            f"user.{'a' * size}()",
            f'user.popular().filter(language == "{"a" * size}")',
            f"user.popular(){'.exclude_seen()' * min(size, 2000)}",
            f"user.popular().filter({'nsfw < 1, ' * min(size, 2000)})",
            f"user.popular().filter({' or '.join(['nsfw < 1'] * min(size, 2000))})",
            f"blend({'1: user.popular(1), ' * min(size, 500)})",
            " " * size,
            "#" * size,
        )
    )


def outcome(text: str, environment: Environment) -> str:
    """What became of a text; a law that does not hold raises AssertionError."""
    try:
        tree = parse(text)
    except IgqlError as error:
        assert str(error) and error.errors
        return type(error).__name__
    assert parse(format_query(tree)) == tree
    try:
        load(text, environment)
    except IgqlError as error:
        assert str(error) and error.errors
        return "refused by the checker"
    return "ran"


def run(count: int, seed: int, environment: Environment = ENVIRONMENT) -> Counter[str]:
    """What became of `count` texts.

    Raises:
        AssertionError: a text did something else; it names the text and the seed.
    """
    outcomes: Counter[str] = Counter()
    for position, text in enumerate(texts(seed, count)):
        try:
            outcomes[outcome(text, environment)] += 1
        except Exception as error:
            raise AssertionError(f"seed {seed}, text {position}: {text[:2000]!r}") from error
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    print(f"seed {options.seed}", file=sys.stderr)
    started, worked = time.perf_counter(), time.process_time()
    outcomes = run(options.count, options.seed)
    seconds = {
        "seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(time.process_time() - worked, 1),
    }
    print(json.dumps({"seed": options.seed, **seconds, **outcomes}))


if __name__ == "__main__":
    main()
