"""Single runs and groups: which of them the model does not expect, and which of them decide.

Leaving a run out is done by importance weights (PSIS-LOO, Vehtari, Gelman and Gabry 2017,
doi:10.1007/s11222-016-9696-4), not by fitting again. Of a pool each member is weighted on its own.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import binomtest, cramervonmises

from bayescale import words
from bayescale.decisions.allocation import compute_optimal
from bayescale.draws import CI_PROB
from bayescale.evaluation.ahead import inputs_ahead, inputs_of_best, sizes_ahead
from bayescale.evaluation.checks.refits import Refits, unit
from bayescale.evaluation.loo import LeftOut, leave_each_out
from bayescale.evaluation.scores import as_share, lies_below, percent
from bayescale.laws import Response
from bayescale.modelling.build import cells_of
from bayescale.modelling.noise import NOISE
from bayescale.posterior.fit import Fit
from bayescale.posterior.prediction import predict, thinned
from bayescale.runs.check import Check, Status, not_computed

MAX_PARETO_K = 0.7
"""Above it leave-one-out by importance weights is rough (Vehtari et al. 2024)."""
MAX_ROUGH = 0.1
"""Share of such runs above which, like a single k above 1, they are a reason to look: every third
table of 30 runs from a true law has a run of k above 0.7."""
MAX_SHIFT = 1.0
"""Posterior sds by which one run may move the answer."""
MAX_GROUP_NOISE = 5.0
"""Times the median noise of the other groups: one on another loss scale lies 50 times above it."""
RARE = 0.01
"""P-value below which a check of calibration asks for a look."""
_MOST_NAMED = 5  # configurations, and how many a fit could do without


def left_out(fit: Fit, *, seed: int = 1) -> xr.Dataset:
    """Leave every cell of replicates out in turn, with the weight that it had in the fit.

    By every draw, of large tables by 1,000: see `bayescale.evaluation.loo.leave_each_out`.

    Parameters
    ----------
    fit : Fit
    seed : int, optional
        Of the noise that is drawn for ``pit``.

    Returns
    -------
    xarray.Dataset
        Dim obs: ``run``, the name of the cell's first run; ``pareto_k``, 0 for a cell that takes
        too little with it to tell; ``pit``, the probability of less than was observed given the
        other runs (`bayescale.evaluation.scores.lies_below`), NaN for a cell of another weight than
        1; ``shift``, by how many posterior sds the
        answer (attribute ``answer``) moves without them.
    """
    name, answer = _answer(thinned(fit, len(fit.runs)))  # by the draws that are weighted
    rng = np.random.default_rng(seed)
    parts = [_without(fit, out, answer, rng) for out in leave_each_out(fit)]
    found = xr.concat(parts, dim="obs")
    scale = fit.spec.response.scale
    return found.assign_attrs(
        answer=name,
        unit=unit(cells_of(fit.spec, fit.runs).table),
        noise=", ".join(name for name, kind in NOISE.items() if kind.scale == scale),
    )


def _without(fit: Fit, out: LeftOut, answer: xr.DataArray, rng: np.random.Generator) -> xr.Dataset:
    """Say of some cells what leaving each of them out does."""
    cells, weight = out.cells.table, xr.DataArray(out.cells.table["weight"].to_numpy(), dims="obs")
    weights = xr.ufuncs.exp(out.log_weights)
    below = lies_below(out.cells, out.cells.draw(rng), rng.spawn(1)[0])
    return xr.Dataset(
        {
            "run": ("obs", cells["run"].astype(str).to_numpy(dtype=object)),
            "pareto_k": out.pareto_k,
            "pit": (weights * below).sum(("chain", "draw")).where(weight == 1),
            "shift": ("obs", _shift(fit, cells, answer, weights)),
        }
    )


def _answer(fit: Fit) -> tuple[str, xr.DataArray]:
    """Take the decision: log N* at the largest budget, or the response farther out.

    Of a law that reads a mixture alone nothing lies farther out: the response of the best run.
    """
    if fit.law.is_joint or fit.spec.law.has_profiles:
        largest = float(fit.runs.column("flops").max())
        best = compute_optimal(fit, largest, exponents=False)["params"].squeeze("flops", drop=True)
        return f"N* at {words.flops(largest)} FLOPs", xr.ufuncs.log(best)
    size, own = fit.spec.size, fit.spec.response
    if not size:
        return f"the {own.name} of the best run", own.onto(predict(fit, inputs_of_best(fit)))
    _, far = sizes_ahead(fit)
    answer = own.onto(predict(fit, inputs_ahead(fit, [far])).squeeze(size, drop=True))
    return f"the {own.name} at {size} {words.flops(far)}", answer


def _shift(
    fit: Fit, cells: pd.DataFrame, answer: xr.DataArray, weights: xr.DataArray
) -> np.ndarray:
    """Weighted less plain mean of the answer, in its posterior sds; of the run's own group."""
    every = ("chain", "draw")
    moves = answer.max(every) > answer.min(every)  # the sd of equal numbers is rarely zero
    standard = ((answer - answer.mean(every)) / answer.std(every)).where(moves)
    if "group" in standard.dims:
        labels = cells[str(fit.spec.group)].astype(str).to_numpy(dtype=object)
        standard = standard.sel(group=xr.DataArray(labels, dims="obs"), drop=True)
    moved = (weights * standard.transpose(*every, ...)).sum(every, min_count=1)
    return moved.to_numpy()


