"""Does the law fit? Residuals against those of simulated refits.

Which statistics have power was measured: scale-free ones of residuals, calibrated by refits
(`bayescale.evaluation.checks.refits`). Their p-values are family-wise: each is compared with the
most extreme of them all in every simulation (Westfall and Young 1993, single-step max T).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayescale import words
from bayescale.evaluation.checks.refits import Refits, unit
from bayescale.evaluation.scores import as_share, percent
from bayescale.laws import LOSS, Input, Response
from bayescale.modelling.noise import SEED
from bayescale.modelling.spec import ModelSpec
from bayescale.posterior.fit import Fit
from bayescale.runs.check import Check, Status
from bayescale.runs.doubts import FLOPS_PER_PARAM_TOKEN
from bayescale.runs.table import share_columns

REVIEW_BELOW = 0.05
FAIL_BELOW = 0.01
"""Family-wise p-values: at most five true laws in a hundred ask for a look."""
MATERIAL_LOSS = 0.002
"""Share of the response from which on a pattern of residuals can matter: 0.2%, or points."""
MATERIAL_NOISE = 0.25
"""Share of half the 90% interval of a new run that it must reach as well."""
LEAST_LOSS = 1e-4
"""Share of it below which none does: losses that were computed have no noise at all."""

_NAMES = {
    "params": "parameters",
    "tokens": "tokens",
    "unique_tokens": "unique tokens",
    "flops": "compute",
    "tokens_per_param": "tokens per parameter",
    "epochs": "epochs",
}
_KINDS = {
    "trend": "residuals have a trend",
    "curvature": "residuals bend",
    "autocorrelation": "neighbours err alike (Durbin-Watson)",
}
_PARTS = {2: "half", 3: "third", 4: "quarter", 5: "fifth", 6: "sixth", 7: "seventh", 8: "eighth"}
_PARTS |= {9: "ninth", 10: "tenth"}
_FEWEST_LEVELS = 3
_UNITS = 3.0  # range of a linear axis, as far as neighbours and bins go
_CRITICAL = 0.01  # p-value at which statistics are given the same weight


@dataclass(frozen=True)
class Axis:
    """Where cells lie along an axis.

    Parameters
    ----------
    values : ndarray
        One for each cell.
    is_log : bool
        Whether distances along it are those of logarithms.
    """

    values: np.ndarray
    is_log: bool = True

    @property
    def place(self) -> np.ndarray:
        """Logarithms; of a linear axis a scale of which its range is three units."""
        if self.is_log:
            return np.log(self.values)
        return _UNITS * (self.values - self.values.min()) / max(np.ptp(self.values), 1e-300)

    def mean(self, weights: np.ndarray) -> np.ndarray:
        """Average the values, in logarithms where distances are theirs.

        Parameters
        ----------
        weights : ndarray, shape (..., cells)
            Of sum 1 over the cells.

        Returns
        -------
        ndarray, shape (...)
        """
        if self.is_log:
            return np.exp(weights @ np.log(self.values))
        return weights @ self.values


@dataclass(frozen=True)
class AxisDetail:
    """Residuals along one axis, for a picture.

    Parameters
    ----------
    axis : str
    values : ndarray
        Of each cell along the axis.
    residual : ndarray
        Observed less fitted of each cell, on the scale on which errors of the response add up.
    bin_values : ndarray
        Mean of each bin, geometric where the axis is logarithmic.
    bin_mean : ndarray
        Mean residual of each bin.
    bin_low, bin_high : ndarray
        Central 90% of these means in simulated refits.
    half_width : float
        Half the central 90% of the residuals of one run.
    unit : str, optional
        What a cell is: runs, or configurations.
    is_log : bool, optional
        Whether the axis is logarithmic.
    response : Response, optional
        What the residuals are of.
    """

    axis: str
    values: np.ndarray
    residual: np.ndarray
    bin_values: np.ndarray
    bin_mean: np.ndarray
    bin_low: np.ndarray
    bin_high: np.ndarray
    half_width: float
    unit: str = "runs"
    is_log: bool = True
    response: Response = LOSS


@dataclass(frozen=True)
class Statistic:
    """What is compared between the runs and simulated refits.

    Parameters
    ----------
    check : str
        Which check it belongs to.
    kind : str
        What it measures.
    values : ndarray
        Of the runs, then of each simulation.
    one_sided : bool, optional
        Whether large values alone are extreme.
    """

    check: str
    kind: str
    values: np.ndarray
    one_sided: bool = False


def axes_of(cells: pd.DataFrame, reads: Sequence[Input]) -> dict[str, Axis]:
    """Axes along which residuals are looked at: inputs of the law, C, D/N and D/U.

    Of a mixture every part. Left out are those of fewer than three levels and those proportional to
    one before them.

    Parameters
    ----------
    cells : pandas.DataFrame
        One row a cell of replicates.
    reads : sequence of Input
        What the law reads.

    Returns
    -------
    dict of str to Axis
        By name.
    """
    kept: dict[str, Axis] = {}
    for name, axis in _every_axis(cells, reads):
        if not np.isfinite(axis.place).all():
            continue
        if len(np.unique(np.round(axis.place, 2))) < _FEWEST_LEVELS:
            continue
        if any(abs(np.corrcoef(axis.place, o.place)[0, 1]) > 0.999 for o in kept.values()):
            continue
        kept[name] = axis
    return kept


def _every_axis(cells: pd.DataFrame, reads: Sequence[Input]) -> Iterator[tuple[str, Axis]]:
    found: dict[str, Axis] = {}
    for own in reads:
        shares = own.scale == "shares"
        for name in share_columns(cells, own.name) if shares else (own.name,):
            if name in cells:
                found[name] = Axis(cells[name].to_numpy(float), own.scale == "log")
    names = {own.role: own.name for own in reads}
    size, data = names.get("size", "params"), names.get("data", "tokens")
    if {size, data} <= set(cells.columns):
        params, tokens = (cells[name].to_numpy(float) for name in (size, data))
        found["flops"] = Axis(FLOPS_PER_PARAM_TOKEN * params * tokens)
        found["tokens_per_param"] = Axis(tokens / params)
    if "flops" in cells:
        found["flops"] = Axis(cells["flops"].to_numpy(float))
    if data in found and names.get("unique") in found:
        found["epochs"] = Axis(found[data].values / found[names["unique"]].values)
    yield from found.items()


def residual_checks(refit: Refits, spec: ModelSpec, *, rising: tuple[str, ...] = ()) -> list[Check]:
    """Centring, then one check for each axis (trend, curvature, neighbours), then unequal noise.

    Along an axis on which the response was found to turn from where the law says, one of `rising`,
    part of the range is no remedy.

    Parameters
    ----------
    refit : Refits
    spec : ModelSpec
        What was fitted.
    rising : tuple of str, optional
        Axes along which a loss was found to rise, or to fall what the law says rises.

    Returns
    -------
    list of Check
        FAIL for a family-wise p-value below 1%, REVIEW below 5%; of patterns too small to matter
        (under 0.2% of the response, or a quarter of the half width of an interval) one step less.
    """
    axes = axes_of(refit.cells, spec.reads)
    number = refit.scores.shape[1]
    mean = np.sqrt(number) * refit.scores.mean(axis=1) / np.sqrt((refit.scores**2).mean(axis=1))
    [centred] = family_wise([Statistic("centring", "mean", mean)])  # a fit centres by itself
    family = list(_statistics(refit.scores, axes, spec))
    found = [_centring(refit, float(centred), spec.response)]
    if not family:
        return [*found, _too_few_levels(spec.inputs)]
    adjusted = dict(zip([(s.check, s.kind) for s in family], family_wise(family), strict=True))
    for name, axis in axes.items():
        detail = _detail(refit, name, axis, spec.response)
        found.append(_along(detail, adjusted, spec, turns=name in rising))
    found.append(_unequal(refit, axes, adjusted))
    return found


def _too_few_levels(inputs: tuple[str, ...]) -> Check:
    label = " and ".join(_NAMES.get(name, name) for name in inputs)
    return Check(
        "law",
        Status.REVIEW,
        f"there are fewer than {_FEWEST_LEVELS} levels of {label}, too few to see a trend: any "
        "law fits them",
        f"Add runs at further values of {label}.",
        threshold=_FEWEST_LEVELS,
    )


def family_wise(family: list[Statistic]) -> np.ndarray:
    """Adjust the p-value of each statistic: how often a simulation has any as extreme.

    Parameters
    ----------
    family : list of Statistic

    Returns
    -------
    ndarray
        One for each statistic.
    """
    extreme = np.stack([_extremeness(statistic) for statistic in family])
    largest = np.sort(extreme[:, 1:].max(axis=0))
    beyond = len(largest) - np.searchsorted(largest, extreme[:, 0])
    return (1 + beyond) / (1 + len(largest))


def _extremeness(statistic: Statistic) -> np.ndarray:
    """Distance from the simulated median in units of the critical value of its own side.

    So statistics of other shapes weigh alike in the tail, where ranks among so many would tie.
    """
    tails = (0.0, _CRITICAL) if statistic.one_sided else (_CRITICAL / 2, _CRITICAL / 2)
    simulated = statistic.values[1:]
    low, middle, high = np.quantile(simulated, (tails[0], 0.5, 1 - tails[1]))
    above = (statistic.values - middle) / (high - middle)
    if statistic.one_sided:
        return above
    return np.maximum(above, (middle - statistic.values) / (middle - low))


def _statistics(scores: np.ndarray, axes: dict[str, Axis], spec: ModelSpec) -> Iterator[Statistic]:
    """Scale-free statistics: a wrong law widens its noise, and hides behind it."""
    centred = scores - scores.mean(axis=1, keepdims=True)
    size = np.sqrt((centred**2).sum(axis=1))
    distance = np.abs(scores) - np.abs(scores).mean(axis=1, keepdims=True)
    # Few scores may all be as large as scores can be: then they scatter alike.
    spread = np.maximum(np.sqrt((distance**2).sum(axis=1)), np.finfo(float).tiny)
    sizes = [name for name in axes if name in ("flops", *spec.law.role("size"))] or list(axes)[:1]
    for name, axis in axes.items():
        line, bend = _polynomials(axis.place)
        yield Statistic(name, "trend", centred @ line / size)
        yield Statistic(name, "curvature", centred @ bend / size)
        order = _sorted_along(name, axes)
        steps = np.diff(scores[:, order], axis=1)
        durbin_watson = (steps**2).sum(axis=1) / size**2
        yield Statistic(name, "autocorrelation", -durbin_watson, one_sided=True)
        if name in sizes:
            yield Statistic("noise", name, distance @ line / spread)


def _polynomials(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal straight line and parabola."""
    centre = (values - values.mean()) / np.ptp(values)
    basis, _ = np.linalg.qr(np.stack([np.ones_like(centre), centre, centre**2], axis=1))
    signs = np.sign(basis.T @ np.stack([centre, centre, centre**2], axis=1)).diagonal()
    return basis[:, 1] * signs[1], basis[:, 2] * signs[2]


