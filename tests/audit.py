"""``make audit``: asks PyPI for known holes in what the image is made of, by pip-audit.

What pip-audit cannot learn it leaves out with a word, and ends well: here that is told apart.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from tests.paths import ROOT

LOCK: Final = ROOT / "infra" / "compose" / "requirements.lock"
#: A hundred dependencies are asked for one after the other.
LIMIT_S: Final = 300.0


class Audit(NamedTuple):
    """What is known of the dependencies.

    Attributes:
        holes: a line each.
        unknown: names of those that nothing was told of.
        known: how many others there are.
    """

    holes: list[str]
    unknown: list[str]
    known: int


def read(told: bytes) -> Audit:
    """What pip-audit says as JSON.

    Raises:
        msgspec.MsgspecError: it is something else.
    """
    dependencies: list[dict[str, Any]] = msgspec.json.decode(told)["dependencies"]
    unknown = [one["name"] for one in dependencies if "skip_reason" in one]
    holes = [
        f"{one['name']} {one['version']}: {hole['id']}, mended in "
        f"{', '.join(hole['fix_versions']) or 'no version yet'}"
        for one in dependencies
        for hole in one.get("vulns", ())
    ]
    return Audit(holes, unknown, len(dependencies) - len(unknown))


def main(arguments: list[str]) -> int:
    """Print the holes; returns 0 where there is none and all could be asked for."""
    parser = argparse.ArgumentParser(prog="make audit", description=__doc__)
    parser.add_argument("--where-told", action="store_true", help="let be what nobody tells of")
    lenient = parser.parse_args(arguments).where_told
    uv = Path(sys.executable).with_name("uv")
    command = [uv, "tool", "run", "pip-audit", "-r", LOCK, "--require-hashes", "--disable-pip"]
    try:
        asked = [*command, "--format", "json", "--progress-spinner", "off"]
        done = subprocess.run(asked, capture_output=True, timeout=LIMIT_S, check=False)
        found = read(done.stdout)
    except (OSError, subprocess.TimeoutExpired, msgspec.MsgspecError) as error:
        print(f"not audited: pip-audit does not answer ({error})")
        return int(not lenient)
    print(*found.holes, sep="\n", end="\n" if found.holes else "")
    print(f"{len(found.holes)} known holes in {found.known} dependencies")
    if found.unknown:
        print(f"not audited: PyPI tells nothing of {len(found.unknown)}, as {found.unknown[0]}")
    return int(bool(found.holes) or (bool(found.unknown) and not lenient))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
