"""What docker-compose.yml and the files over it say, without Docker."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.paths import ROOT

SECURE: Final = ROOT / "infra" / "compose" / "secure"
SECRETS: Final = "/run/secrets/"


def make_secrets(folder: Path) -> None:
    """As it is told at the head of the secure project's file."""
    subprocess.run(["sh", SECURE / "make_secrets.sh", folder], check=True, capture_output=True)


class Compose(NamedTuple):
    """A base and what stands over it.

    Attributes:
        base: ``docker-compose.yml``.
        over: ``infra/compose/secure/compose.yml``.
    """

    base: dict[str, Any]
    over: dict[str, Any]

    @classmethod
    def read(cls) -> Compose:
        import yaml

        files = (ROOT / "docker-compose.yml", SECURE / "compose.yml")
        return cls(*(yaml.safe_load(file.read_text()) for file in files))

    def service(self, name: str) -> dict[str, Any]:
        """A service as both files together make it: what is over goes first, mappings join."""
        below = self.base["services"].get(name, {})
        above = self.over["services"].get(name, {})
        joined = {
            part: {**below.get(part, {}), **above.get(part, {})}
            for part in ("environment", "depends_on", "healthcheck")
        }
        volumes = [*below.get("volumes", ()), *above.get("volumes", ())]
        return below | above | joined | {"volumes": volumes}

    def secret_files(self, folder: Path) -> dict[str, Path]:
        """Secret → its file, where `folder` is what SECRETS names."""
        return {
            name: Path(told["file"].replace("${SECRETS:-./secrets}", str(folder)))
            for name, told in self.over["secrets"].items()
        }
