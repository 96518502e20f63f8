"""``freshgrid replay`` and ``freshgrid rebuild``: viewer state out of files or of the log."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.errors import SettingsError
from streams.cli.common import Json, load_settings, show
from streams.cli.paths import file_to_read

if TYPE_CHECKING:
    from infra.config import Settings

StateHash = Annotated[
    bool, typer.Option("--state-hash", help="Print one hash of all viewer state, alone on stdout.")
]


def replay(
    files: Annotated[
        list[Path] | None,
        typer.Argument(callback=file_to_read, help="Event fixtures, JSON lines; .gz is fine."),
    ] = None,
    from_offset: Annotated[
        int | None,
        typer.Option(min=0, help="Instead of files: the log itself, each partition from here on."),
    ] = None,
    from_ts: Annotated[
        str | None,
        typer.Option(help="The same from a time on: epoch ms or ISO 8601 (UTC by default)."),
    ] = None,
    offline: Annotated[
        bool,
        typer.Option(
            "--offline/--kafka",
            help="Fold in this process, or send files to Kafka and fold the log into Redis.",
        ),
    ] = False,
    state_hash: StateHash = False,
    shift_to_now: Annotated[
        bool,
        typer.Option("--shift-to-now", help="Move all times so that the newest event is now."),
    ] = False,
    json: Json = False,
) -> None:
    """Play event files through Kafka or without it, or the log itself again from some point.

    The log is folded into Redis, up to where the workers were: for a Redis that came back from an
    older copy. Workers must be stopped. With --offline it is folded in memory.
    """
    from streams.log.replay_files import replay_files

    settings = load_settings()
    if from_offset is None and from_ts is None:
        if not files:
            raise SettingsError("nothing to replay: name FILES, or --from-offset or --from-ts")
        with _progress("replay", None if offline else settings) as progress:
            report = replay_files(
                settings,
                files,
                offline=offline,
                hashed=state_hash,
                shift_to_now=shift_to_now,
                on_progress=progress,
            )
        _tell_state(report, "records", hashed=state_hash, as_json=json)
        return
    if files or shift_to_now or (from_offset is not None and from_ts is not None):
        raise SettingsError(
            "give FILES (with or without --shift-to-now), or --from-offset, or --from-ts: "
            "one of them at a time"
        )
    _replay_log(settings, from_offset, from_ts, offline=offline, hashed=state_hash, as_json=json)


def _replay_log(
    settings: Settings,
    from_offset: int | None,
    from_ts: str | None,
    *,
    offline: bool,
    hashed: bool,
    as_json: bool,
) -> None:
    import asyncio

    from infra.log_reader import Start
    from streams.clock import parse_time
    from streams.log import rebuild

    ts_ms = None if from_ts is None else parse_time("--from-ts", from_ts)
    play = rebuild.replay_log_offline if offline else rebuild.replay_log
    with _progress("replay", None if offline else settings) as progress:
        start = Start(from_offset or 0, ts_ms)
        report = asyncio.run(play(settings, start, hashed=hashed, on_progress=progress))
    _tell_state(report, "events", hashed=hashed, as_json=as_json)


def rebuild(
    force: Annotated[
        bool, typer.Option("--force", help="Replace the viewer state that is there.")
    ] = False,
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="Also what the log no longer tells.")
    ] = False,
    archive: Annotated[
        str | None,
        typer.Option(help="Read this archive of the log first, then what Kafka still holds."),
    ] = None,
    state_hash: StateHash = False,
    json: Json = False,
) -> None:
    """Restore viewer state from the log after Redis lost it. Workers must be stopped.

    Of an archive (`freshgrid archive`) and Kafka together, where retention took the beginning.
    """
    import asyncio

    from streams.log.rebuild import rebuild as rebuild_state

    settings = load_settings()
    with _progress("rebuild", settings) as progress:
        report = asyncio.run(
            rebuild_state(
                settings,
                force=force,
                accept_loss=accept_loss,
                hashed=state_hash,
                on_progress=progress,
                archive_url=archive,
            )
        )
    _tell_state(report, "events", hashed=state_hash, as_json=json)


@contextmanager
def _progress(what: str, told_in: Settings | None) -> Iterator[Callable[[int, int], None]]:
    """Shows (done, total) here, and tells it in the store of some settings, too."""
    from streams.cli.progress import showing_progress
    from streams.operations.work import telling

    with showing_progress(what) as shown:
        if told_in is None:
            yield shown
            return
        with telling(told_in, what, shown) as progress:
            yield progress


def _tell_state(report: dict[str, Any], unit: str, *, hashed: bool, as_json: bool) -> None:
    """Print a report; a hash that was asked for stands alone on stdout."""
    if report.get("missing"):
        from streams.log.rebuild import lacking

        print(f"freshgrid: {lacking(report['missing'])}", file=sys.stderr)
    if said := _left_out(report):
        print(f"freshgrid: {said}", file=sys.stderr)
    if hashed and not as_json:
        print(
            f"{report[unit]} {unit}, {report['viewers']} viewers, {report['seconds']} s",
            file=sys.stderr,
        )
        print(report["state_hash"])
    else:
        show(report, as_json=as_json)


def _left_out(report: dict[str, Any]) -> str:
    """What of the records is in no state, and what to do; empty where all are."""
    parts = []
    if errors := report.get("errors"):
        named = ", ".join(f"{count} {error}" for error, count in sorted(errors.items()))
        parts.append(
            f"{report['dead_letters']} records cannot be applied ({named}): a worker would send "
            "them to explore.dead_letters, where `freshgrid dead-letters list` says why"
        )
    if waiting := report.get("waiting_for_media"):
        parts.append(
            f"events wait for {waiting} media that have no record: send it to catalog.media (in a "
            "fixture: a line of that topic), or name author_id in the events"
        )
    if dead := report.get("dead"):
        parts.append(f"{dead} records are left out, since a dead letter names them")
    return "; ".join(parts)
