"""Whether a sampler reached the posterior."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from arviz_stats.base import array_stats

MAX_R_HAT = 1.01
MIN_ESS = 400
"""Vehtari et al. (2021, doi:10.1214/20-BA1221): R-hat and effective sample size a result needs."""
_DRAWS = ("chain", "draw")
MOST_DEEP = 10
"""Draws that may hit the maximum tree depth: a few of thousands cost time, and R-hat and effective
draws judge all of them."""


@dataclass(frozen=True)
class Diagnostics:
    """Whether the sampler reached the posterior, and what it cost.

    Parameters
    ----------
    divergences, maxdepth_reached : int
        Draws.
    max_r_hat, min_ess_bulk : float
        The worst of all parameters.
    seconds_compile, seconds_sample : float
    needed : float, optional
        Effective draws that every parameter needs.
    unsampled : tuple of str, optional
        Parameters without a posterior, and why: stuck chains, draws that are no finite numbers.
    """

    divergences: int
    maxdepth_reached: int
    max_r_hat: float
    min_ess_bulk: float
    seconds_compile: float
    seconds_sample: float
    needed: float = MIN_ESS
    unsampled: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[str, ...]:
        """Reasons not to trust the draws, one sentence each; empty when the fit converged."""
        found = list(self.unsampled)
        if self.divergences:
            found.append(
                f"{self.divergences} divergent transitions: part of the posterior was missed"
            )
        if self.maxdepth_reached > MOST_DEEP:
            found.append(f"{self.maxdepth_reached} draws hit the maximum tree depth")
        if np.isnan(self.max_r_hat):
            found.append("R-hat is not defined: nobody can say whether the chains agree")
        elif not self.max_r_hat <= MAX_R_HAT:
            found.append(f"R-hat {self.max_r_hat:.4g} exceeds {MAX_R_HAT}: the chains disagree")
        if np.isnan(self.min_ess_bulk):
            found.append("the number of effective draws is not defined")
        elif not self.min_ess_bulk >= self.needed:
            found.append(
                f"only {self.min_ess_bulk:.0f} effective draws, {self.needed:.0f} are needed"
            )
        return tuple(found)

    @property
    def converged(self) -> bool:
        """True when there is no problem."""
        return not self.problems


def diagnostics_of(
    tree: xr.DataTree, draws: xr.Dataset, without_r_hat: Sequence[str] = ()
) -> Diagnostics:
    """Judge draws of a sampler.

    Parameters
    ----------
    tree : xarray.DataTree
        With ``sample_stats``, and attributes ``seconds_compile`` and ``seconds_sample``.
    draws : xarray.Dataset
        Those that are judged.
    without_r_hat : sequence of str, optional
        Variables of which effective draws say more.

    Returns
    -------
    Diagnostics
    """
    stats = tree["sample_stats"]
    each = _columns(draws)
    agreeing = _columns(draws.drop_vars(without_r_hat, errors="ignore"))
    with np.errstate(divide="ignore", invalid="ignore"):  # of chains that never moved
        r_hat = array_stats.rhat(agreeing)
        effective = array_stats.ess(each, method="bulk")
    return Diagnostics(
        divergences=int(stats["diverging"].sum()),
        maxdepth_reached=int(stats["maxdepth_reached"].sum()),
        max_r_hat=float(r_hat.max()),
        min_ess_bulk=float(effective.min()),
        seconds_compile=float(tree.attrs["seconds_compile"]),
        seconds_sample=float(tree.attrs["seconds_sample"]),
        unsampled=_unsampled(draws),
    )


def _columns(draws: xr.Dataset) -> np.ndarray:
    """Stack all entries of all variables, shape (entries, chains, draws)."""
    sizes = [draws.sizes[dim] for dim in _DRAWS]
    each = [values.transpose(..., *_DRAWS).to_numpy() for values in draws.data_vars.values()]
    return np.concatenate([values.reshape(-1, *sizes) for values in each])


def together(members: Sequence[Diagnostics]) -> Diagnostics:
    """Diagnose a pool: the worst R-hat, and the effective draws of as many as there are members.

    Parameters
    ----------
    members : sequence of Diagnostics
        One of each member.

    Returns
    -------
    Diagnostics
    """
    return Diagnostics(
        divergences=sum(own.divergences for own in members),
        maxdepth_reached=sum(own.maxdepth_reached for own in members),
        max_r_hat=float(np.max([own.max_r_hat for own in members])),
        min_ess_bulk=float(len(members) * np.min([own.min_ess_bulk for own in members])),
        seconds_compile=members[0].seconds_compile,  # of all members together
        seconds_sample=members[0].seconds_sample,
        unsampled=tuple(fault for own in members for fault in own.unsampled),
    )


def _unsampled(draws: xr.Dataset) -> tuple[str, ...]:
    """Say which parameters have draws that are not finite, and which never moved in a chain."""
    found: dict[str, list[str]] = {}
    for name, values in draws.data_vars.items():
        each = values.transpose(*_DRAWS, ...).to_numpy()
        stuck = (each == each[:, :1]).all(axis=1).reshape(len(each), -1).any(axis=1)
        if not np.isfinite(each).all():
            found.setdefault("NaN or infinite draws", []).append(str(name))
        elif stuck.any():
            chains = ", ".join(map(str, draws["chain"].to_numpy()[stuck]))
            which = f"chain{'s' if stuck.sum() > 1 else ''} {chains} never moved in"
            found.setdefault(which, []).append(str(name))
    return tuple(f"{fault}: {', '.join(names)}" for fault, names in found.items())
