"""One thing has one name: words that were given up stay away from code and documentation."""

import re
from pathlib import Path

import pytest

from tests.paths import ROOT

#: What is said no more → what is said instead.
RETIRED = {
    "lane": "action log",
    "lanes": "action logs",
    "ranking worker": "ranker",
    "ranking workers": "rankers",
    "ranking process": "ranker",
    "ranking processes": "rankers",
    "serving process": "ranker",
    "serving processes": "rankers",
}
SUFFIXES = {".py", ".md", ".toml", ".yaml", ".yml", ".json", ".lua", ".igql"}
PLACES = ("streams", "models", "infra", "docs", "tests")


def files() -> list[Path]:
    found = [file for place in PLACES for file in (ROOT / place).rglob("*")]
    found += [file for file in ROOT.iterdir() if file.is_file()]
    # This file names them.
    return sorted(file for file in found if file.suffix in SUFFIXES and file != Path(__file__))


def plain(text: str) -> str:
    """Words in small letters with a space between: those of identifiers, too, over line ends."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)
    # A line of a comment may go on in the next.
    apart = re.sub(r"\n\s*(?:#:?|--|//|>)?", " ", apart)
    return f" {' '.join(re.findall(r'[a-z0-9]+', apart.lower()))} "


def retired(text: str) -> list[str]:
    """What is in a text that is said no more."""
    words = plain(text)
    return [said for said in RETIRED if f" {said} " in words]


def test_retired_words_stay_away() -> None:
    found = {
        str(file.relative_to(ROOT)): {said: RETIRED[said] for said in names}
        for file in files()
        if (names := [*retired(file.stem), *retired(file.read_text(encoding="utf-8"))])
    }
    assert found == {}, "say the word on the right"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("def test_what_fell_out_of_the_lanes() -> None: ...", ["lanes"]),
        ("class LaneOfViews: ...", ["lane"]),
        ("a Ranking\nworker's grids, the serving-process", ["ranking worker", "serving process"]),
        ("# of a ranking\n    # process", ["ranking process"]),
        ("planes, explanes, a worker, a process that serves", []),
    ],
)
def test_what_is_retired(text: str, names: list[str]) -> None:
    assert retired(text) == names
