r"""Which settings a run wants, and what others cost: the bowl of each run, draw by draw.

A fit of swept runs has a bowl for every cell, the runs of one N and one D, whose place and width
follow power laws of N and D. A run nobody has made has the bowl that these laws say, with the
scatter of the cells about them. What a setting costs is the rise above the floor of the bowl,

.. math:: r(x, z) = \log L(x, z) - \log L_{min},

as a share of the loss :math:`e^r - 1`; where loss falls like :math:`D^{-s}` it takes
:math:`e^{r/s} - 1` more tokens to make up for it.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.optimize import minimize

from bayescale import words
from bayescale.arguments import typed
from bayescale.errors import FitError
from bayescale.modelling.pooling import group_labels
from bayescale.posterior.fit import Fit
from bayescale.posterior.prediction import with_few_draws
from bayescale.posterior.search import best_value

SAME = 0.02
"""Difference of log N or log D up to which a run is one of a cell that was swept."""

_WIDEST = 1000.0  # factor from the best value within which others are looked for
_HALF = 5.0  # of a basin, in log of the setting: as far as it is looked for
_POINTS = 81  # of a half basin
_PLANNED, _NEW = "planned run", "new cell"  # each name has a stream of scatter of its own
_STEP = 0.1  # of the log of a setting, for a second derivative
_UNKNOWN = 0.1  # sd of the floor of a cell without runs, of log loss
_FEW = 400  # draws that searches and basins are of

type Settings = Mapping[str, float | xr.DataArray]
"""Values of knobs by name."""


@dataclass(frozen=True)
class Bowl:
    """What settings cost one run, draw by draw.

    Parameters
    ----------
    fit : Fit
        Of one cell, or of a planned run: a law with a least at the best values of its axes.
    """

    fit: Fit

    @property
    def knobs(self) -> tuple[str, ...]:
        """Names of the settings."""
        return self.fit.spec.axes

    @cached_property
    def best(self) -> xr.Dataset:
        """Best values of all settings together, dims (chain, draw)."""
        law, natural = self.fit.spec.law, self.fit.natural
        return xr.Dataset(
            {knob: natural[own] for knob, own in zip(self.knobs, law.best, strict=True)}
        )

    @property
    def floor(self) -> float:
        """Median of the loss at the best settings."""
        return float(self.fit.natural[self.fit.spec.law.least].median())

    def rise(self, **settings: Any) -> xr.DataArray:
        """Log loss above the least; settings that are not given are the best for those that are.

        Parameters
        ----------
        **settings : float or xarray.DataArray
            By knob.

        Returns
        -------
        xarray.DataArray
            Dims (chain, draw), and those of the settings.

        Raises
        ------
        FitError
            For an unknown knob, or a value that is not positive.
        """
        law, natural = self.fit.spec.law, self.fit.natural
        at = self.tuned_to(settings)

        def above(*values: Any) -> Any:  # of plain arrays: searches call it hundreds of times
            own = dict(zip(natural, values[len(self.knobs) :], strict=True))
            return np.log(law(*values[: len(self.knobs)], **own)) - np.log(own[law.least])

        return xr.apply_ufunc(above, *(at[knob] for knob in self.knobs), *natural.values())

    def tuned_to(self, settings: Settings) -> dict[str, Any]:
        """Give every knob a value: the best for those that are given.

        Parameters
        ----------
        settings : mapping of str to float or xarray.DataArray

        Returns
        -------
        dict
            By knob.

        Raises
        ------
        FitError
            For an unknown knob, or a value that is not positive.
        """
        given = {knob: xr.DataArray(value) for knob, value in settings.items()}
        for knob, value in given.items():
            if knob not in self.knobs:
                raise FitError(f"no knob {knob!r}; {words.did_you_mean(knob, self.knobs)}")
            if not bool((value > 0).all()):
                raise FitError(f"{knob} must be positive, got {float(value.min()):g}")
        left = [knob for knob in self.knobs if knob not in given]
        if not given or not left:
            return {**given, **{knob: self.best[knob] for knob in left}}
        (free,) = left
        middle = float(self.best[free].median())
        ends = middle / _WIDEST, middle * _WIDEST
        return {**given, free: best_value(self.fit.spec.law, free, ends, given, self.fit.natural)}

    def choice(self, **forced: float) -> dict[str, float]:
        """Find the settings of least expected loss over all draws; those that are forced stay.

        A bowl whose one wall is steeper is best left a little towards the other.

        Parameters
        ----------
        **forced : float
            By knob.

        Returns
        -------
        dict of str to float
            By knob.
        """
        few = replace(self, fit=with_few_draws(self.fit, _FEW))
        start = few.tuned_to(forced)
        free = [knob for knob in self.knobs if knob not in forced]
        if not free:
            return dict(forced)

        def cost(logs: np.ndarray) -> float:
            at = dict(zip(free, np.exp(logs), strict=True))
            return float(few.rise(**forced, **at).mean())

        middle = [float(np.log(start[knob]).median()) for knob in free]
        found = minimize(cost, middle, method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-9})
        return {**dict(zip(free, np.exp(found.x).tolist(), strict=True)), **forced}

    def basin(self, knob: str, within: float, **forced: float) -> xr.Dataset:
        """Range of one setting that costs no more than a share of the loss.

        The settings before it in the law are tuned to each of its values, those after it are at
        their best or as forced: of a rate and a batch, the rate's at that batch, and the batch's
        where the rate is tuned to it.

        Parameters
        ----------
        knob : str
        within : float
            Share of the loss, such as 0.005.
        **forced : float
            Settings that are given, by knob.

        Returns
        -------
        xarray.Dataset
            ``low`` and ``high``, dims (chain, draw); NaN where a forced setting costs as much.

        Raises
        ------
        FitError
            For what is no share, an unknown knob, or a forced value that is not positive.
        """
        if not 0 < within < 1:
            raise FitError(f"within must be a share of the loss, such as 0.005, got {within:g}")
        few = replace(self, fit=with_few_draws(self.fit, _FEW))
        centre = few.tuned_to(forced)
        after = self.knobs[self.knobs.index(knob) + 1 :]
        kept = {**forced, **{other: centre[other] for other in after}}
        step = xr.DataArray(np.linspace(0.0, _HALF, _POINTS), dims="step")
        ends = {}
        for name, way in (("low", -1.0), ("high", 1.0)):
            rise = few.rise(**{**kept, knob: centre[knob] * np.exp(way * step)})
            ends[name] = centre[knob] * np.exp(way * _crossing(rise, step, np.log1p(within)))
        return xr.Dataset(ends)


def _crossing(rise: xr.DataArray, step: xr.DataArray, most: float) -> xr.DataArray:
    """Find how far one can go before a rise exceeds the most that is allowed."""
    over = (rise > most).argmax("step").clip(1)
    before, after = rise.isel(step=over - 1), rise.isel(step=over)
    part = ((most - before) / (after - before)).clip(0.0, 1.0)
    at = step.isel(step=over - 1) + part * float(step[1] - step[0])
    at = at.where((rise > most).any("step"), float(step[-1]))
    return at.where(rise.isel(step=0) <= most)


@typed
def bowl_of(fit: Fit, *, seed: int = 1, **where: float) -> Bowl:
    """Take the bowl of a run: of the cell that it belongs to, or that the trends say.

    Parameters
    ----------
    fit : Fit
        Of swept runs, such as of the models ``tuning`` and ``tuning-pair``.
    seed : int, optional
    **where : float
        Columns along which the model has trends: ``params``, ``tokens``.

    Returns
    -------
    Bowl

    Raises
    ------
    FitError
        For a fit of another kind, or where it is not said where the run lies.

    Examples
    --------
    >>> bowl_of(fit, params=7e9, tokens=1.4e12).best.median()  # doctest: +SKIP
    """
    require_swept(fit)
    if not fit.groups:
        return Bowl(fit)
    cell = cell_at(fit, where)
    if cell is not None:
        return Bowl(fit.of_group(cell))
    size = _cluster_at(fit, where)
    planned = fit.with_new_group(_PLANNED, along=where, cluster=size, seed=seed)
    return Bowl(planned.of_group(_PLANNED))


def _new_cell(fit: Fit, where: Mapping[str, float], seed: int) -> Bowl:
    """Take the bowl of a cell that is yet to be swept: it scatters by itself."""
    size = _cluster_at(fit, where)
    along = {name: where[name] for name in fit.spec.covariates if name in where}
    new = fit.with_new_group(_NEW, along=along, cluster=size, seed=seed)
    return Bowl(new.of_group(_NEW))


def require_swept(fit: Fit) -> None:
    """Refuse a fit whose law has no best value of each of its axes.

    Parameters
    ----------
    fit : Fit

    Raises
    ------
    FitError
        For such a fit.
    """
    if not (fit.spec.law.least and fit.spec.law.best):
        raise FitError(
            f"the law {fit.spec.law.name} has no settings to choose; fit swept runs, e.g. "
            "bayescale tune RUNS --knobs learning_rate"
        )


def places_of(fit: Fit) -> dict[str, dict[str, float]]:
    """Say where each cell lies: geometric means of its runs.

    Parameters
    ----------
    fit : Fit
        Of swept runs.

    Returns
    -------
    dict
        By cell, then by column of the trends, ``params`` and ``tokens``.
    """
    table = fit.runs.table
    columns = [c for c in dict.fromkeys((*fit.spec.covariates, "params", "tokens")) if c in table]
    labels = _cell_labels(fit)
    means = np.exp(np.log(table[columns].astype(float)).groupby(labels).mean())
    return {cell: dict(means.loc[cell]) for cell in _cells(fit, labels)}


def _cell_labels(fit: Fit) -> np.ndarray:
    """Name the cell of every run; of a fit without groups all are of one."""
    if fit.groups:
        return np.asarray(group_labels(fit.spec, fit.runs))
    table = fit.runs.table
    named = "cell" in table and table["cell"].nunique() == 1
    return np.full(len(table), str(table["cell"].iloc[0]) if named else "all")


def _cells(fit: Fit, labels: np.ndarray) -> tuple[str, ...]:
    return fit.groups or tuple(map(str, np.unique(labels)))


def cell_at(fit: Fit, where: Mapping[str, float]) -> str | None:
    """Name the cell that lies at some N and D, or at other columns of its trends.

    Parameters
    ----------
    fit : Fit
    where : mapping of str to float

    Returns
    -------
    str or None
        None as well where several cells lie there.
    """
    found = []
    for cell, at in places_of(fit).items():
        known = [(at[name], value) for name, value in where.items() if name in at]
        if known and all(abs(np.log(value / own)) <= SAME for own, value in known):
            found.append(cell)
    return found[0] if len(found) == 1 else None


def _cluster_at(fit: Fit, where: Mapping[str, float]) -> str | None:
    """Name the size whose cells have so many params, if one was swept."""
    column, table = fit.spec.cluster, fit.runs.table
    if not fit.spec.cluster_scales or "params" not in where or "params" not in table:
        return None
    near = np.abs(np.log(table["params"] / where["params"])) <= SAME
    return str(table.loc[near, column].iloc[0]) if near.any() else None


@typed
def bracketed(fit: Fit) -> xr.DataArray:
    """Probability that the best value of each setting lies within what was tried, by cell.

    Parameters
    ----------
    fit : Fit
        Of swept runs.

    Returns
    -------
    xarray.DataArray
        Dims (knob, cell, side): ``below``, ``inside`` and ``above`` sum to 1.
    """
    require_swept(fit)
    labels = _cell_labels(fit)
    cells, found = list(_cells(fit, labels)), []
    for knob, own in zip(fit.spec.axes, fit.spec.law.best, strict=True):
        tried = fit.runs.table[knob].groupby(labels).agg(["min", "max"]).loc[cells]
        best = fit.natural[own] if fit.groups else fit.natural[own].expand_dims(group=cells)
        low, high = (xr.DataArray(tried[end].to_numpy(), dims="group") for end in ("min", "max"))
        below, above = ((beyond).mean(("chain", "draw")) for beyond in (best < low, best > high))
        found.append(xr.concat([below, 1.0 - below - above, above], dim="side"))
    sides = {"knob": list(fit.spec.axes), "side": ["below", "inside", "above"]}
    joined = xr.concat(found, dim="knob").rename(group="cell").assign_coords(sides)
    return joined.transpose("knob", "cell", "side")


@typed
def tokens_slope(fit: Fit) -> xr.DataArray | None:
    r"""Slope s of the floors, :math:`-d \log L / d \log D` at the middle of the cells, per draw.

    By least squares of the levels of the cells on log N and log D. Of one run alone, as one that
    crashed early, no floor is known.

    Parameters
    ----------
    fit : Fit
        Of swept runs.

    Returns
    -------
    xarray.DataArray or None
        Dims (chain, draw); None where the cells do not tell it: fewer than four, or of one D, or
        N and D in one ratio.
    """
    runs = Counter(_cell_labels(fit))
    at = {cell: own for cell, own in places_of(fit).items() if fit.groups and runs[cell] > 1}
    if len(at) < 4 or not all({"params", "tokens"} <= own.keys() for own in at.values()):
        return None
    logs = np.log([[own["params"], own["tokens"]] for own in at.values()])
    centred = logs - logs.mean(axis=0)
    if np.linalg.svd(centred, compute_uv=False)[-1] < 0.1 * np.sqrt(len(at)):
        return None
    weights = xr.DataArray(np.linalg.pinv(centred)[1], dims="group", coords={"group": [*at]})
    level = xr.ufuncs.log(fit.posterior[fit.spec.law.least]).sel(group=[*at])
    return -(level * weights).sum("group")


@typed
def more_tokens(rise: xr.DataArray, slope: xr.DataArray) -> xr.DataArray:
    """Tokens that make up for a rise of log loss, as a share of those of the run.

    Parameters
    ----------
    rise : xarray.DataArray
        Of log loss.
    slope : xarray.DataArray
        Of `tokens_slope`; draws without a positive one need infinitely many.

    Returns
    -------
    xarray.DataArray
    """
    with np.errstate(over="ignore"):  # infinitely many
        return xr.where(slope > 0, np.expm1(rise / slope.where(slope > 0)), np.inf)


@dataclass(frozen=True)
class Rule:
    """A published law of hyperparameters.

    Parameters
    ----------
    name : str
    source : str
    settings : callable
        ``(params, tokens, loss) -> {"learning_rate": ..., "batch": ...}``, the batch in tokens.
    """

    name: str
    source: str
    settings: Callable[[float, float, float], dict[str, float]]


def _compute(params: float, tokens: float) -> float:
    return 6.0 * params * tokens


PUBLISHED: tuple[Rule, ...] = (
    Rule(
        "Step Law",
        "Li et al. (2025), arXiv:2503.04715, equation 1",
        lambda n, d, loss: {"learning_rate": 1.79 * n**-0.713 * d**0.307, "batch": 0.58 * d**0.571},
    ),
    Rule(
        "DeepSeek",
        "Bi et al. (2024), arXiv:2401.02954, equation 1",
        lambda n, d, loss: {
            "learning_rate": 0.3118 * _compute(n, d) ** -0.125,
            "batch": 0.2920 * _compute(n, d) ** 0.3271,
        },
    ),
    Rule(
        "Porian",
        "Porian et al. (2024), arXiv:2406.19146, section 3.5",
        lambda n, d, loss: {"learning_rate": 3.7 * n**-0.36, "batch": 0.7576 * n**0.703},
    ),
    Rule(
        "Kaplan",
        "Kaplan et al. (2020), arXiv:2001.08361, equations D.1 and 1.4",
        lambda n, d, loss: {
            "learning_rate": 0.003239 - 0.0001395 * float(np.log(n)),
            "batch": 2e8 * loss ** (-1 / 0.21),
        },
    ),
)
"""Laws of learning rate and batch size that are compared on a sweep."""

CONSTANT, OWN = "one constant", "this fit"
"""The best single choice for all cells, and the trends of the fit itself."""


@typed
def regrets(fit: Fit, roles: Mapping[str, str], *, seed: int = 1) -> xr.Dataset:
    """Compare what laws of hyperparameters cost on the cells of a sweep.

    Parameters
    ----------
    fit : Fit
        Of swept runs.
    roles : mapping of str to str
        Knobs of the fit for ``learning_rate`` and ``batch`` (in tokens), of those that it has.
    seed : int, optional

    Returns
    -------
    xarray.Dataset
        ``rise``, dims (chain, draw, rule), the mean over the cells of the rise of log loss; a knob
        that a rule says nothing of is at its best for what it says. And the settings of each rule
        at each cell, dims (rule, cell). Of laws, then `CONSTANT` and `OWN`.
    """
    few, at = with_few_draws(fit), places_of(fit)
    cells, knobs = Bowl(few), {r: knob for r, knob in roles.items() if knob in fit.spec.axes}
    rules: dict[str, dict[str, list[float]]] = {}
    if knobs and all({"params", "tokens"} <= own.keys() for own in at.values()):
        floors = few.natural[fit.spec.law.least].median(("chain", "draw"))
        for rule in PUBLISHED:
            said = [
                rule.settings(own["params"], own["tokens"], float(floors.sel(group=cell)))
                for cell, own in at.items()
            ]
            kept = {
                knob: [own[role] for own in said]
                for role, knob in knobs.items()
                if role in said[0] and all(own[role] > 0 for own in said)  # Kaplan's rate ends
            }
            rules |= {rule.name: kept} if kept else {}
    rules[CONSTANT] = {knob: [value] * len(at) for knob, value in _one_constant(few).items()}
    trends = [_by_trends(few, own, seed) for own in at.values()]
    rules[OWN] = {knob: [own[knob] for own in trends] for knob in cells.knobs}
    rises = [
        cells.rise(**{k: xr.DataArray(v, dims="group") for k, v in own.items()}).mean("group")
        for own in rules.values()
    ]
    rise = xr.concat(rises, dim="rule").assign_coords(rule=list(rules))
    unsaid = [np.nan] * len(at)
    chosen = {
        knob: (("rule", "cell"), [own.get(knob, unsaid) for own in rules.values()])
        for knob in cells.knobs
    }
    return xr.Dataset({"rise": rise, **chosen}, coords={"cell": list(at)})


def _one_constant(fit: Fit) -> dict[str, float]:
    """Find the settings that are best for all cells together."""
    cells = Bowl(with_few_draws(fit, _FEW))

    def cost(logs: np.ndarray) -> float:
        return float(cells.rise(**dict(zip(cells.knobs, np.exp(logs), strict=True))).mean())

    middle = [float(xr.ufuncs.log(cells.best[knob]).mean()) for knob in cells.knobs]
    found = minimize(cost, middle, method="Nelder-Mead", options={"xatol": 1e-2, "fatol": 1e-7})
    return dict(zip(cells.knobs, np.exp(found.x).tolist(), strict=True))


def _by_trends(fit: Fit, at: Mapping[str, float], seed: int) -> dict[str, float]:
    """Give what the trends alone say of a cell: as of a run that nobody has made."""
    along = {name: at[name] for name in fit.spec.covariates}
    new = fit.with_new_group(_PLANNED, along=along, typical=True, seed=seed).of_group(_PLANNED)
    best = Bowl(new).best
    return {str(knob): float(np.exp(_middle(best[knob]))) for knob in best}


def _middle(draws: xr.DataArray) -> float:
    return float(xr.ufuncs.log(draws).median())


@typed
def next_sweeps(
    fit: Fit, target: Bowl, *, spread: float = 3.0, k: float | None = None, seed: int = 1
) -> pd.DataFrame:
    r"""Rank small sweeps by what they would tell of the best settings of a planned run.

    A sweep of a cell is a run at the best settings known there, and one on either side along each
    knob. What it shows, :math:`y = f + \epsilon`, covaries among the draws with the log of the best
    settings q of the planned run. Not knowing these costs :math:`\sum_j h_j \mathrm{Var}(q_j) / 2`,
    h the curvatures, and the sweep is expected to take off, to first order,

    .. math:: \sum_j \tfrac{h_j}{2} C_j (V + \Sigma)^{-1} C_j^T, \quad C_j = \mathrm{Cov}(q_j, f)

    with V the covariance of f, and Sigma that of the noise and of the unknown floor of a new cell.
    A new cell shares with the planned run what the trends say, and no scatter about them.

    Parameters
    ----------
    fit : Fit
        Of swept runs.
    target : Bowl
        Of the planned run.
    spread : float, optional
        Factor between the settings of a sweep.
    k : float, optional
        FLOPs per parameter and token.
    seed : int, optional
        Of new cells.

    Returns
    -------
    pandas.DataFrame
        One row a sweep, the most telling per FLOP first: ``cell``, ``params``, ``tokens``, ``new``
        (whether no run has been made there), the best known value of each knob there, ``runs``,
        ``flops`` of all of them, and ``reduction``, the share of the cost that it takes off. Of the
        cells, and of two with twice the most params, or the most tokens.
    """
    few, wanted = with_few_draws(fit), with_few_draws(target.fit)
    k = fit.runs.flops_per_param_token if k is None else k
    best = Bowl(wanted).best
    asked = np.column_stack([_flat(xr.ufuncs.log(best[knob])) for knob in best])
    asked = asked - asked.mean(axis=0)
    heights = np.array([_curvature(Bowl(wanted), knob) for knob in target.knobs])
    cost = heights @ (asked**2).mean(axis=0)
    noise = float((few.noise["sigma"] ** 2).mean())
    found = []
    for cell, at, bowl in _sweepable(few, seed):
        settings = _star(bowl, spread)
        said = np.column_stack([_flat(bowl.rise(**own)) for own in settings])
        floor = xr.ufuncs.log(bowl.fit.natural[fit.spec.law.least])
        new = cell == _NEW
        said += 0.0 if new else _flat(floor)[:, None]
        said = said - said.mean(axis=0)
        variance = said.T @ said / len(said) + noise * np.eye(len(settings)) + new * _UNKNOWN**2
        shared = asked.T @ said / len(said)
        taken = heights @ np.einsum("ij,ij->i", shared, np.linalg.solve(variance, shared.T).T)
        flops = len(settings) * k * at["params"] * at["tokens"]
        found.append(
            {
                "cell": f"{words.count(at['params'])} {words.count(at['tokens'])}" if new else cell,
                **{name: at[name] for name in ("params", "tokens")},
                "new": new,
                **settings[0],
                "runs": len(settings),
                "flops": flops,
                "reduction": float(taken / cost),
            }
        )
    table = pd.DataFrame(found)
    order = (table["reduction"] / table["flops"]).sort_values(ascending=False).index
    return table.loc[order].reset_index(drop=True)


def _sweepable(fit: Fit, seed: int) -> Iterator[tuple[str, dict[str, float], Bowl]]:
    """Yield the cells, then two that nobody has swept, with their bowls."""
    at = places_of(fit)
    for cell, own in at.items():
        yield cell, own, Bowl(fit.of_group(cell))
    most = {name: max(own[name] for own in at.values()) for name in ("params", "tokens")}
    for name in most:
        if len({round(np.log(own[name]) / SAME) for own in at.values()}) > 1:
            where = {**most, name: 2 * most[name]}
            yield _NEW, where, _new_cell(fit, where, seed)


def _star(bowl: Bowl, spread: float) -> list[dict[str, float]]:
    """Put one run at the middle of what is known, and one on either side along each knob."""
    middle = {k: float(np.exp(xr.ufuncs.log(bowl.best[k]).mean())) for k in bowl.knobs}
    sides = [
        {**middle, knob: middle[knob] * factor}
        for knob in bowl.knobs
        for factor in (1 / spread, spread)
    ]
    return [middle, *sides]


def _curvature(bowl: Bowl, knob: str) -> float:
    """Mean second derivative of log loss in the log of one setting, at the best."""
    at = {name: bowl.best[name] for name in bowl.knobs}
    up, down = (bowl.rise(**{**at, knob: at[knob] * np.exp(way * _STEP)}) for way in (1, -1))
    return float((up + down).mean()) / _STEP**2


def _flat(draws: xr.DataArray) -> np.ndarray:
    return draws.transpose("chain", "draw").to_numpy().ravel()
