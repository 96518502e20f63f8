"""Makes one site of docs/ and the README: it is the first page, and links lead from each to each.

Files of the code are no pages: a link to one becomes the file's name.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any, Final

from mkdocs.structure.files import File, Files

ROOT: Final = Path(__file__).parents[2]
_LINK: Final = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")
_README: Final = "README.md"


def on_files(files: Files, config: Any) -> Files:
    """Add the README as the first page."""
    files.append(File.generated(config, "index.md", content=(ROOT / _README).read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Turn links between files of the repository into links between pages."""
    name = page.file.src_uri
    source = _README if name == "index.md" else posixpath.join("docs", name)

    def of(link: re.Match[str]) -> str:
        path, hash_sign, anchor = link["target"].partition("#")
        if not path or "://" in path:
            return link[0]
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        if target == _README:
            found = "index.md"
        elif target.startswith("docs/") and (ROOT / target).is_file():
            found = target.removeprefix("docs/")
        elif (ROOT / target).exists():
            return f"{link['text']} (`{target}`)" if target not in link["text"] else link["text"]
        else:
            return link[0]  # Leads nowhere, which the site's own check says.
        found = posixpath.relpath(found, posixpath.dirname(name) or ".")
        return f"[{link['text']}]({found}{hash_sign}{anchor})"

    return _LINK.sub(of, markdown)