def _sorted_along(name: str, axes: dict[str, Axis]) -> np.ndarray:
    """Order along an axis; ties (runs of one budget, of one size) along the next other axis."""
    others = [axis.place for other, axis in axes.items() if other != name]
    return np.lexsort((*others[:1], np.round(axes[name].place, 1)))


def _status(p: float) -> Status:
    if p < FAIL_BELOW:
        return Status.FAIL
    return Status.REVIEW if p < REVIEW_BELOW else Status.PASS


def chance(p: float) -> str:
    """Write a p-value: p = 0.03 were the law true.

    Parameters
    ----------
    p : float

    Returns
    -------
    str
    """
    return f"p {'< 0.001' if p < 0.001 else f'= {p:.2g}'} were the law true"


def _centring(refit: Refits, p: float, response: Response) -> Check:
    middle = float(np.median(refit.residual) - np.median(refit.simulated))
    small = abs(middle) < LEAST_LOSS
    status = Status.PASS if small else _status(p)
    if status is Status.PASS:
        said = f"residuals are centred on the law{refit.choice}"
        return Check("centring", status, said, statistic=p, threshold=REVIEW_BELOW)
    return Check(
        "centring",
        status,
        f"the {unit(refit.cells)} lie {_percent(middle, response)} the law on the whole "
        f"({chance(p)}): its level is wrong",
        "Look for a prior that contradicts the runs, and for runs of another kind among them.",
        statistic=p,
        threshold=REVIEW_BELOW,
    )


