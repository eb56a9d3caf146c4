"""Commands that list and show what is shipped: model files and tables."""

from pathlib import Path
from typing import Annotated

import typer

from bayescale.cli.options import Json
from bayescale.errors import ModelError, RunsError
from bayescale.files import make_room, to_json, write
from bayescale.modelling.spec import available_models, load_model, parse_model
from bayescale.runs import datasets as tables

models_app: typer.Typer = typer.Typer(
    help="List the shipped model files, show or copy one.", invoke_without_command=True
)


@models_app.callback()
def models(context: typer.Context, as_json: Json = False) -> None:
    """List the shipped model files."""
    if context.invoked_subcommand is None:
        _print_listing(available_models(), as_json)


@models_app.command()
def show(
    name: Annotated[str, typer.Argument(help="Name of a shipped model, or a TOML file.")],
) -> None:
    """Print a model file."""
    typer.echo(load_model(name).source, nl=False)


@models_app.command()
def copy(
    name: Annotated[str, typer.Argument(help="Name of a shipped model, or a TOML file.")],
    file: Annotated[Path, typer.Argument(help="TOML file to write.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Copy a model file, to change a prior in it."""
    spec = load_model(name)
    if file.suffix != ".toml":
        raise ModelError(f"{file}: a model file ends in .toml; name it {file}.toml")
    if file.exists() and not force:
        raise ModelError(f"{file} exists already; name another file, or replace it with --force")
    parse_model(spec.source, file.stem, laws=(file.parent,))  # the law of a user is a file beside
    make_room(file)
    write(file, spec.source)
    typer.echo(f"{file} is {name}: change its priors, then: bayescale fit RUNS --model {file}")


def datasets(
    name: Annotated[
        str | None, typer.Argument(help="Table to fetch; without it, list all.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write; by default NAME.csv.")] = None,
    as_json: Json = False,
) -> None:
    """List the tables to fetch by name, or write one as CSV."""
    if name is None:
        _print_listing(tables.available_datasets(), as_json)
        return
    target = out or Path(f"{name}.csv")
    if target.exists():
        raise RunsError(f"{target} exists already; name another file with --out")
    table = tables.load_dataset(name)
    make_room(target)
    write(target, table.to_csv(index=False))
    typer.echo(f"{len(table)} rows in {target}")
    typer.echo(f"licence: {table.attrs['licence']}; cite {table.attrs['citation']}")


def _print_listing(entries: dict[str, str], as_json: bool) -> None:
    """Print names beside what they are."""
    if as_json:
        typer.echo(to_json(entries))
        return
    width = max(map(len, entries))
    for name, summary in entries.items():
        typer.echo(f"{name:<{width}}  {summary}")
