"""``freshgrid doctor``: is everything here that a role needs, and within reach."""

from __future__ import annotations

import typer

from streams.cli.common import load_settings


def doctor() -> None:
    """Check Python, packages, Kafka, Redis, the HTTP port and the artifacts folder."""
    from infra.doctor import findings

    healthy = True
    for finding in findings(load_settings()):
        print(f"{'ok  ' if finding.ok else 'FAIL'} {finding.what:<9} {finding.text}", flush=True)
        healthy &= finding.ok
    if not healthy:
        raise typer.Exit(1)
