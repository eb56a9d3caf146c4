"""Sampling, and what follows when a fit did not converge."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from bayescale.modelling.spec import ModelSpec
from bayescale.progress import step

if TYPE_CHECKING:  # importing PyMC takes seconds: only the commands that sample pay for it
    from bayescale.decisions.answer import Answer
    from bayescale.posterior.fit import Fit
    from bayescale.runs.table import Runs


def sample(
    runs: "Runs",
    spec: ModelSpec,
    seed: int,
    *,
    draws: int = 1000,
    tune: int = 1000,
    backend: str = "nutpie",
) -> "Fit":
    """Fit a model, a step of its name.

    Parameters
    ----------
    runs : Runs
    spec : ModelSpec
    seed : int
    draws, tune : int
        Of each chain.
    backend : str
        As in `bayescale.fit`.

    Returns
    -------
    Fit
    """
    with step("loading"):
        from bayescale.posterior.fitting import fit

    with step(f"fitting {spec.name}"):
        return fit(runs, spec, draws=draws, tune=tune, seed=seed, backend=backend)


def stop_unless_converged(
    problems: Sequence[str], allow: bool, failed: Sequence[str] = (), *, said: bool
) -> None:
    """Exit with 1 for what did not converge, unless told that it may, and with 2 for what failed.

    Parameters
    ----------
    problems : sequence of str
    allow : bool
    failed : sequence of str, optional
        Fits among many that could not be made.
    said : bool
        Whether the problems stand above what was printed for people, who need them once.
    """
    for problem in () if said else problems:
        typer.echo(f"not converged: {problem}", err=True)
    for one in failed:
        typer.echo(f"failed: {one}", err=True)
    if problems and not allow:
        raise typer.Exit(1)
    if failed:
        raise typer.Exit(2)


def print_answer(answer: "Answer", as_json: bool, allow_unconverged: bool) -> None:
    """Print an answer, and exit with 1 where it is of fits that did not converge.

    Parameters
    ----------
    answer : Answer
    as_json, allow_unconverged : bool
    """
    if as_json:
        typer.echo(answer.to_json())
    else:
        typer.echo(answer)
        typer.echo("Medians with central 90% credible intervals in brackets.")
    stop_unless_converged(answer.numbers["problems"], allow_unconverged, said=not as_json)
