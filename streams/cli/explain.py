"""The commands ``freshgrid explain`` and ``freshgrid features``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from streams.cli.common import Json, console, load_settings, show


def explain(
    viewer: Annotated[str, typer.Argument(help="The viewer's id.")],
    media: Annotated[
        str | None, typer.Argument(help="One media; without it every item of the grid.")
    ] = None,
    json: Json = False,
) -> None:
    """Why a viewer sees a media, or does not: sources, ranks, terms of the value, what cut it.

    The ranker makes the grid anew and tells what it did.
    """
    from streams.cli.ranker_api import get

    parameters = {"viewer_id": viewer} | ({} if media is None else {"media_id": media})
    told = get(load_settings(), "/v1/explain", parameters)
    if json:
        show(told, as_json=True)
    elif media is None:
        _print_grid(told)
    else:
        _print_media(told["media"])


def features(json: Json = False) -> None:
    """The declared features: what the rankers look at, and where it comes from."""
    import msgspec

    from models.feature_schema import FEATURE_VERSION, FEATURES, MINIMAL

    rows = [
        {
            **msgspec.to_builtins(one),
            "dtype": "float32" if one.kind == "dense" else "int32",
            "minimal": one.name in MINIMAL,
        }
        for one in FEATURES
    ]
    if json:
        show({"version": FEATURE_VERSION, "features": rows}, as_json=True)
        return
    from rich.table import Table

    table = Table("feature", "dtype", "kind", "source", "meaning", box=None, pad_edge=False)
    for row in rows:
        kind = f"sparse, {row['buckets']} buckets" if row["buckets"] else "dense"
        kind += f", {row['places']} places" if row["places"] > 1 else ""
        table.add_row(
            row["name"], row["dtype"], kind + (", first pass" if row["minimal"] else ""),
            row["source"], row["meaning"],
        )  # fmt: skip
    console().print(table)
    print(f"\nversion {FEATURE_VERSION}")


def _print_grid(told: dict[str, Any]) -> None:
    from rich.table import Table

    from models.actions import HEAD_NAMES

    table = Table(
        "", "media", "author", "source", "seed", "pass 1", "pass 2", "value", *HEAD_NAMES,
        "penalty", "by value", box=None, pad_edge=False,
    )  # fmt: skip
    for item in told["items"]:
        value = item["value"]
        table.add_row(
            str(item["position"]),
            item["media_id"],
            item["author_id"],
            item["source"],
            item["seed"] or "–",
            str(item["first_pass"]["rank"]),
            str(item["second_pass"]["rank"]),
            *(f"{value[name]:.4f}" for name in ("value", *HEAD_NAMES, "penalty")),
            str(value["rank"]),
        )
    out = console()
    out.print(table)
    kept = " → ".join(map(str, [told["candidates"], *told["kept"]]))
    dropped = ", ".join(f"{count} by {name}" for name, count in told["dropped"].items())
    out.print(f"\n{kept}; filters dropped {dropped or 'nothing'}")


def _print_media(told: dict[str, Any]) -> None:
    from rich.table import Table

    from models.actions import HEAD_NAMES

    table = Table(show_header=False, box=None, pad_edge=False)
    drop = told["drop"]
    table.add_row("media", told["media_id"])
    table.add_row("author", told["author_id"] or "–")
    if drop is None:
        table.add_row("shown", f"at position {told['position']}")
    else:
        table.add_row("not shown", f"{drop['stage']}: {drop['reason']}")
    if told["source"] is not None:
        table.add_row(
            "found by",
            f"{told['source']}, seed {told['seed'] or 'none'}, at {told['source_rank']} there "
            f"(score {told['source_score']:.4g}), {told['candidate_rank']} of all",
        )
    for name, title in (("first_pass", "pass 1"), ("second_pass", "pass 2")):
        if (one := told[name]) is not None:
            went = "goes on" if one["passed"] else "cut"
            table.add_row(title, f"rank {one['rank']}, score {one['score']:.4g}, {went}")
    if (value := told["value"]) is not None:
        chance = told["probabilities"]
        for name in HEAD_NAMES:
            table.add_row(name, f"{value[name]:+.5f} (probability {chance[name]:.5f})")
        table.add_row("see-fewers", f"{-value['penalty']:+.5f}")
        table.add_row("value", f"{value['value']:+.5f}, rank {value['rank']}")
        table.add_row(
            "diversity",
            f"{value['same_author_before']} of the author and {value['same_seed_before']} of the "
            "seed are shown before it",
        )
    console().print(table)