def _along(
    detail: AxisDetail, adjusted: dict[tuple[str, str], float], spec: ModelSpec, *, turns: bool
) -> Check:
    """Combine what was found along one axis, the least likely first."""
    name = detail.axis
    found = {kind: adjusted[name, kind] for kind in _KINDS}
    worst = min(found, key=lambda kind: found[kind])
    p, label = found[worst], _NAMES.get(name, name)
    status = _status(p)
    check = f"law along {label}"
    if status is Status.PASS:
        message = f"residuals have no pattern along {label} ({chance(p)})"
        return Check(
            check, status, message, statistic=p, threshold=REVIEW_BELOW, detail=detail, along=label
        )
    message = f"{_KINDS[worst]} along {label}: {_where(detail, label)} ({chance(p)})"
    status, too_small = _weighed(status, detail)
    message += too_small
    if status is Status.PASS:
        return Check(
            check, status, message, statistic=p, threshold=REVIEW_BELOW, detail=detail, along=label
        )
    advice = _advice(name, label, spec, turns=turns)
    return Check(
        check,
        status,
        message,
        advice,
        statistic=p,
        threshold=REVIEW_BELOW,
        detail=detail,
        along=label,
    )


def _weighed(status: Status, detail: AxisDetail) -> tuple[Status, str]:
    """Lower the status of a pattern that is sure but too small to matter, and say so."""
    middle = (detail.bin_low + detail.bin_high) / 2
    size = float(np.max(np.abs(detail.bin_mean - middle)))
    if size >= max(MATERIAL_LOSS, MATERIAL_NOISE * detail.half_width):
        return status, ""
    response = detail.response
    of = f"% of the {response.name}" if percent(response) == "%" else percent(response)
    small = f"; {100 * size:.2g}{of} is too small to matter"
    return (Status.REVIEW if status is Status.FAIL and size >= LEAST_LOSS else Status.PASS), small


