"""The documentation builds as a site, and no link of it leads nowhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.paths import ROOT


def test_the_site_is_built_from_all_pages_and_every_link_leads_somewhere(tmp_path: Path) -> None:
    built = subprocess.run(
        [
            sys.executable, "-m", "mkdocs", "build", "--strict",
            "-f", "infra/docs_site/mkdocs.yml", "-d", str(tmp_path / "site"),
        ],
        cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    pages = {page.stem for page in (ROOT / "docs").glob("*.md")}
    assert pages <= {page.stem for page in (tmp_path / "site").glob("*.html")}
    first = (tmp_path / "site" / "index.html").read_text("utf-8")
    assert "The first five minutes" in first
    assert "fonts.googleapis.com" not in first
