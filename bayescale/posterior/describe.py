"""What a fit consists of, as plain numbers for scripts: parameters, groups, diagnostics."""

from collections.abc import Iterator
from dataclasses import asdict
from itertools import product
from typing import Any

import xarray as xr

from bayescale.draws import numbers
from bayescale.posterior.fit import Fit


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
    table = fit.summary()
    found: dict[str, dict[str, Any]] = {}
    for label, draws in labelled(fit.posterior[list(fit.parameters)]):
        statistics = ("mean", "sd", "r_hat", "ess_bulk")
        found[label] = {
            **numbers(draws),
            **{key: float(table.loc[label, key]) for key in statistics},
        }
    return found


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
        ``column``, ``runs`` and ``pooling`` by name, and ``new_group``, its parameters.
    """
    if not fit.groups:
        return None
    counts = fit.runs.table[str(fit.spec.group)].astype(str).value_counts()
    new = next(name for name in ("new", "new group", "a new group") if name not in fit.groups)
    return {
        "column": fit.spec.group,
        "runs": {name: int(counts.get(name, 0)) for name in fit.groups},
        "pooling": dict(fit.spec.pooling),
        "new_group": {
            name: numbers(value)
            for name, value in fit.with_new_group(new).of_group(new).natural.items()
        },
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
