"""Write the tables of ``docs/scaling.md``, from the figures that come with Freshgrid.

``python docs/generate_scaling.py`` writes them; a unit test says when they are out of date.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import msgspec

from streams.planning.figures import read_figures
from streams.planning.sizing import Assumptions, plan
from streams.planning.table import SIZES, limits_table, load_of, table

PAGE: Final = Path(__file__).parent / "scaling.md"


def text() -> str:
    """The page with its tables anew."""
    figures, assumed = read_figures(), Assumptions()
    loads = [load_of(viewers, media, assumed) for viewers, media in SIZES]
    tables = {
        "figures": _listed(figures),
        "assumptions": _listed(assumed),
        "sizes": table(loads, lambda load: plan(load, figures, assumed)),
        "limits": limits_table(loads, lambda load: plan(load, figures, assumed)),
    }
    page = PAGE.read_text(encoding="utf-8")
    for name, made in tables.items():
        pattern = rf"(<!-- generated: {name} -->\n\n).*?(<!-- end -->)"
        page, count = re.subn(
            pattern, lambda m, t=made: f"{m[1]}{t}\n{m[2]}", page, flags=re.DOTALL
        )
        assert count == 1, f"{PAGE} has no section {name}"
    return page


def _listed(of: msgspec.Struct) -> str:
    lines = ["| name | value |", "|---|---|"]
    for name, value in msgspec.structs.asdict(of).items():
        shown = "not measured" if value is None else value
        if isinstance(shown, float):
            shown = f"{shown:,.0f}" if shown >= 100 else f"{shown:g}"
        lines.append(f"| `{name}` | {shown} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the page."""
    PAGE.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
