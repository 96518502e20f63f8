"""The command ``freshgrid``.

Exit codes: 0 done, 1 failed, 2 wrong usage. What can be expected to go wrong is a
:class:`infra.errors.FreshgridError` and shows as one sentence on stderr.

A command imports what it needs when it runs, so that ``freshgrid --help`` answers at once.
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.errors import FreshgridError, SettingsError
from streams.cli.common import Json, load_settings, show
from streams.cli.dead_letters import dead_letters
from streams.cli.evaluate import evaluate, tune
from streams.cli.explain import explain, features
from streams.cli.query import query
from streams.cli.versions import versions
from streams.cli.weights import experiments, weights

if TYPE_CHECKING:
    from infra.config import Settings

app = typer.Typer(
    name="freshgrid",
    help="A self-hosted Explore: likes stream in, every viewer's grid follows a moment later.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Port = Annotated[
    int | None,
    typer.Option(min=0, max=65535, help="Port of the HTTP API; 0 for any free one. [HTTP_PORT]"),
]

inspect = typer.Typer(no_args_is_help=True, help="Look at what is stored.")
app.add_typer(inspect, name="inspect")
app.add_typer(dead_letters, name="dead-letters")
app.command()(query)
app.command()(explain)
app.command()(features)
app.add_typer(evaluate, name="evaluate")
app.add_typer(tune, name="tune")
app.add_typer(versions, name="versions")
app.add_typer(weights, name="weights")
app.add_typer(experiments, name="experiments")


@app.command()
def up(port: Port = None) -> None:
    """Start the whole stack, print where it is as one JSON line, run until stopped."""
    import msgspec

    from infra.supervisor import stop_signals
    from streams.local.stack import starting_stack

    settings = load_settings()
    with (
        suppress(KeyboardInterrupt),
        stop_signals(),
        starting_stack(settings, http_port=port) as stack,
    ):
        stack.wait_ready()
        print(msgspec.json.encode(stack.endpoints).decode(), flush=True)
        stack.wait()


@app.command()
def demo(
    once: Annotated[
        bool, typer.Option("--once", help="End after the first live like instead of serving.")
    ] = False,
    port: Port = None,
) -> None:
    """Start the stack, replay the bundled events, train, show a grid and how a like changes it."""
    from infra.supervisor import stop_signals
    from streams.local.demo import run_demo

    settings = load_settings()
    with suppress(KeyboardInterrupt), stop_signals():
        run_demo(settings, once=once, http_port=port)
        return
    # Interrupted before it was done.
    raise typer.Exit(130)


@app.command()
def worker() -> None:
    """Fold events into viewer state (one Kafka consumer group member)."""
    _run("worker")


@app.command()
def learner() -> None:
    """Learn account embeddings and rankers from the stream."""
    _run("learner")


@app.command()
def serve() -> None:
    """Keep the grids fresh and serve them over HTTP."""
    _run("ranker")


StateHash = Annotated[
    bool, typer.Option("--state-hash", help="Print one hash of all viewer state, alone on stdout.")
]


@app.command()
def replay(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Event fixtures, JSON lines; .gz is fine.", exists=True),
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
        report = replay_files(
            settings, files, offline=offline, hashed=state_hash, shift_to_now=shift_to_now
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
    from streams.cli.progress import showing_progress
    from streams.clock import parse_time
    from streams.log import rebuild

    ts_ms = None if from_ts is None else parse_time("--from-ts", from_ts)
    play = rebuild.replay_log_offline if offline else rebuild.replay_log
    with showing_progress("replay") as progress:
        start = Start(from_offset or 0, ts_ms)
        report = asyncio.run(play(settings, start, hashed=hashed, on_progress=progress))
    _tell_state(report, "events", hashed=hashed, as_json=as_json)


@app.command()
def rebuild(
    force: Annotated[
        bool, typer.Option("--force", help="Delete the viewer state that is there first.")
    ] = False,
    state_hash: StateHash = False,
    json: Json = False,
) -> None:
    """Restore viewer state from the log after Redis lost it. Workers must be stopped."""
    import asyncio

    from streams.cli.progress import showing_progress
    from streams.log.rebuild import rebuild as rebuild_state

    with showing_progress("rebuild") as progress:
        report = asyncio.run(
            rebuild_state(load_settings(), force=force, hashed=state_hash, on_progress=progress)
        )
    _tell_state(report, "events", hashed=state_hash, as_json=json)


def _tell_state(report: dict[str, Any], unit: str, *, hashed: bool, as_json: bool) -> None:
    """Print a report; a hash that was asked for stands alone on stdout."""
    if report.get("missing"):
        from streams.log.rebuild import lacking

        print(f"freshgrid: {lacking(report['missing'])}", file=sys.stderr)
    if hashed and not as_json:
        print(
            f"{report[unit]} {unit}, {report['viewers']} viewers, {report['seconds']} s",
            file=sys.stderr,
        )
        print(report["state_hash"])
    else:
        show(report, as_json=as_json)


@app.command()
def send(
    action: Annotated[str, typer.Argument(help="like, save, see_fewer, view, follow, block, mute")],
    viewer: Annotated[str, typer.Option(help="Who does it.")],
    media: Annotated[str | None, typer.Option(help="To which media.")] = None,
    author: Annotated[
        str | None, typer.Option(help="Its author, if the catalogue does not know; whom to follow.")
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take the action back.")] = False,
    json: Json = False,
) -> None:
    """Send one event, as a producer would."""
    from streams.cli.send import send_event

    relation = action in ("follow", "block", "mute")
    sent = send_event(
        load_settings(),
        "events.follow" if relation else f"events.{action}",
        viewer,
        media_id=media,
        author_id=author,
        kind=action if relation else None,
        undo=undo,
    )
    show(sent, as_json=json)


@inspect.command("viewer")
def inspect_viewer(
    viewer_id: Annotated[str, typer.Argument(help="The viewer's id.")], json: Json = False
) -> None:
    """Sessions, viewer–author features, suppressions and the current grid of one viewer."""
    import asyncio

    from streams.cli.inspect import inspect_stored_viewer

    show(asyncio.run(inspect_stored_viewer(load_settings(), viewer_id)), as_json=json)


@inspect.command("index")
def inspect_account_index(json: Json = False) -> None:
    """The account index as the topics give it: a ranking worker's /v1/index has the same hash."""
    import asyncio

    from streams.cli.inspect import inspect_index

    show(asyncio.run(inspect_index(load_settings())), as_json=json)


