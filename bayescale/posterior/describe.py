"""What a fit consists of, as plain numbers for scripts: parameters, groups, diagnostics."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats.base import array_stats

from bayescale import words
from bayescale.display import Bold, Grid, Part
from bayescale.draws import numbers
from bayescale.posterior.fit import Fit

_STATISTICS = ("mean", "sd", "r_hat", "ess_bulk")


def parameter_numbers(fit: Fit) -> dict[str, dict[str, Any]]:
    """Summarise every parameter; of one that differs between groups each value, as alpha[name].

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    dict of str to dict
        By parameter: ``median``, ``q05``, ``q95``, ``mean``, ``sd``, ``r_hat`` and ``ess_bulk``.
    """
    each = dict(labelled(fit.posterior[list(fit.parameters)]))
    table = fit.summary() if len(fit.members) > 1 else _statistics(each)
    return {
        label: {**numbers(draws), **{str(key): float(table.loc[label, key]) for key in _STATISTICS}}
        for label, draws in each.items()
    }


def _statistics(each: Mapping[str, xr.DataArray]) -> pd.DataFrame:
    """Make the columns of `bayescale.Fit.summary` that scripts get, in half of its time."""
    draws = np.stack([own.transpose("chain", "draw").to_numpy() for own in each.values()])
    known = {
        "mean": draws.mean(axis=(1, 2)),
        "sd": draws.std(axis=(1, 2), ddof=1),
        "r_hat": array_stats.rhat(draws),
        "ess_bulk": array_stats.ess(draws, method="bulk"),
    }
    return pd.DataFrame(known, index=list(each))


def parts_of_fit(fit: Fit) -> Iterator[Part]:
    """Show a fit: whether it converged, its parameters, what is doubtful, what to ask it next.

    Parameters
    ----------
    fit : Fit

    Yields
    ------
    str, Bold or Grid
    """
    sizes, of = fit.posterior.sizes, f", group {fit.own_group}" if fit.own_group else ""
    runs = (
        f"to {len(fit.runs)} runs of {fit.runs.source}" if len(fit.runs) else "by given constants"
    )
    chains = f", {sizes['chain']} x {sizes['draw']} draws" if fit.sampled else ""
    yield Bold(f"Fit of {fit.spec.name} {runs}{of}{chains}")
    yield _converged(fit)
    yield from (Bold(f"FAIL {name}: {found}") for name, found in fit.failures.items())
    if fit.given:
        yield "At " + ", ".join(f"{name} = {value}" for name, value in fit.given.items())
    yield _parameter_grid(fit)
    yield from (Bold(f"{notice.status} {notice}") for notice in fit.notices)
    yield f"Ask next: {', '.join(_questions(fit))}"


def _converged(fit: Fit) -> Part:
    if not fit.sampled:
        return "Never sampled: whether a sampler converged is no question"
    whole = (fit if fit.part_of is None else fit.part_of).diagnostics
    if fit.problems:
        return Bold(f"Not converged, do not use these numbers: {'; '.join(fit.problems)}")
    return (
        f"Converged: R-hat at most {whole.max_r_hat:.3f}, at least {whole.min_ess_bulk:.0f} "
        "effective draws, no divergent transitions"
    )


def _parameter_grid(fit: Fit) -> Grid:
    rows = []
    for name, draws in labelled(fit.posterior[list(fit.parameters)]):
        own = numbers(draws)
        low, middle, high = (words.number(name, own[end]) for end in ("q05", "median", "q95"))
        rows.append((name, middle, f"{low} to {high}" if low != high else ""))
    return Grid(("parameter", "median", "central 90%"), rows)


def _questions(fit: Fit) -> Iterator[str]:
    """Name the functions of this package that can answer about such a fit."""
    law = fit.spec.law
    if fit.sampled and fit.own_group is None:
        yield "check_fit(fit)"
    if further := [name for name in law.role("context") if name not in fit.given]:
        yield f"fit.at({further[0]}=...)"
    elif law.trades and fit.spec.response.better == "lower":
        yield "answer_optima(fit, [1e24])"
    elif fit.spec.size and fit.spec.size not in law.minimum_along and len(fit.runs):
        yield f"answer_predictions(fit, [{fit.runs.table[fit.spec.size].max() * 10:.2g}])"
    for name in law.role("knob"):
        yield f"optimum(fit, {name!r}, ...)"
    if law.role("shares"):
        yield "answer_mixture(fit, best_mixture(fit))"
    yield from (["fit.of_group(name)", "plot_forest(fit)"] if fit.groups else [])
    if len(fit.runs):
        yield "plot_predicted(fit)"
    if fit.sampled and fit.own_group is None:
        yield from ["write_report(fit, 'report')"] if fit.spec.size else []


def labelled(draws: xr.Dataset) -> Iterator[tuple[str, xr.DataArray]]:
    """Give every number of some parameters its name: alpha, or alpha[group], or t[web].

    Parameters
    ----------
    draws : xarray.Dataset

    Yields
    ------
    str
        As `bayescale.Fit.summary` has it.
    xarray.DataArray
        Dims (chain, draw), and member where priors of a pool differ.
    """
    for name, own in draws.items():
        dims = [dim for dim in own.dims if dim not in ("chain", "draw", "member")]
        for entry in product(*(own[dim].to_numpy() for dim in dims)):
            of = f"[{', '.join(map(str, entry))}]" if entry else ""
            yield f"{name}{of}", own.sel(dict(zip(dims, entry, strict=True)), drop=True)


def group_numbers(fit: Fit) -> dict[str, Any] | None:
    """Describe the groups and one that has no runs yet; None where there are none.

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    dict or None
        ``column``, ``runs`` and ``pooling`` by name, and ``new_group``, its parameters (where
        the model has trends, in the middle of the groups).
    """
    if not fit.groups:
        return None
    counts = fit.runs.table[str(fit.spec.group)].astype(str).value_counts()
    new = next(name for name in ("new", "new group", "a new group") if name not in fit.groups)
    added = fit.with_new_group(new, along=fit.middle)
    return {
        "column": fit.spec.group,
        "runs": {name: int(counts.get(name, 0)) for name in fit.groups},
        "pooling": dict(fit.spec.pooling),
        "new_group": {name: numbers(value) for name, value in added.of_group(new).natural.items()},
    }


def diagnostic_numbers(fit: Fit) -> dict[str, Any]:
    """Describe whether the sampler reached the posterior, and what it cost.

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    dict
        ``converged``, ``problems``, and the fields of `Diagnostics`.
    """
    found = fit.diagnostics
    return {"converged": found.converged, "problems": list(found.problems), **asdict(found)}