def _advice(name: str, label: str, spec: ModelSpec, *, turns: bool) -> str:
    if name == "tokens_per_param":
        what = "N*" if spec.response.better == "lower" else f"the {spec.response.name}"
        return (
            "Fit only runs near the tokens per parameter you will use, or another law; do not "
            f"extrapolate {what} until this passes."
        )
    if turns:
        turn = "rises" if spec.response.better else "turns"  # one of either sign may have risen
        turn = "falls" if name in spec.law.rises_along else turn
        why = f"why the {spec.response.name} {turn}"
        return f"Do not extrapolate along {label}: first find out {why} there."
    return (
        f"Do not extrapolate along {label} as if the law were exact: fit the upper part of its "
        "range alone (--where), or another law."
    )


def _where(detail: AxisDetail, label: str) -> str:
    """Say in words which part of the axis lies where, the two farthest from the law."""
    part = _PARTS.get(len(detail.bin_values), "part")
    middle = (detail.bin_low + detail.bin_high) / 2
    width = np.maximum(detail.bin_high - detail.bin_low, 1e-12)
    away = detail.bin_mean - middle  # one-sided noise lies off the law by itself
    worst, last = int(np.argmax(np.abs(away / width))), len(away) - 1
    few = "least" if label == "compute" else "fewest"
    place = {
        0: f"the {part} of the {detail.unit} with the {few} {label} lies",
        last: f"the {part} of the {detail.unit} with the most {label} lies",
    }
    where = place.get(worst, f"the {detail.unit} around {_value(detail, worst)} lie")
    said = f"{where} {_percent(away[worst], detail.response)} the law"
    top = detail.bin_mean[last]
    if worst != last and not detail.bin_low[last] <= top <= detail.bin_high[last]:
        said += f", the one with the most {label} {_percent(away[last], detail.response)}"
    return said


