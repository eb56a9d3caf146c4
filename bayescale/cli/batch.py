"""The command that fits many models to many tables."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from bayescale.cli.options import AllowUnconverged, Json
from bayescale.cli.sampling import stop_unless_converged
from bayescale.files import SCHEMA, make_folder, to_json, write
from bayescale.progress import step


def batch(
    fits: Annotated[
        Path, typer.Argument(metavar="FITS", help="List of fits: TOML, CSV or JSON lines.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="For records; what it has is not done again."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Write the fits as well.")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Processes; else one a core.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Of a Dask cluster: tcp://host:8786.")
    ] = None,
    as_json: Json = False,
    allow_unconverged: AllowUnconverged = False,
) -> None:
    """Make many fits, on all cores or on a cluster."""
    if out is not None:
        make_folder(out)  # before the long work, not after it
    with step("reading"):
        from bayescale.posterior.jobs import read_jobs

        jobs = read_jobs(fits)
    with step("loading"):
        from bayescale.posterior.many import fit_many
    try:
        found = fit_many(jobs, workers=workers, scheduler=scheduler, out=out, keep=keep)
    except KeyboardInterrupt:
        _say_what_is_kept(out, len(jobs))
        raise
    if out is not None:
        write(out / "fits.csv", found.table.to_csv(index=False))
        typer.echo(f"records: {out / 'fits.jsonl'}, {out / 'fits.csv'}", err=True)
    text = to_json({"schema": SCHEMA, "fits": [asdict(one) for one in found]})
    typer.echo(text if as_json else found)
    failed = [f"{one.name}: {one.reason}" for one in found.failed]
    stop_unless_converged(found.problems, allow_unconverged, failed, said=not as_json)


def _say_what_is_kept(out: Path | None, jobs: int) -> None:
    """Say to who stopped it what is done, and how it goes on."""
    if out is None:
        typer.echo("stopped: without --out FOLDER nothing is kept", err=True)
        return
    path = out / "fits.jsonl"
    done = path.read_bytes().count(b"\n") if path.exists() else 0
    typer.echo(f"stopped: {path} has {done} of {jobs}; the same command goes on there", err=True)
