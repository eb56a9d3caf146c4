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


def sample(runs: "Runs", spec: ModelSpec, seed: int) -> "Fit":
    """Fit a model with a progress bar on a terminal."""
    with steps("fit", 2) as step:
        step("starting PyMC")
        from bayescale.posterior.fit import fit

        step("compiling and sampling, about 20 s")
        return fit(runs, spec, seed=seed, progress=False)


def problems_of(*fits: "Fit | None") -> list[str]:
    """Say what speaks against the convergence of each fit; nothing of constants."""
    return [
        f"{fitted.spec.name}: {problem}"
        for fitted in fits
        if fitted is not None and fitted.sampled
        for problem in fitted.diagnostics.problems
    ]


def convergence(problems: Sequence[str], *, sampled: bool = True) -> dict[str, Any]:
    """Say in JSON whether the numbers beside it can be used; null of what was not sampled."""
    return {"converged": not problems if sampled else None, "problems": list(problems)}


def say_problems(problems: Sequence[str]) -> None:
    """Say before the numbers that they must not be used."""
    if problems:
        typer.echo(f"not converged, do not use these numbers: {'; '.join(problems)}")


def say_failures(fitted: "Fit") -> None:
    """Say before the numbers which checks of this fit FAILed when its report was made."""
    for name, message in fitted.failures.items():
        if name != "convergence":  # said already, of the fit as it is
            typer.echo(f"FAIL {name}: {message}. Read why in the report before you decide.")


def stop_unless_converged(problems: Sequence[str], allow: bool) -> None:
    """Exit with 1 for what did not converge, unless told that it may."""
    for problem in problems:
        typer.echo(f"not converged: {problem}", err=True)
    if problems and not allow:
        raise typer.Exit(1)


@contextmanager
def steps(label: str, steps: int) -> Iterator[Any]:
    """Progress bar on stderr, silent where stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield lambda step: None
        return
    with typer.progressbar(length=steps, label=label, file=sys.stderr, show_eta=False) as bar:

        def step(name: str) -> None:
            bar.label = f"{label}: {name}"
            bar.update(1)

        yield step
