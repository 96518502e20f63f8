"""The command ``freshgrid``.

Exit codes: 0 done, 1 failed, 2 wrong usage. What can be expected to go wrong is a
:class:`infra.errors.FreshgridError` and shows as one sentence on stderr.

A command imports what it needs when it runs, so that ``freshgrid --help`` answers at once. It must
not know how what it is asked for is done: it reads options, calls, and shows what came of it.
"""

from __future__ import annotations

import logging
import sys

import typer

from infra.errors import FreshgridError
from infra.secrets import mask_output
from streams.cli import (
    acls,
    archive,
    backup,
    bench,
    dead_letters,
    doctor,
    evaluate,
    explain,
    images,
    inspect,
    keys,
    plan,
    query,
    replay,
    roles,
    send,
    simulate,
    top,
    topology,
    tune,
    versions,
    viewer,
    weights,
)

app = typer.Typer(
    name="freshgrid",
    help="A self-hosted Explore: likes stream in, every viewer's grid follows a moment later.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(query.query)
app.command()(explain.explain)
app.command()(explain.features)
app.command()(topology.topology)
app.command()(acls.acls)
app.command()(roles.up)
app.command()(roles.demo)
app.command()(roles.worker)
app.command()(roles.learner)
app.command()(roles.ranker)
app.command("serve", hidden=True)(roles.ranker)
app.command()(replay.replay)
app.command()(replay.rebuild)
app.command()(archive.archive)
app.command()(archive.batch)
app.command()(backup.backup)
app.command()(backup.restore)
app.command()(send.send)
app.command()(simulate.simulate)
app.command()(images.embed_images)
app.command()(plan.plan)
app.command()(doctor.doctor)
app.command()(top.top)
app.add_typer(inspect.inspect, name="inspect")
app.add_typer(bench.bench, name="bench")
app.add_typer(dead_letters.dead_letters, name="dead-letters")
app.add_typer(evaluate.evaluate, name="evaluate")
app.add_typer(tune.tune, name="tune")
app.add_typer(versions.versions, name="versions")
app.add_typer(keys.keys, name="keys")
app.add_typer(viewer.viewer, name="viewer")
app.add_typer(weights.weights, name="weights")
app.add_typer(weights.experiments, name="experiments")


def main() -> None:
    """Run the command line; the console script."""
    mask_output()
    # What goes wrong is said once, by us. Roles configure logging and hear the libraries again.
    for library in ("aiokafka", "kafka"):
        logging.getLogger(library).addHandler(logging.NullHandler())
    try:
        app()
    except FreshgridError as error:
        print(f"freshgrid: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