def outlying_checks(fit: Fit, refit: Refits) -> list[Check]:
    """Name runs that lie farther from the law than the noise explains, and a group that scatters.

    A run is outlying where fewer than 1% of the simulated refits have any run as far out, a group
    where its noise is 5 times that of the median other group.

    Parameters
    ----------
    fit : Fit
    refit : Refits

    Returns
    -------
    list of Check
        For runs REVIEW; for groups FAIL, and nothing where they share their noise.
    """
    return [_outlying(refit, fit.spec.response), *_outlying_groups(fit)]


def influence_checks(found: xr.Dataset) -> list[Check]:
    """Ask which runs decide, and for which leaving them out is rough.

    Parameters
    ----------
    found : xarray.Dataset
        What `left_out` returns.

    Returns
    -------
    list of Check
        "influential runs": REVIEW where one moves the answer by more than a posterior sd; "Pareto
        k": REVIEW where one is above 1, or more than a tenth above 0.7.
    """
    names = found["run"].to_numpy()
    return [_influence(found, names), _pareto(found, names)]


def calibration_checks(found: xr.Dataset) -> list[Check]:
    """LOO-PIT: whether runs fall into their predictive distributions as often as these say.

    Of cells of weight 1: the others were weighed down because the noise is not theirs.

    Parameters
    ----------
    found : xarray.Dataset
        What `left_out` returns.

    Returns
    -------
    list of Check
        "LOO-PIT" by the test of Cramér and von Mises, ``detail`` the sorted values; "coverage" of
        the central 90% by the binomial one. REVIEW for a p-value below 1%.
    """
    pit = found["pit"].dropna("obs").to_numpy()
    p = float(cramervonmises(pit, "uniform").pvalue)
    what = found.attrs.get("unit", "runs")
    inside = int(((pit > (1 - CI_PROB) / 2) & (pit < (1 + CI_PROB) / 2)).sum())
    covers = float(binomtest(inside, len(pit), CI_PROB).pvalue)
    share = f"{inside} of {len(pit)} {what} ({inside / len(pit):.0%})"
    said = f"{share} lie inside their 90% predictive interval, each left out in turn"
    uniform, covered = p >= RARE, covers >= RARE
    return [
        Check(
            "LOO-PIT",
            Status.PASS if uniform else Status.REVIEW,
            f"{what} fall into their predictive distributions as often as these say"
            if uniform
            else f"{what} {_shape(pit)} than their predictive distributions say (p = {p:.1g})",
            "" if uniform else f"Try another kind of noise: {found.attrs['noise']}.",
            statistic=p,
            threshold=RARE,
            detail=np.sort(pit),
        ),
        Check(
            "coverage",
            Status.PASS if covered else Status.REVIEW,
            said if covered else f"{said}: {'too few' if inside < 0.9 * len(pit) else 'too many'}",
            "" if covered else "Do not use predictive intervals as they are.",
            statistic=covers,
            threshold=RARE,
        ),
    ]


def _shape(pit: np.ndarray) -> str:
    inner = float(((pit > 0.25) & (pit < 0.75)).mean())
    low = float((pit < 0.5).mean())
    if abs(low - 0.5) > abs(inner - 0.5):
        return "lie lower" if low > 0.5 else "lie higher"
    return "lie nearer to the middle" if inner > 0.5 else "lie farther from the middle"


