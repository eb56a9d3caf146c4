r"""How many experts, and how large a model with them, per draw.

By the laws of `bayescale.laws` in which experts are worth parameters of a dense model (``experts``,
and ``experts_size`` of runs with the same tokens). Compute and serving count active parameters N,
:math:`C = k N D` and :math:`2 N` FLOPs a token; memory counts all of them,

.. math:: P = N (1 + s (X - 1))

with s the share of the active parameters that every further expert adds, which a table that states
both shows: the median of :math:`(P/N - 1)/(X - 1)` over its runs with experts.

For each number of experts X the plan is the N of least expected loss within the caps. Its tokens
per active parameter are within a factor of three of those of the runs, where the caps allow that.
It is set beside dense models: at equal memory the best one of at most P parameters, at equal
compute the best one, with the same training compute (where that is not capped, with the same
tokens). The dense model that it replaces has its loss at its tokens.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from bayescale import words
from bayescale.arguments import typed
from bayescale.decisions.answer import Answer, count_of, distance, loss_of, number_of
from bayescale.decisions.prices import SERVING_FLOPS, require_positive
from bayescale.decisions.ratios import Ratios
from bayescale.draws import numbers
from bayescale.errors import FitError, RunsError
from bayescale.files import plain
from bayescale.modelling.spec import ModelSpec, load_model
from bayescale.posterior.fit import Fit
from bayescale.posterior.posterior import Posterior
from bayescale.runs.range import TOKENS_PER_PARAM, axis_range
from bayescale.runs.table import Runs

JOINT, OF_SIZE = "experts", "experts_size"
"""Laws of models with experts: with tokens, and of runs that all have the same."""

_SAME = 1.05  # factor within which tokens are the same
_SIZES, _DECADES = 121, 2.0  # sizes tried below the largest that caps allow, and their span
_OTHERS = 3  # numbers of experts that are named beside the best one
_ROOM = 10**0.5  # factor of tokens per parameter beyond the runs


@typed
def experts_model(runs: Runs) -> ModelSpec:
    """Choose the model of runs with experts: of size alone where all have the same tokens.

    Parameters
    ----------
    runs : Runs

    Returns
    -------
    ModelSpec
        ``experts-bend`` or ``experts-size-bend``: how good models are beyond the runs is asked.

    Raises
    ------
    RunsError
        If the runs lack experts or active parameters, or all have one number of experts.
    """
    table = runs.table
    if "experts" not in table:
        raise RunsError(
            "the runs have no column experts, the number of experts of each: 1 of a dense model",
            "Name it with --column experts=YOURS.",
        )
    if "active_params" not in table:
        raise RunsError(
            "the runs have no column active_params, the parameters that a token meets: without it "
            "nothing says what experts are worth, compute and serving",
            "Name it with --column active_params=YOURS; of a dense model it is all parameters.",
        )
    if runs.column("experts").min() == runs.column("experts").max():
        raise RunsError(
            f"all runs have {table['experts'].iloc[0]:g} experts: nothing says what more are worth",
            "Add dense runs, with experts 1.",
        )
    low, high = axis_range(runs, "tokens") if "tokens" in table else (1.0, 1.0)
    return load_model("experts-bend" if high > _SAME * low else "experts-size-bend")


@typed
def routers_of(runs: Runs, column: str) -> dict[str, Runs]:
    """Split runs by what routes them, each part with the dense runs.

    Parameters
    ----------
    runs : Runs
    column : str
        That names the router of each run; what it says of dense runs does not matter.

    Returns
    -------
    dict of str to Runs
        By router.

    Raises
    ------
    RunsError
        If the runs lack the column, or no run with experts has a router.
    """
    if column not in runs.table:
        raise RunsError(
            f"the runs have no column {column!r}; "
            f"{words.did_you_mean(column, list(map(str, runs.table.columns)))}"
        )
    dense = runs.column("experts") == 1
    labels = runs.table[column].astype(str)
    names = sorted(labels[~dense].unique())
    if not names:
        raise RunsError("no run has more than one expert: there is no router to tell apart")
    return {
        name: replace(runs, table=runs.table[dense | (labels == name)], source=f"{name}, and dense")
        for name in names
    }


@typed
def expert_share(runs: Runs) -> tuple[float, float, float] | None:
    """Share of the active parameters that every further expert adds to all of them.

    Parameters
    ----------
    runs : Runs

    Returns
    -------
    tuple of float or None
        Median, least and largest over the runs with experts; None where none states both active
        and all parameters.
    """
    if not {"params", "active_params", "experts"} <= set(runs.table.columns):
        return None
    own = runs.table[(runs.table["experts"] > 1) & runs.table["params"].notna()]
    if len(own) == 0:
        return None
    shares = (own["params"] / own["active_params"] - 1) / (own["experts"] - 1)
    return float(shares.median()), float(shares.min()), float(shares.max())


@dataclass(frozen=True)
class _Caps:
    """What bounds a model: FLOPs of training, parameters in memory, active ones, tokens."""

    flops: float
    memory: float
    active: float
    tokens: float | None
    share: float
    k: float
    least_ratio: float
    most_ratio: float

    def total(self, active: Any, number: float) -> Any:
        return active * (1.0 + self.share * (number - 1.0)) if number > 1 else active

    def tokens_of(self, active: Any) -> Any:
        if self.tokens is not None:
            return np.full(np.shape(active), self.tokens)
        return self.flops / (self.k * active)

    def most(self, number: float) -> float:
        """Largest number of active parameters."""
        by_compute = (
            self.flops / (self.k * self.tokens)
            if self.tokens is not None
            else np.sqrt(self.flops / (self.k * self.least_ratio))
        )
        by_memory = self.memory / self.total(1.0, number) if self.memory < np.inf else np.inf
        return float(min(by_memory, self.active, by_compute))

    def sizes(self, most: float) -> np.ndarray:
        """Sizes to try up to the largest, of no more tokens than runs tell of where that can be."""
        least = most / 10**_DECADES
        if self.tokens is None:
            trained = np.sqrt(self.flops / (self.k * self.most_ratio))  # 0 where nothing bounds it
            least = max(least, min(float(trained), most))
        return np.geomspace(least, most, _SIZES)


@typed
def best_experts(
    fit: Fit,
    *,
    flops: float | None = None,
    memory: float | None = None,
    serving: float | None = None,
    tokens: float | None = None,
    experts: Sequence[float] = (),
    share: float | None = None,
) -> xr.Dataset:
    """Best model for each number of experts within some caps, beside dense models.

    Parameters
    ----------
    fit : Fit
        Of one of the models ``experts`` and ``experts-size``, of one group.
    flops : float, optional
        Most FLOPs of training.
    memory : float, optional
        Most parameters in all; for bytes divide them by those of a parameter.
    serving : float, optional
        Most FLOPs a token served, 2 for each active parameter.
    tokens : float, optional
        Of training; by default what the FLOPs pay, and of runs with the same tokens those.
    experts : sequence of float, optional
        Numbers of experts to choose among; by default the powers of two that the runs span. A
        dense model is always one of them.
    share : float, optional
        Share of the active parameters that every further expert adds; by default `expert_share`.

    Returns
    -------
    xarray.Dataset
        Dims chain, draw and ``experts``:

        * ``loss`` of the plan; ``active_params``, ``params`` and ``tokens`` (experts) are its own.
        * ``best_active_params``: the best size of each draw.
        * ``replaces``: parameters of the dense model of equal loss at the same tokens, infinite
          where none as large as two times all of the plan's reaches it.
        * ``over_memory``, ``over_compute``: loss of the best dense model of equal memory, and of
          equal compute, less that of the plan; the memory is NaN without a share.

    Raises
    ------
    FitError
        For a fit of another law or of several groups, caps that bound nothing or are not positive,
        or a cap on memory where nothing says what experts add.
    """
    require_law(fit)
    given = {"flops": flops, "memory": memory, "serving": serving, "tokens": tokens, "share": share}
    require_caps(fit.runs, fit.spec, **given)
    posterior = Posterior.of(fit)
    caps = _caps(fit, posterior.k, **given)
    tried = sorted({1.0, *(_powers(fit.runs) if len(experts) == 0 else map(float, experts))})
    if tried[0] < 1:
        raise FitError(f"a model has 1 expert or more, got {tried[0]:g}")
    found = [_plan(posterior, caps, number) for number in tried]
    draws = {
        name: np.stack([own[name] for own in found], axis=1)
        for name in ("loss", "best_active_params", "replaces", "over_memory", "over_compute")
    }
    result = posterior.from_rows(draws, experts=np.array(tried))
    plans: dict[str, Any] = {
        n: ("experts", [own[n] for own in found]) for n in ("active_params", "tokens")
    }
    total = [caps.total(own["active_params"], n) for own, n in zip(found, tried, strict=True)]
    kept = {name: np.nan if value is None else value for name, value in given.items()}
    return result.assign(**plans, params=("experts", total)).assign_attrs(
        {**kept, "share": caps.share, "k": caps.k}
    )


@typed
def require_caps(
    runs: Runs,
    spec: ModelSpec,
    *,
    flops: float | None = None,
    memory: float | None = None,
    serving: float | None = None,
    tokens: float | None = None,
    share: float | None = None,
) -> None:
    """Refuse caps that bound nothing, or that these runs cannot tell of.

    Parameters
    ----------
    runs : Runs
    spec : ModelSpec
        Of `experts_model`.
    flops, memory, serving, tokens, share : float, optional
        See `best_experts`.

    Raises
    ------
    FitError
        If a cap is not positive, all together bound no model, a cap on memory is given where
        nothing says what experts add, or tokens that runs with the same tokens do not have.
    """
    given = {"flops": flops, "memory": memory, "serving": serving, "tokens": tokens, "share": share}
    for name, value in given.items():
        if value is not None:
            require_positive(name, value)
    if memory is not None and share is None and expert_share(runs) is None:
        raise FitError(
            "a cap on memory asks for all parameters of models with experts, and no run states "
            "them beside the active ones: name their column, --column params=YOURS, or say what "
            "share of the active parameters every further expert adds, --expert-share 0.3"
        )
    same = spec.law.name == OF_SIZE
    if same and tokens is not None:
        low, high = axis_range(runs, "tokens")
        if not low / _SAME <= tokens <= high * _SAME:
            raise FitError(
                f"all runs have {words.count(high)} tokens: nothing is known of "
                f"{words.count(tokens)}; leave tokens out, or add runs with others"
            )
    known = tokens is not None or same
    if flops is None and not (known and (memory is not None or serving is not None)):
        raise FitError(
            "nothing bounds the model: give the training FLOPs, --flops 1e22, or the tokens with a "
            "cap on memory or serving"
        )


def _caps(
    fit: Fit,
    k: float,
    *,
    flops: float | None,
    memory: float | None,
    serving: float | None,
    tokens: float | None,
    share: float | None,
) -> _Caps:
    known = expert_share(fit.runs)
    if fit.spec.law.name == OF_SIZE:
        tokens = axis_range(fit.runs, "tokens")[1]
    own = known[0] if known else np.nan
    ends = axis_range(fit.runs, TOKENS_PER_PARAM) if fit.spec.law.name == JOINT else (np.nan,) * 2
    return _Caps(
        flops=np.inf if flops is None else flops,
        memory=np.inf if memory is None else memory,
        active=np.inf if serving is None else serving / SERVING_FLOPS,
        tokens=tokens,
        share=own if share is None else share,
        k=k,
        # Without runs any that is tried.
        least_ratio=1.0 if np.isnan(ends[0]) else ends[0] / _ROOM,
        most_ratio=np.inf if np.isnan(ends[1]) else ends[1] * _ROOM,
    )


def _powers(runs: Runs) -> list[float]:
    """Powers of two up to the most experts of a run."""
    if len(runs) == 0:
        raise FitError("these are given constants: say which experts to choose among, 1, 8 and 64")
    most = float(runs.column("experts").max())
    return [2.0**power for power in range(int(np.log2(most) + 1e-9) + 1)]


type _Losses = Callable[[np.ndarray, np.ndarray, float], np.ndarray]


def _losses(posterior: Posterior) -> _Losses:
    """Ask for losses, shape (draws, sizes), of sizes and tokens with a number of experts."""
    names = [name if name != "params" else "active_params" for name in posterior.law.inputs]
    natural = posterior.rows.natural

    def losses(active: np.ndarray, tokens: np.ndarray, experts: float) -> np.ndarray:
        known = {"active_params": active, "tokens": tokens, "experts": np.float64(experts)}
        return np.asarray(posterior.law(*(known[name] for name in names), **natural))

    return losses


@typed
def experts_worth(
    fit: Fit,
    experts: float | Sequence[float],
    *,
    active_params: float | None = None,
    tokens: float | None = None,
) -> xr.DataArray:
    """Parameters of the dense model of equal loss over active ones, of the law as it bends.

    Parameters
    ----------
    fit : Fit
        As in `best_experts`.
    experts : float or sequence of float
    active_params : float, optional
        At which it is asked; by default the geometric mean of the runs. Only where the law bends
        does the answer depend on it, and on the tokens.
    tokens : float, optional
        By default likewise.

    Returns
    -------
    xarray.DataArray
        Dims chain, draw and ``experts``; infinite where no dense model of twice as many parameters
        as experts would have it reaches the loss.
    """
    require_law(fit)
    posterior, asked = Posterior.of(fit), np.atleast_1d(np.asarray(experts, dtype=float))
    middle = {
        name: float(np.exp(np.log(fit.runs.column(name)).mean())) if value is None else value
        for name, value in {"active_params": active_params, "tokens": tokens}.items()
    }
    active, data = middle["active_params"], middle["tokens"]
    losses, found = _losses(posterior), []
    for number in asked:
        own = losses(np.array([active]), np.array([data]), float(number))[:, 0]
        found.append(_replaced(losses, own, active, data, 2 * max(number, 2.0)) / active)
    return posterior.from_rows({"worth": np.stack(found, axis=1)}, experts=asked)["worth"]


@typed
def require_law(fit: Fit) -> None:
    """Refuse fits of laws that say nothing of experts.

    Parameters
    ----------
    fit : Fit

    Raises
    ------
    FitError
    """
    if fit.spec.law.name not in (JOINT, OF_SIZE):
        raise FitError(
            f"the model {fit.spec.name} says nothing of experts; fit experts_model(runs)"
        )


def _plan(posterior: Posterior, caps: _Caps, number: float) -> dict[str, Any]:
    """Find the plan of one number of experts, and what dense models do beside it."""
    losses = _losses(posterior)
    sizes = caps.sizes(caps.most(number))
    if caps.tokens is not None:
        sizes = sizes[-1:]  # with the same tokens the largest is the best
    tried = losses(sizes, caps.tokens_of(sizes), number)
    best = int(tried.mean(axis=0).argmin())
    active, tokens = float(sizes[best]), float(caps.tokens_of(sizes)[best])
    own = tried[:, best]

    def best_dense(largest: float) -> np.ndarray:
        """Losses of the best dense model with as much training, of at most so many parameters."""
        if caps.tokens is not None:
            return losses(np.array([largest]), np.array([tokens]), 1.0)[:, 0]
        dense = caps.sizes(largest)
        each = losses(dense, caps.flops / (caps.k * dense), 1.0)
        return each[:, int(each.mean(axis=0).argmin())]

    total = caps.total(active, number)
    free = np.sqrt(caps.flops / (caps.k * caps.least_ratio)) if caps.tokens is None else active
    nothing = np.full(len(own), np.nan)
    return {
        "active_params": active,
        "tokens": tokens,
        "loss": own,
        "best_active_params": sizes[tried.argmin(axis=1)],
        "replaces": _replaced(losses, own, active, tokens, 2 * max(number, 2.0)),
        "over_memory": nothing if np.isnan(total) else best_dense(total) - own,
        "over_compute": best_dense(float(free)) - own,
    }


def _replaced(
    losses: _Losses, own: np.ndarray, active: float, tokens: float, times: float
) -> np.ndarray:
    """Find the least dense model, from half the active ones on, that reaches each loss."""
    sizes = np.geomspace(active / 2, active * times, 2 * _SIZES)
    dense = losses(sizes, np.full(len(sizes), tokens), 1.0)
    reached = dense <= own[:, None]
    last = np.maximum(reached.argmax(axis=1), 1)
    rows = np.arange(len(own))
    above, below = dense[rows, last - 1], dense[rows, last]
    part = np.clip((above - own) / np.maximum(above - below, 1e-12), 0.0, 1.0)
    found = sizes[last - 1] * (sizes[1] / sizes[0]) ** part
    return np.where(reached.any(axis=1), found, np.inf)


@typed
def answer_experts(fits: Mapping[str, Fit], found: Mapping[str, xr.Dataset]) -> Answer:
    """Say how many experts are best within the caps, and what dense models would do.

    Parameters
    ----------
    fits : mapping of str to Fit
        By router; "all" where they are not told apart.
    found : mapping of str to xarray.Dataset
        What `best_experts` returns of each.

    Returns
    -------
    Answer
        Numbers ``caps`` (``flops``, ``memory``, ``serving``, ``tokens``, null where there is none)
        and ``routers``: for each ``router``, ``best`` (experts of the plan of least expected loss),
        ``gamma``, ``share`` (``used``, and ``least``, ``largest`` of the runs) and ``plans``, one a
        number of ``experts``: ``active_params``, ``params``, ``tokens``, ``loss``,
        ``best_active_params``, ``replaces``, ``compute_gain`` (replaced over active parameters),
        ``p_best``, ``p_beats_equal_memory``, ``p_beats_equal_compute``,
        ``decades_beyond``.
    """
    first = next(iter(found.values()))
    told = plain(
        {
            "caps": {name: first.attrs[name] for name in ("flops", "memory", "serving", "tokens")},
            "routers": [_router(name, fits[name], own) for name, own in found.items()],
        }
    )
    sentences = [
        said for entry in told["routers"] for said in _sentences(entry, fits[entry["router"]])
    ]
    if any(fit.spec.law.name == OF_SIZE for fit in fits.values()):
        sentences.append(_same_tokens(next(iter(fits.values()))))
    draws = first if len(found) == 1 else None
    return Answer.by(*fits.values(), numbers=told, sentences=sentences, draws=draws)


def _router(name: str, fit: Fit, found: xr.Dataset) -> dict[str, Any]:
    """Numbers of one router."""
    best = found["loss"].argmin("experts")
    plans = []
    for place, number in enumerate(found["experts"].to_numpy()):
        own = found.sel(experts=number)
        memory = own["over_memory"]
        active, tokens = float(own["active_params"]), float(own["tokens"])
        trained = {"tokens": tokens, "flops": found.attrs["k"] * active * tokens}
        beyond = Posterior.of(fit).beyond(
            active_params=active,
            experts=float(number),
            **(trained if fit.spec.law.name == JOINT else {}),
        )
        plans.append(
            {
                "experts": float(number),
                **{n: float(own[n]) for n in ("active_params", "params", "tokens")},
                **{n: numbers(own[n]) for n in ("loss", "best_active_params", "replaces")},
                "compute_gain": numbers(own["replaces"] / own["active_params"]),
                "p_best": float((best == place).mean()),
                "p_beats_equal_memory": _chance(memory, number),
                "p_beats_equal_compute": _chance(own["over_compute"], number),
                "decades_beyond": float(beyond),
            }
        )
    known = expert_share(fit.runs)
    return {
        "router": name,
        "best": float(
            found["experts"][int(found["loss"].mean(("chain", "draw")).to_numpy().argmin())]
        ),
        "gamma": numbers(fit.natural["gamma"]),
        "share": {
            "used": found.attrs["share"],
            "least": known[1] if known else None,
            "largest": known[2] if known else None,
        },
        "plans": plans,
    }


def _chance(over: xr.DataArray, number: float) -> float | None:
    """Probability that dense models lose more; none of a dense one, or where memory is unknown."""
    if number == 1 or bool(over.isnull().all()):
        return None
    return float((over > 0).mean())


def _sentences(entry: dict[str, Any], fit: Fit) -> Iterator[str]:
    """Say the best plan of a router, what is beside it, and how far to trust it."""
    own = next(plan for plan in entry["plans"] if plan["experts"] == entry["best"])
    name = "" if entry["router"] == "all" else f"{entry['router']}: "
    size = own["best_active_params"]
    open_size = size["q05"] != size["q95"]
    yield (
        f"{name}best within the caps: {_model(own)}, loss {loss_of(own['loss'])}. That number of "
        f"experts is the best with a probability of {words.chance(own['p_best'])}"
        + (f"; with it {count_of(size)} active parameters are." if open_size else ".")
    )
    yield f"{name}{_others(entry)}"
    if own["experts"] > 1:
        yield from (f"{name}{said}" for said in _beside_dense(own))
    if own["decades_beyond"]:
        yield f"{name}{distance(own['decades_beyond'], bends=fit.bends)}"
    if fit.spec.law.name == JOINT and (
        outside := Ratios.of(fit.runs, None, None).mark(own["tokens"] / own["active_params"])
    ):
        yield f"{name}{outside}"
    shares = entry["share"]
    if shares["least"] is not None and shares["used"] is not None:
        yield (
            f"{name}every further expert adds {shares['used']:.2g} of the active parameters to all "
            f"of them; in the runs {shares['least']:.2g} to {shares['largest']:.2g}."
        )


def _others(entry: dict[str, Any]) -> str:
    """Say the loss with the other numbers of experts that are the best in some draws."""
    others = sorted(entry["plans"], key=lambda plan: -plan["p_best"])
    others = [plan for plan in others if plan["experts"] != entry["best"]][:_OTHERS]
    told = "; ".join(
        f"{_count(plan['experts'])} {words.significant(plan['loss']['median'])}, best with "
        f"{words.chance(plan['p_best'])}"
        for plan in sorted(others, key=lambda plan: plan["experts"])
    )
    return f"The best model of another number of experts has the loss: {told}."


def _count(number: float) -> str:
    return "dense" if number == 1 else f"{number:g} experts"


def _beside_dense(own: dict[str, Any]) -> Iterator[str]:
    """Say what dense models do beside a plan with experts."""
    yield (
        "experts beat the best dense model of equal compute with a probability of "
        f"{words.chance(own['p_beats_equal_compute'])}"
        + (
            "; of equal memory nothing is said, as no run states all of its parameters."
            if own["p_beats_equal_memory"] is None
            else f", and the best one of equal memory, {words.count(own['params'])} parameters, "
            f"with {words.chance(own['p_beats_equal_memory'])}."
        )
    )
    yield (
        f"it replaces a dense model of {count_of(own['replaces'])} parameters at the same tokens, "
        f"so that compute, of training and of serving, is worth {number_of(own['compute_gain'])} "
        "times as much"
        + (
            "."
            if own["params"] is None
            else f", for {own['params'] / own['active_params']:.3g} times the memory of its active "
            "parameters."
        )
    )


def _model(plan: dict[str, Any]) -> str:
    """Name a plan."""
    tokens = f"{words.count(plan['tokens'])} tokens"
    if plan["experts"] == 1:
        return f"a dense model of {words.count(plan['active_params'])} parameters on {tokens}"
    total = "" if plan["params"] is None else f" of {words.count(plan['params'])} parameters"
    return (
        f"{plan['experts']:g} experts, {words.count(plan['active_params'])} active{total}, on "
        f"{tokens}"
    )


def _same_tokens(fit: Fit) -> str:
    """Say that runs with the same tokens know of no others."""
    most = axis_range(fit.runs, "tokens")[1]
    return (
        f"All runs have {words.count(most)} tokens, so these models have too, and a dense one of "
        "equal memory takes more compute: what more tokens are worth these runs do not say."
    )
