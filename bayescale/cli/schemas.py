"""The command that shows schemas."""

from typing import Annotated

import typer

from bayescale import words
from bayescale.errors import BayescaleError
from bayescale.files import to_json
from bayescale.report.schema import WRITTEN, schema_of


def schema(
    name: Annotated[
        str | None, typer.Argument(help="A command, or a question of plan; without it, list all.")
    ] = None,
) -> None:
    """Print the JSON schema of what a command writes with --json."""
    if name is None:
        typer.echo("\n".join(WRITTEN))
        return
    if name not in WRITTEN:
        near = words.did_you_mean(name, list(WRITTEN))
        raise BayescaleError(f"{name!r} is no command that writes JSON; {near}")
    typer.echo(to_json(schema_of(name)))
