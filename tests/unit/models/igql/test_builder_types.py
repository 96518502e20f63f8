"""What the checker of types says of the builder: a wrong order is an error before anything runs."""

from pathlib import Path

import pytest

from tests.paths import ROOT

#: Each line and the code of its error, "" where it is right.
LINES = {
    "blend((1, user.let(a='user_id').liked(3).take(3).account_nn().posted_media())).build()": "",
    "user.call('nearby', 3).posted_media().build()": "",
    "user.posted_media()": "attr-defined",
    "user.followed().filter(nsfw=0.1)": "attr-defined",
    "user.popular().fresh()": "attr-defined",
    "user.followed().build()": "attr-defined",
    "user.liked(foo=3)": "call-arg",
    "user.liked('30')": "arg-type",
    "user.popular().diversify_by('seed', method='shuffle')": "arg-type",
    "user.popular().filter(language='ru')": "arg-type",
    "blend((1, user.followed()))": "arg-type",
}


def test_mypy_finds_what_is_in_the_wrong_place(tmp_path: Path) -> None:
    api = pytest.importorskip("mypy.api", reason="needs mypy")
    snippet = tmp_path / "snippet.py"
    snippet.write_text("from models.igql.builder import blend, user\n" + "\n".join(LINES) + "\n")
    config = tmp_path / "mypy.ini"
    config.write_text(f"[mypy]\nmypy_path = {ROOT}\nfollow_imports = silent\nstrict = true\n")
    said, problems, _ = api.run(
        ["--config-file", str(config), "--cache-dir", str(tmp_path), "--no-pretty", str(snippet)]
    )
    assert not problems
    found = {
        int(line.split(":")[1]): line.rpartition("[")[2].rstrip("]")
        for line in said.splitlines()
        if ": error: " in line
    }
    assert [found.get(number, "") for number in range(2, len(LINES) + 2)] == list(LINES.values())