def _value(detail: AxisDetail, index: int) -> str:
    value, label = float(detail.bin_values[index]), _NAMES.get(detail.axis, detail.axis)
    if detail.axis == "flops":
        return f"{words.flops(value)} FLOPs"
    counts = ("params", "tokens", "unique_tokens")
    number = words.count(value) if detail.axis in counts else words.significant(value, 2)
    return f"{number} {label}"


def _percent(error: float, response: Response) -> str:
    """Write a residual: 2.1% below."""
    share = as_share(response, error)
    return f"{100 * abs(share):.2g}{percent(response)} {'above' if share > 0 else 'below'}"


def _detail(refit: Refits, name: str, axis: Axis, response: Response) -> AxisDetail:
    """Bin the axis; runs of about equal value stay together."""
    rounded = np.round(axis.place, 1)
    number = int(np.clip(len(rounded) // 4, 3, 10))
    few = len(np.unique(rounded)) <= number
    bins = rounded if few else pd.qcut(rounded, number, labels=False, duplicates="drop")
    levels = np.unique(bins)
    member = np.stack([(bins == level) / (bins == level).sum() for level in levels])
    low, high = np.quantile(refit.simulated @ member.T, (0.05, 0.95), axis=0)
    return AxisDetail(
        name,
        axis.values,
        refit.residual,
        axis.mean(member),
        member @ refit.residual,
        low,
        high,
        float(np.diff(np.quantile(refit.simulated, (0.05, 0.95)))[0] / 2),
        unit(refit.cells),
        axis.is_log,
        response,
    )


def _unequal(refit: Refits, axes: dict[str, Axis], adjusted: dict[tuple[str, str], float]) -> Check:
    """Whether runs scatter more at one end: then intervals are too wide there, too narrow here."""
    found = {kind: p for (check, kind), p in adjusted.items() if check == "noise"}
    if not found:
        message = "too few levels of compute or size to compare the scatter"
        return Check("spread of residuals", Status.PASS, message, threshold=REVIEW_BELOW)
    name = min(found, key=lambda kind: found[kind])
    p, label = found[name], _NAMES.get(name, name)
    if p >= REVIEW_BELOW:
        message = f"{unit(refit.cells)} scatter about the law alike ({chance(p)})"
        return Check(
            "spread of residuals", Status.PASS, message, statistic=p, threshold=REVIEW_BELOW
        )
    upper = axes[name].values > np.median(axes[name].values)
    residual, simulated = np.abs(refit.residual), np.abs(refit.simulated)
    times = [
        float(np.median(residual[part]) / np.median(simulated[:, part])) for part in (~upper, upper)
    ]
    return Check(
        "spread of residuals",
        Status.REVIEW,
        f"typical residuals are {times[0]:.2g} times as large as the noise says in the lower half "
        f"of {label} and {times[1]:.2g} times in the upper ({chance(p)}): the noise is not the "
        "same everywhere",
        "Intervals are too narrow where the scatter is larger; fit that part alone to see.",
        statistic=p,
        threshold=REVIEW_BELOW,
    )


MAX_RATIO = 2.0
"""Scatter about the law over the sd between seeds, above which something else moves the loss."""


def seed_check(fit: Fit) -> list[Check]:
    """Compare sigma, what configurations have in common with no law, with the sd between seeds.

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    list of Check
        REVIEW where sigma is more than twice as large, 95% sure. Empty where no configuration has
        replicates.
    """
    noise = fit.noise
    if SEED not in noise:
        return []
    ratio = noise["sigma"] / noise[SEED]
    if "group" in ratio.dims:
        ratio = ratio.max("group")
    least = float(ratio.quantile(0.05))
    middle = float(ratio.median())
    said = f"configurations scatter about the law {middle:.1f} times as much as their seeds do"
    if least <= MAX_RATIO:
        return [
            Check("scatter beyond seeds", Status.PASS, said, statistic=least, threshold=MAX_RATIO)
        ]
    return [
        Check(
            "scatter beyond seeds",
            Status.REVIEW,
            f"{said}: hyper-parameters or a misfit of the law move the loss, not chance",
            "More seeds will not help; look at the residuals along each axis, or tune every run.",
            statistic=least,
            threshold=MAX_RATIO,
        )
    ]
