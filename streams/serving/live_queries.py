"""The queries that find candidates: read from files, changed while they serve.

``EXPLORE_QUERY`` names a file, or a folder whose ``*.igql`` are queries by the names of their
files. A version that does not parse and check is refused, and the one before stays live.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from infra.config import Settings
from infra.errors import SettingsError
from infra.metrics import QUERIES_REFUSED, SOURCES_OUT
from models.igql.errors import IgqlError
from models.igql.executor import Executor
from models.igql.planner import Plan
from models.igql.registry import Registry
from models.queries import EXPLORE, CandidateQuery, explore_text, planned

logger = logging.getLogger(__name__)

#: How often files are looked at.
LOOK_S: Final = 1.0


def count_source(source: str, outcome: str) -> None:
    """Count a source that gave nothing, or too slowly."""
    SOURCES_OUT.labels(source, outcome).inc()


class LiveQueries:
    """The queries of the settings, as they are in their files now.

    Attributes:
        operators: that queries may name.

    Raises:
        SettingsError: a file is not there or a query is wrong at the start, or it does not say
            which of several queries is the default one.
    """

    def __init__(self, settings: Settings, operators: Registry) -> None:
        self.operators = operators
        self._path = Path(settings.explore_query) if settings.explore_query else None
        self._executor = Executor(clock=time.perf_counter, tell=count_source)
        self._texts: dict[str, str] = {}
        self._plans: dict[str, Plan] = {}
        self._refused: dict[str, str] = {}
        try:
            texts = self._read()
            for name, text in texts.items():
                self._plans[name] = planned(text, operators)
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(
                f"EXPLORE_QUERY={settings.explore_query!r} cannot be read: {error}"
            ) from error
        except IgqlError as error:
            raise SettingsError(
                f"EXPLORE_QUERY={settings.explore_query!r}: query {name!r} is wrong:\n{error}"
            ) from error
        self._texts = texts
        if EXPLORE not in texts and len(texts) > 1:
            raise SettingsError(
                f"EXPLORE_QUERY={settings.explore_query!r} has the queries {', '.join(texts)}: "
                f"call the one that serves where no arm names another {EXPLORE}.igql"
            )

    def of(self, name: str = "") -> CandidateQuery:
        """A query by its name, by default the one that serves where no arm names another.

        Raises:
            KeyError: there is none of this name.
        """
        name = name or (EXPLORE if EXPLORE in self._plans else next(iter(self._plans)))
        return CandidateQuery(self._plans[name], self._executor, name)

    def names(self) -> list[str]:
        """Names of the loaded queries in alphabetical order."""
        return sorted(self._plans)

    def texts(self) -> dict[str, str]:
        """Text of each live query by name."""
        return dict(sorted(self._texts.items()))

    def asked(self, text: str) -> CandidateQuery:
        """A query that somebody asks for, on the tables of the live ones.

        Raises:
            IgqlError: it is wrong.
        """
        return CandidateQuery(planned(text, self.operators), self._executor, "asked")

    def versions(self) -> dict[str, str]:
        """Version of each live query by name."""
        return {name: plan.version for name, plan in sorted(self._plans.items())}

    def reload(self) -> bool:
        """Look at the files; returns whether a live query changed.

        A query that is wrong is refused, logged and counted once. One whose file has gone stays
        live, as does everything while the folder cannot be read.
        """
        try:
            texts = self._read()
        except (OSError, UnicodeDecodeError) as error:
            self._refuse("", f"{error}", f"EXPLORE_QUERY cannot be read: {error}")
            return False
        changed = False
        for name, text in texts.items():
            if text in (self._texts.get(name), self._refused.get(name)):
                continue
            try:
                plan = planned(text, self.operators)
            except IgqlError as error:
                self._refuse(name, text, f"query {name} is wrong:\n{error}")
                continue
            changed |= name not in self._plans or plan.version != self._plans[name].version
            self._plans[name], self._texts[name] = plan, text
            self._refused.pop(name, None)
        return changed

    async def follow(self, changed: Callable[[], None]) -> None:
        """Look at the files every second until cancelled; calls `changed` when a query changed."""
        while True:
            await asyncio.sleep(LOOK_S)
            if self._path is not None and self.reload():
                logger.warning("queries changed: %s", self.versions())
                changed()

    def _refuse(self, name: str, text: str, message: str) -> None:
        if self._refused.get(name) != text:
            self._refused[name] = text
            QUERIES_REFUSED.inc()
            logger.error("%s; the version before stays live", message)

    def _read(self) -> dict[str, str]:
        path = self._path
        if path is None:
            return {EXPLORE: explore_text()}
        if not path.is_dir():
            return {path.stem: path.read_text(encoding="utf-8")}
        found = {one.stem: one.read_text(encoding="utf-8") for one in sorted(path.glob("*.igql"))}
        if not found and not self._plans:
            raise FileNotFoundError(f"there is no *.igql in {path}")
        return found