def _outlying(refit: Refits, response: Response) -> Check:
    every = refit.every
    if not len(every):
        message = "every run is weighed down: none is said to lie on the law"
        return Check("outlying runs", Status.PASS, message, threshold=RARE)
    least = np.sort(refit.farthest)
    beyond = len(least) - np.searchsorted(least, every["distance"].abs())
    p = (1 + beyond) / (1 + len(least))
    far = np.flatnonzero(p < RARE)
    if not len(far):
        message = f"no {unit(refit.cells)[:-1]} lies farther from the law than the noise explains"
        return Check(
            "outlying runs", Status.PASS, message, statistic=float(p.min()), threshold=RARE
        )
    far = far[np.argsort(p[far])]
    names, residual = every["run"].astype(str).to_numpy(), every["residual"].to_numpy()
    sizes = [100 * as_share(response, residual[i]) for i in far]
    said = [
        f"{names[i]} ({size:+.1f}{percent(response)})" for i, size in zip(far, sizes, strict=True)
    ]
    return Check(
        "outlying runs",
        Status.REVIEW,
        f"{_list(said)} {'lies' if len(far) == 1 else 'lie'} farther from the law than its noise "
        "explains",
        "Look for divergence, other data or a typing error; leave them out with --where only for "
        "such a reason.",
        statistic=float(p.min()),
        threshold=RARE,
    )


def _outlying_groups(fit: Fit) -> list[Check]:
    sigma = fit.noise.get("sigma")
    if sigma is None or "group" not in sigma.dims:
        return []
    medians = sigma.median(("chain", "draw"))
    worst = str(medians.idxmax().item())
    others = medians.drop_sel(group=worst)
    if not others.size:
        return []
    largest = float(medians.max() / others.median())
    passed = largest <= MAX_GROUP_NOISE
    whose = (
        "that of the median other group" if others.size > 1 else f"that of {others['group'].item()}"
    )
    size = f"{words.significant(largest, 2)} times {whose}"
    return [
        Check(
            "outlying groups",
            Status.PASS if passed else Status.FAIL,
            f"the noisiest group, {worst}, has a noise {size}"
            if passed
            else f"{worst} scatters about its law {size}: it is hardly on one scale with them",
            ""
            if passed
            else f"Check what the {fit.spec.response.name} of {worst} is, or leave that group out.",
            statistic=largest,
            threshold=MAX_GROUP_NOISE,
        )
    ]


def _influence(found: xr.Dataset, names: np.ndarray) -> Check:
    shift, answer = found["shift"].to_numpy(), found.attrs["answer"]
    if np.isnan(shift).any():
        return not_computed(
            "influential runs", f"{answer} is the same in all of them, or in none defined"
        )
    largest = float(np.abs(shift).max())
    order = [i for i in np.argsort(-np.abs(shift)) if abs(shift[i]) > MAX_SHIFT]
    if not order:
        one = found.attrs["unit"][:-1]
        message = f"no single {one} moves {answer} by more than {largest:.2f} posterior sds"
        return Check(
            "influential runs", Status.PASS, message, statistic=largest, threshold=MAX_SHIFT
        )
    return Check(
        "influential runs",
        Status.REVIEW,
        f"without {_list([names[i] for i in order[:3]], 'or')} {answer} moves by up to "
        f"{largest:.2f} posterior sds",
        "The answer hangs on them: repeat them, or add others beside them.",
        statistic=largest,
        threshold=MAX_SHIFT,
    )


def _pareto(found: xr.Dataset, names: np.ndarray) -> Check:
    k = found["pareto_k"].fillna(np.inf).to_numpy()  # no tail that could be fitted
    rough = np.flatnonzero(k > MAX_PARETO_K)
    largest = float(k.max())
    if not len(rough):
        every = f"every {found.attrs['unit'][:-1]} (largest Pareto k {largest:.2f})"
        message = f"leave-one-out is reliable for {every}"
        return Check("Pareto k", Status.PASS, message, statistic=largest, threshold=1.0)
    which = f"{_list(list(names[rough]))} (Pareto k up to {largest:.2f})"
    if largest <= 1 and len(rough) <= MAX_ROUGH * len(k):
        held = f"{len(k) - len(rough)} of {len(k)} {found.attrs['unit']}"
        message = f"leave-one-out is reliable for {held}, which is enough; it is rough for {which}"
        return Check("Pareto k", Status.PASS, message, statistic=largest, threshold=1.0)
    message = f"leave-one-out by weights is rough for {which}"
    if len(rough) <= _MOST_NAMED:
        why = f"the model hardly expects such {found.attrs['unit']}"
        advice = "Fit once without them and compare."
    else:  # too many to do without
        why = "where so many weigh heavily, they are few for so flexible a law"
        advice = "Take LOO-PIT and coverage as rough; bayescale backtest leaves runs out by refits."
    return Check(
        "Pareto k",
        Status.REVIEW,
        f"{message}: {why}",
        advice,
        statistic=largest,
        threshold=1.0,
    )


def _list(names: Sequence[str], last: str = "and", most: int = _MOST_NAMED) -> str:
    shown = [str(name) for name in names[:most]]
    if len(names) > most:
        return f"{', '.join(shown)} and {len(names) - most} more"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} {last} {shown[-1]}"
