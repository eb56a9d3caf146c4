r"""How many times the compute of one group another needs for the same loss, per draw.

Both groups are compute-optimal: with :math:`C_g(\ell)` the least compute of group g that reaches a
loss :math:`\ell`, the multiplier is :math:`C_g(\ell) / C_{\mathrm{reference}}(\ell)`. For the joint
law :math:`E + A N^{-\alpha} + B D^{-\beta}` the frontier and its inverse are

.. math::

    L^*(C) = E + K (C/k)^{-\gamma}, \qquad
    C(\ell) = k \left(\frac{K}{\ell - E}\right)^{1/\gamma}, \qquad
    \gamma = \frac{\alpha\beta}{\alpha+\beta}

(Hoffmann et al. 2022, equation 4), so that the multiplier is the same at every loss only where the
groups share E and :math:`\gamma`. Compute is in FLOPs, loss in nats per token.

Every group counts its FLOPs per parameter and token, k, by its own runs, and at each loss those of
the compute-optimal size: an error of 5% in k is one of 5% in the multiplier. The best size itself
is the one for the k of the largest runs; at a minimum that is second order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from bayescale import words
from bayescale.arguments import typed
from bayescale.decisions.allocation import compute_optimal, distinct_budgets
from bayescale.decisions.answer import Answer, Quantity, number_of
from bayescale.draws import numbers
from bayescale.errors import FitError
from bayescale.files import plain
from bayescale.laws import LOSS
from bayescale.posterior.fit import Fit
from bayescale.posterior.posterior import Posterior
from bayescale.runs.table import Runs

VALIDATION = "validation"
"""Column of the runs that names the validation set."""

_TARGETS, _BEYOND = 25, 12  # default target losses within the runs, and harder ones
_WORTH_SAYING = 0.05  # decades
_STEPS = 200  # computes between which a crossing is looked for


@typed
def compute_multiplier(
    fit: Fit,
    group: str,
    reference: str,
    *,
    losses: Sequence[float] | None = None,
    same_validation: bool | None = None,
) -> xr.Dataset:
    r"""How many times the compute of `reference` the group `group` needs, over target losses.

    Parameters
    ----------
    fit : Fit
        With groups, of a joint law that says what compute reaches a loss.
    group, reference : str
        Two of the fit's groups.
    losses : sequence of float, optional
        Target losses, nats per token. By default 25 that the compute-optimal models of both groups
        reach (posterior median) with the compute of their runs, from the smallest to the largest
        run, and 12 harder ones, the last of which needs ten times the compute of the largest run
        of one group.
    same_validation : bool, optional
        Say True if the losses of both groups are of the same validation set. Not needed where the
        runs have a column ``validation``.

    Returns
    -------
    xarray.Dataset
        Dim ``loss`` from easy to hard targets, dim ``group`` = `group`, `reference`:

        * ``flops`` (chain, draw, loss, group): least compute that reaches the loss; infinite where
          no compute does, because the loss is not above the irreducible one.
        * ``multiplier`` (chain, draw, loss): its ratio. Infinite where only `reference` reaches the
          loss, 0 where only `group` does, NaN where neither does.
        * ``unreachable`` (loss, group): probability that no compute reaches the loss.
        * ``undefined`` (loss): probability that neither group reaches it, a share of draws that
          quantiles of the multiplier leave out.
        * ``decades_beyond`` (loss, group): decades, to the hundredth, by which the median of
          ``flops`` lies above the largest run of the group (negative: below its smallest one).

        Attributes ``group`` and ``reference``.

    Raises
    ------
    FitError
        For a fit without groups or a law without such an inverse, an unknown group, the same group
        twice, groups not known to share a validation set, a target that is not a positive loss, or
        no losses given where the runs of both groups reach none in common.
    """
    sides = _compared(fit, group, reference, same_validation)
    targets = _default_losses(sides) if losses is None else _targets(losses)
    names = xr.DataArray([group, reference], dims="group", coords={"group": [group, reference]})
    loss = xr.DataArray(targets, dims=LOSS.column, coords={LOSS.column: targets})

    flops = xr.concat([side.least_compute(loss) for side in sides], dim=names)
    middle = flops.median(("chain", "draw")).transpose("group", LOSS.column).to_numpy()
    decades = [side.draws.beyond(flops=c) for side, c in zip(sides, middle, strict=True)]
    with np.errstate(invalid="ignore"):  # infinite over infinite: neither reaches the loss
        multiplier = flops.sel(group=group, drop=True) / flops.sel(group=reference, drop=True)
    return xr.Dataset(
        {
            "multiplier": multiplier,
            "flops": flops,
            "unreachable": xr.ufuncs.isinf(flops).mean(("chain", "draw")),
            "undefined": multiplier.isnull().mean(("chain", "draw")),
            "decades_beyond": (("group", LOSS.column), np.round(decades, 2)),
        },
        attrs={"group": group, "reference": reference},
    ).transpose("chain", "draw", LOSS.column, "group")


@typed
def constancy(multiplier: xr.Dataset) -> xr.Dataset:
    """Whether the multiplier stays the same from the easiest to the hardest target of the runs.

    By the law: where it misfits one group, or where FLOP counts of sizes are off by some percent,
    that can pass for growth of as much.

    Parameters
    ----------
    multiplier : xarray.Dataset
        What `compute_multiplier` returns.

    Returns
    -------
    xarray.Dataset
        ``log_ratio`` (chain, draw): log of the multiplier at the hardest target over that at the
        easiest, both within the runs of both groups; 0 where it stays constant. ``grows``:
        probability that it is above 0. ``easiest``, ``hardest``: those targets, nats per token.

    Raises
    ------
    FitError
        If fewer than two targets lie within the runs of both groups.
    """
    within = (multiplier["decades_beyond"] == 0).all("group").to_numpy()
    inside = multiplier[LOSS.column].to_numpy()[within]
    if len(inside) < 2:
        raise FitError(
            f"{len(inside)} of the target losses within reach of the runs of both groups, 2 are "
            "needed; leave out losses= to have targets chosen there"
        )
    easiest, hardest = inside.max(), inside.min()
    logs = xr.ufuncs.log(multiplier["multiplier"].sel(loss=[easiest, hardest]))
    ratio = logs.sel(loss=hardest, drop=True) - logs.sel(loss=easiest, drop=True)
    return xr.Dataset(
        {
            "log_ratio": ratio,
            "grows": (ratio > 0).where(ratio.notnull()).mean(),
            "easiest": easiest,
            "hardest": hardest,
        }
    )


@typed
def crossing(
    fit: Fit,
    group: str,
    reference: str,
    flops: float | Sequence[float],
    *,
    same_validation: bool | None = None,
) -> xr.Dataset:
    """Whether the group that is better with little compute is the worse one with more.

    Parameters
    ----------
    fit : Fit
        With groups, of a joint law.
    group, reference : str
        Two of the fit's groups.
    flops : float or sequence of float
        Computes C up to which a crossing counts.
    same_validation : bool, optional
        As in `compute_multiplier`.

    Returns
    -------
    xarray.Dataset
        Dim ``flops``, ascending: ``crossed`` (chain, draw, flops): whether the losses L*(C) of the
        two compute-optimal frontiers cross between ``start`` and C. ``probability`` (flops) of
        that. ``difference`` (chain, draw, flops): loss of `group` less that of `reference` at C,
        nats per token. ``decades_beyond`` (flops, group): decades by which C lies above the largest
        run of the group. ``start``: the least compute that the runs of both groups have, FLOPs.

    Raises
    ------
    FitError
        As in `compute_multiplier`; if a group has no runs, or C is no compute above ``start``.
    """
    sides = _compared(fit, group, reference, same_validation)
    start = max(side.range[0] for side in sides)
    asked = np.unique(distinct_budgets(np.atleast_1d(flops).tolist()))
    if asked[0] <= start:
        raise FitError(
            f"{words.flops(asked[0])} FLOPs is no more than the least compute that the runs of "
            f"both groups have, {words.flops(start)}; ask for more"
        )
    grid = np.unique(np.concatenate([np.geomspace(start, asked[-1], _STEPS), asked]))
    budgets = xr.DataArray(grid, dims="flops", coords={"flops": grid})

    difference = sides[0].loss(budgets) - sides[1].loss(budgets)
    worse = difference > 0
    crossed = ((worse != worse.isel(flops=0)).cumsum("flops") > 0).assign_coords(flops=grid)
    found = xr.Dataset({"crossed": crossed, "difference": difference}).sel(flops=asked)
    beyond = [side.draws.beyond(flops=asked) for side in sides]
    return xr.Dataset(
        {
            **found,
            "probability": found["crossed"].mean(("chain", "draw")),
            "decades_beyond": (("group", "flops"), np.array(beyond)),
            "start": start,
        },
        coords={"group": [group, reference]},
        attrs={"group": group, "reference": reference},
    ).transpose("chain", "draw", "flops", "group")


@dataclass(frozen=True)
class _Frontier:
    """Compute-optimal models of one group, each size at its own FLOPs per parameter and token."""

    group: str
    draws: Posterior
    counted: Runs  # that say how many FLOPs a parameter and token cost

    @property
    def range(self) -> tuple[float, float]:
        """Compute of the smallest and of the largest run, FLOPs."""
        if len(self.draws.runs) == 0:
            raise FitError(
                f"the group {self.group!r} has no runs to say what it reaches; name a group that "
                "has, or target losses with losses="
            )
        return self.draws.range("flops")

    def least_compute(self, loss: xr.DataArray) -> xr.DataArray:
        """Least compute that reaches a loss."""
        flops = self.draws.least_compute(loss)
        return flops * self._cost(self.draws.optimum(flops))

    def loss(self, flops: xr.DataArray) -> xr.DataArray:
        """Loss that a compute reaches."""
        params, constant = self.draws.optimum(flops), flops
        for _ in range(4):  # the cost of a size hardly changes it: each step gains two digits
            constant = flops / self._cost(params)
            params = self.draws.optimum(constant)
        return self.draws.isoflop(constant, params)

    def _cost(self, params: xr.DataArray) -> xr.DataArray:
        """FLOPs of a size per parameter and token, relative to those of the largest runs."""
        k = xr.apply_ufunc(self.counted.flops_per_param_token_at, params)
        return k / self.draws.k


def _compared(
    fit: Fit, group: str, reference: str, same_validation: bool | None
) -> tuple[_Frontier, _Frontier]:
    """Take the two groups out of the fit, or refuse to compare them."""
    fit.require_given()
    for name in (group, reference):
        fit.require_group(name)
    if group == reference:
        raise FitError(f"a group is not compared with itself: {group!r} is given twice")
    _require_same_validation(fit, [group, reference], same_validation)
    return _frontier(fit, group), _frontier(fit, reference)


def _frontier(fit: Fit, group: str) -> _Frontier:
    """Take one group; without runs of its own it counts FLOPs as all runs together do."""
    own = fit.of_group(group)
    counted = own.runs if len(own.runs) else fit.runs
    return _Frontier(group, Posterior.of(own, counted.flops_per_param_token), counted)


def _require_same_validation(fit: Fit, groups: list[str], stated: bool | None) -> None:
    pair = f"{groups[0]!r} and {groups[1]!r}"
    if VALIDATION in fit.runs.table:
        rows = fit.runs.table[fit.runs.table[str(fit.spec.group)].astype(str).isin(groups)]
        named = [str(name) for name in rows[VALIDATION].unique()]
        if len(named) > 1:
            raise FitError(
                f"the column {VALIDATION!r} of {pair} has {', '.join(named)}: losses on several "
                "validation sets do not compare; score both groups on one"
            )
        stated = len(named) == 1 if stated is None else stated
    if not stated:
        raise FitError(
            f"the losses of {pair} compare only on the same validation set; where it is the same, "
            f"say so with same_validation=True (--same-validation), or in a column {VALIDATION!r} "
            "of the runs; where it is not, compare best sizes (compute_optimal, bayescale optima)"
        )


def _targets(losses: Sequence[float]) -> np.ndarray:
    """Order target losses from easy to hard."""
    values = np.unique(np.asarray(losses, dtype=float))[::-1]
    if not len(values) or not (np.isfinite(values) & (values > 0)).all():
        raise FitError(
            "target losses must be positive nats per token, got "
            + (", ".join(f"{value:g}" for value in values) or "none")
        )
    return values


def _default_losses(sides: tuple[_Frontier, _Frontier]) -> np.ndarray:
    """Choose what both frontiers reach within the runs, then up to one decade of compute beyond."""
    reached = []
    for side in sides:
        low, high = side.range
        budgets = xr.DataArray([low, high, 10 * high], dims="flops")
        reached.append(side.loss(budgets).median(("chain", "draw")).to_numpy())
    easy, (_, hard, harder) = np.min(reached, axis=0)[0], np.max(reached, axis=0)
    if not easy > hard:
        raise FitError(
            f"{sides[0].group!r} and {sides[1].group!r} reach no common loss with the compute of "
            "their runs; name target losses with losses="
        )
    return np.concatenate(
        [np.linspace(easy, hard, _TARGETS), np.linspace(hard, harder, _BEYOND + 1)[1:]]
    )


@typed
def answer_multiplier(fit: Fit, found: xr.Dataset, budgets: xr.Dataset | None = None) -> Answer:
    """Say how many times the compute a group needs at each loss; see `compute_multiplier`.

    Parameters
    ----------
    fit : Fit
    found : xarray.Dataset
        What `compute_multiplier` returns.
    budgets : xarray.Dataset, optional
        What `crossing` returns: which of the two is better at its budgets is said first.

    Returns
    -------
    Answer
        Numbers: ``group``, ``reference``, ``targets`` and ``budgets``.
    """
    group, reference = found.attrs["group"], found.attrs["reference"]
    targets = _targets_of(found)
    better = [] if budgets is None else _at_budgets(budgets)
    result = plain({"group": group, "reference": reference, "targets": targets, "budgets": better})
    shown = result["targets"]
    if len(shown) > 5:  # a curve: its ends, and its end within the runs
        inside = [at for at in shown if not any(at["decades_beyond"].values())]
        shown = [*inside[:1], *inside[-1:], shown[-1]]
    sentences = [
        *(_better_sentence(at, group, reference) for at in result["budgets"]),
        *(_multiplier_sentence(at, group, reference) for at in shown),
    ]
    return Answer.by(fit, numbers=result, sentences=sentences, draws=found)


def _targets_of(found: xr.Dataset) -> list[dict[str, Any]]:
    """Compute multiplier at each target loss, as plain numbers."""
    names = found.attrs["group"], found.attrs["reference"]
    return [
        {
            LOSS.column: float(loss),
            "multiplier": numbers(at["multiplier"]),
            "unreachable": {name: float(at["unreachable"].sel(group=name)) for name in names},
            "decades_beyond": {name: float(at["decades_beyond"].sel(group=name)) for name in names},
        }
        for loss in found[LOSS.column].to_numpy()
        for at in [found.sel(loss=loss)]
    ]


def _at_budgets(budgets: xr.Dataset) -> list[dict[str, Any]]:
    """Loss of a group less that of the reference at each budget, as plain numbers."""
    return [
        {
            "flops": float(at["flops"]),
            "difference": numbers(at["difference"]),
            "p_better": float((at["difference"] < 0).mean()),
            "decades_beyond": float(at["decades_beyond"].max()),
        }
        for _, at in budgets.groupby("flops")
        for at in [at.squeeze("flops")]
    ]


def _better_sentence(at: dict[str, Any], group: str, reference: str) -> str:
    better = at["difference"]["median"] < 0
    probability = at["p_better"] if better else 1 - at["p_better"]
    said = number_of(at["difference"], 2)
    far = ""
    if at["decades_beyond"] >= _WORTH_SAYING:
        far = f" That is {at['decades_beyond']:.1f} decades beyond the runs."
    return (
        f"At {words.flops(at['flops'])} FLOPs {group if better else reference} is better, with "
        f"probability {words.chance(probability)}: the loss of {group} less that of {reference} "
        f"is {said}.{far}"
    )


def _multiplier_sentence(at: dict[str, Any], group: str, reference: str) -> str:
    outside = any(at["decades_beyond"].values())
    lost = [
        f" Probability that no compute of {name} reaches it: {words.chance(share)}."
        for name, share in at["unreachable"].items()
        if share > 0.005
    ]
    return (
        f"For a loss of {words.significant(at['loss'], 4)} {group} needs "
        f"{number_of(at['multiplier'])} times the compute of {reference}"
        f"{', outside the runs of one of them' if outside else ''}.{''.join(lost)}"
    )


def multipliers(fit: Fit, same_validation: bool | None) -> list[xr.Dataset | str]:
    """Compute multiplier of every group but the best one, against it.

    The best one reaches the least loss with the most compute that all groups have; so the others
    need more than it there. Empty where there is nothing to compare, as of tasks, whose accuracies
    are no losses; in place of a multiplier the reason why two groups cannot be compared.

    Parameters
    ----------
    fit : Fit
    same_validation : bool or None
        As in `compute_multiplier`.

    Returns
    -------
    list of xarray.Dataset or str
    """
    if not fit.groups or fit.law.compute is None or fit.spec.response.better != "lower":
        return []
    largest = min(float(fit.of_group(name).runs.column("flops").max()) for name in fit.groups)
    losses = (
        compute_optimal(fit, largest, exponents=False)[LOSS.column]
        .squeeze("flops")
        .median(("chain", "draw"))
    )
    best = fit.groups[int(losses.to_numpy().argmin())]
    found: list[xr.Dataset | str] = []
    for name in fit.groups:
        if name != best:
            try:
                against = compute_multiplier(fit, name, best, same_validation=same_validation)
                constancy(against)  # needs targets within the runs of both
                found.append(against)
            except FitError as error:
                found.append(str(error))
    return found


@typed
def answer_multipliers(fit: Fit, same_validation: bool | None = None) -> Answer:
    """Say what compute every group needs against the best one; see `multipliers`.

    Parameters
    ----------
    fit : Fit
    same_validation : bool, optional
        As in `compute_multiplier`.

    Returns
    -------
    Answer
        Numbers: ``multipliers``.
    """
    found = [
        {"refused": one} if isinstance(one, str) else _against_best(fit, one, same_validation)
        for one in multipliers(fit, same_validation)
    ]
    result = plain({"multipliers": found})
    sentences = dict.fromkeys(map(_against_best_sentence, result["multipliers"]))
    return Answer.by(fit, numbers=result, sentences=sentences)


def _against_best(fit: Fit, found: xr.Dataset, same_validation: bool | None) -> dict[str, Any]:
    group, reference = found.attrs["group"], found.attrs["reference"]
    steady = constancy(found)
    largest = float(fit.runs.column("flops").max())
    budgets = [10 * largest, 100 * largest]
    crossed = crossing(fit, group, reference, budgets, same_validation=same_validation)
    return {
        "group": group,
        "reference": reference,
        "targets": _targets_of(found),
        "constancy": {
            "easiest": float(steady["easiest"]),
            "hardest": float(steady["hardest"]),
            "log_ratio": numbers(steady["log_ratio"]),
            "p_grows": float(steady["grows"]),
        },
        "crossing": [
            {"flops": float(flops), "probability": float(crossed["probability"].sel(flops=flops))}
            for flops in crossed["flops"].to_numpy()
        ],
    }


def _against_best_sentence(entry: dict[str, Any]) -> str:
    if "refused" in entry:
        return f"Compute of the groups is not compared: {entry['refused']}."
    steady, crossed = entry["constancy"], entry["crossing"][-1]
    ends = [
        next(at["multiplier"] for at in entry["targets"] if at[LOSS.column] == steady[end])
        for end in ("easiest", "hardest")
    ]
    low, high = steady["log_ratio"]["q05"], steady["log_ratio"]["q95"]  # None: unbounded
    verdict = (
        "the factor grows"
        if low is not None and low > 0
        else "the factor shrinks"
        if high is not None and high < 0
        else "a constant factor is compatible with that"
    )
    return (
        f"{entry['group']} needs {_times(ends[0])} the compute of {entry['reference']} for a loss "
        f"of {steady['easiest']:.3f} and {_times(ends[1])} for {steady['hardest']:.3f}, the "
        f"easiest and the hardest that the runs of both reach: {verdict}. Probability that the two "
        f"cross below {words.flops(crossed['flops'])} FLOPs: "
        f"{words.chance(crossed['probability'])}."
    )


def _times(multiplier: Quantity) -> str:
    middle, low, high = (multiplier[name] for name in ("median", "q05", "q95"))
    if middle is None or low is None or high is None:
        return "an unbounded multiple of"
    return (
        f"{words.significant(middle)} times ({words.significant(low)} to {words.significant(high)})"
    )