@app.command()
def bench(
    name: Annotated[str | None, typer.Argument(help="Which benchmark; see --list.")] = None,
    list_names: Annotated[bool, typer.Option("--list", help="Name the benchmarks.")] = False,
    events: Annotated[
        int | None, typer.Option(min=1, help="Events to fold. [ingest, growth]")
    ] = None,
    stock_events: Annotated[
        int | None, typer.Option(min=1, help="Events for stock Faust. [ingest]")
    ] = None,
    viewers: Annotated[
        int | None,
        typer.Option(min=1, help="Viewers. [growth, memory, igql, grid, funnel]"),
    ] = None,
    likes: Annotated[int | None, typer.Option(min=1, help="Likes to time. [freshness]")] = None,
    accounts: Annotated[
        int | None, typer.Option(min=1000, help="Accounts in the index. [retrieval]")
    ] = None,
    background: Annotated[
        int | None, typer.Option(min=1, help="Other events per second meanwhile. [freshness]")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            help="Recorded events, the bundled ones if none. "
            "[embeddings, funnel, quality, training]",
        ),
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Runs. [embeddings]")] = None,
    first_days: Annotated[
        int | None,
        typer.Option(min=1, help="Days fitted before the stream. [embeddings, training]"),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Of torch, e.g. cuda; timed on it. [training]")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Of torch. [training]")] = None,
    json: Json = False,
) -> None:
    """Measure, and print the figures; --json ends with one JSON line.

    An option names the benchmarks that take it.
    """
    from infra.threads import use_one_thread

    use_one_thread()
    from streams.bench import BENCHES, run_bench

    if list_names:
        for known, about in BENCHES.items():
            print(f"{known:<12} {about}")
        return
    if name not in BENCHES:
        raise SettingsError(
            f"there is no benchmark {name or ''!r}; the benchmarks are {', '.join(BENCHES)}"
        )
    options = {
        "events": events,
        "stock_events": stock_events,
        "viewers": viewers,
        "likes": likes,
        "accounts": accounts,
        "background": background,
        "data": data,
        "seeds": seeds,
        "first_days": first_days,
        "device": device,
        "threads": threads,
    }
    show(run_bench(name, load_settings(), options), as_json=json)


@app.command()
def embed_images(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Pictures, or folders of them.", exists=True)
    ] = None,
    media: Annotated[
        Path | None,
        typer.Option(help="Instead: records of catalog.media, JSON lines, embedded by image_url."),
    ] = None,
    send: Annotated[
        bool, typer.Option("--send", help="Send the records to catalog.media.")
    ] = False,
) -> None:
    """Embed pictures; prints JSON lines with image_embedding, or sends them. Extra: images."""
    from streams.cli.images import embed_images as embed
    from streams.cli.images import pictures_of_media, pictures_of_paths

    if bool(paths) == bool(media) or (send and media is None):
        raise SettingsError("give pictures, or --media FILE (with or without --send)")
    out = None if send else sys.stdout
    if media is None:
        counts = embed(load_settings(), pictures_of_paths(paths or ()), out)
    else:
        with media.open(encoding="utf-8") as lines:
            counts = embed(load_settings(), pictures_of_media(lines, str(media)), out)
    print(f"{counts['embedded']} of {counts['records']} embedded", file=sys.stderr)


@app.command()
def doctor() -> None:
    """Check Python, packages, Kafka, Redis, the HTTP port and the artifacts folder."""
    from infra.doctor import findings

    healthy = True
    for finding in findings(load_settings()):
        print(f"{'ok  ' if finding.ok else 'FAIL'} {finding.what:<9} {finding.text}", flush=True)
        healthy &= finding.ok
    if not healthy:
        raise typer.Exit(1)


def main() -> None:
    """Run the command line; the console script."""
    # What goes wrong is said once, by us. Roles configure logging and hear the libraries again.
    for library in ("aiokafka", "kafka"):
        logging.getLogger(library).addHandler(logging.NullHandler())
    try:
        app()
    except FreshgridError as error:
        print(f"freshgrid: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def _run(role: str) -> None:
    load_settings()
    from streams.app import run

    raise typer.Exit(run(role))


if __name__ == "__main__":
    main()
