"""``freshgrid bench``: a command for each benchmark, with the options that its ``run`` declares.

Benchmarks load what they measure. So ``--list`` and ``--help`` know of each only its line in
:data:`streams.bench.BENCHES`, and its command is made once it is named.
"""

from __future__ import annotations

from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from typer.core import TyperGroup

from streams.bench import BENCHES, load, machine
from streams.cli.common import Json, load_settings, show
from streams.cli.paths import to_read


class Benchmarks(TyperGroup):
    """Takes a name for the command that is made from the benchmark's ``run``."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that `args` begin with, and the rest of them; unknown names are refused."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, _command(str(name)), rest


bench = typer.Typer(cls=Benchmarks, no_args_is_help=True, subcommand_metavar="NAME [OPTIONS]")


def _list(wanted: bool) -> None:
    if wanted:
        for name, about in BENCHES.items():
            print(f"{name:<12} {about}")
        raise typer.Exit


@bench.callback()
def choose(
    list_names: Annotated[
        bool, typer.Option("--list", help="Name the benchmarks.", is_eager=True, callback=_list)
    ] = False,
) -> None:
    """Measure, and print the figures; NAME --help tells the options of one."""


def _only_named() -> None:
    """Stands in lists of commands; :class:`Benchmarks` puts another in its place to run."""


for _name, _about in BENCHES.items():
    bench.command(_name, help=_about)(_only_named)


def _command(name: str) -> Any:
    from infra.threads import use_one_thread

    use_one_thread()
    run = load(name)

    def measure(json: bool, **options: Any) -> None:
        figures = run(load_settings(), **options)
        show({"bench": name, "figures": figures, "machine": machine()}, as_json=json)

    declared = signature(run, eval_str=True).parameters.values()
    options = [_option(each) for each in declared if each.kind is Parameter.KEYWORD_ONLY]
    as_json = Parameter("json", Parameter.KEYWORD_ONLY, default=False, annotation=Json)
    callback: Any = measure
    callback.__signature__ = Signature([*options, as_json])
    made = typer.Typer(add_completion=False)
    made.command(name, help=BENCHES[name])(callback)
    return typer.main.get_command(made)


def _option(declared: Parameter) -> Parameter:
    kind, meta = get_args(declared.annotation)
    default = declared.default
    option = typer.Option(
        default,
        help=meta.description,
        min=meta.ge,
        callback=to_read if kind is Path else None,
        # Where a file of ours lies tells nobody anything.
        show_default=default.name if kind is Path else True,
    )
    return declared.replace(annotation=kind, default=option)
