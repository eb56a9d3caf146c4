"""Sampling with a progress bar, and what follows when a fit did not converge."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from bayescale.modelling.spec import ModelSpec

if TYPE_CHECKING:  # importing PyMC takes seconds: only the commands that sample pay for it
    from bayescale.posterior.fit import Fit
    from bayescale.runs.table import Runs


def sample(
    runs: "Runs", spec: ModelSpec, seed: int, *, draws: int = 1000, tune: int = 1000
) -> "Fit":
    """Fit a model with a progress bar on a terminal.

    Parameters
    ----------
    runs : Runs
    spec : ModelSpec
    seed : int
    draws, tune : int
        Of each chain.

    Returns
    -------
    Fit
    """
    with steps("fit", 2) as step:
        step("starting PyMC")
        from bayescale.posterior.fit import fit

        step("compiling and sampling, about 20 s")
        return fit(runs, spec, draws=draws, tune=tune, seed=seed, progress=False)


def stop_unless_converged(problems: Sequence[str], allow: bool) -> None:
    """Exit with 1 for what did not converge, unless told that it may.

    Parameters
    ----------
    problems : sequence of str
    allow : bool
    """
    for problem in problems:
        typer.echo(f"not converged: {problem}", err=True)
    if problems and not allow:
        raise typer.Exit(1)


@contextmanager
def steps(label: str, steps: int) -> Iterator[Any]:
    """Progress bar on stderr, silent where stderr is not a terminal.

    Parameters
    ----------
    label : str
    steps : int
        How many there will be.

    Yields
    ------
    callable
        Called with the name of each step as it starts.
    """
    if not sys.stderr.isatty():
        yield lambda step: None
        return
    with typer.progressbar(length=steps, label=label, file=sys.stderr, show_eta=False) as bar:

        def step(name: str) -> None:
            bar.label = f"{label}: {name}"
            bar.update(1)

        yield step
