r"""Which runs to make next, so that a decision becomes surer: from the draws alone.

A new run at inputs x will show :math:`y = f(x) + \epsilon`, f the law's log loss. Among the draws f
covaries with the quantity q that decides (by default the log of N* at a budget), so to first order
the run is expected to reduce the variance of q by

.. math:: \frac{\mathrm{Cov}(q, f)^2}{\mathrm{Var}(f) + \sigma^2}

(preposterior analysis; exact where the posterior is Gaussian). After each pick the draws' Gaussian
moments are conditioned on it, so the next pick is one that tells something else.

In a pool each member is conditioned by its own moments, as a fit of the pool that has the new runs
would be. How far the members' means of q lie apart stays in the variance and is credited to no run:
the pool takes as many draws of each member whatever runs say, so none decides between members.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayescale import words
from bayescale.arguments import typed
from bayescale.decisions.allocation import compute_optimal
from bayescale.decisions.answer import Answer
from bayescale.decisions.prices import require_positive
from bayescale.decisions.ratios import Ratios, failed_beyond
from bayescale.decisions.repetition import loss_with_excess
from bayescale.display import Bold, Grid, Part, Shown
from bayescale.errors import FitError
from bayescale.files import plain
from bayescale.modelling.noise import noise_scale
from bayescale.posterior.fit import Fit
from bayescale.posterior.posterior import Posterior

_BUDGETS, _RATIOS = 20, 20  # of the grid of candidates
_SMALLER = "more, smaller runs"


@typed
def log_optimum(fit: Fit, flops: float, *, k: float | None = None) -> xr.DataArray:
    """Natural log of N* at a budget: the default quantity to make surer.

    Parameters
    ----------
    fit : Fit
        Of a joint law.
    flops : float
    k : float, optional
        FLOPs per parameter and token, as in `compute_optimal`.

    Returns
    -------
    xarray.DataArray
        Dims (chain, draw).
    """
    k = Posterior.of_joint_law(fit, k).k  # refuses several groups
    best = compute_optimal(fit, flops, k=k, exponents=False)["params"].squeeze("flops")
    return xr.ufuncs.log(best.drop_vars("flops")).rename(f"log N* at {words.flops(flops)} FLOPs")


@typed
def candidate_runs(
    fit: Fit,
    max_flops: float,
    *,
    min_ratio: float | None = None,
    max_ratio: float | None = None,
    k: float | None = None,
) -> pd.DataFrame:
    """Candidate runs on a grid: 20 budgets, each with 20 numbers of tokens per parameter.

    Parameters
    ----------
    fit : Fit
        Of a joint law.
    max_flops : float
        Most that one run may cost; the least is what the smallest run of the fit cost (for a fit
        without runs 1e-4 of the most).
    min_ratio, max_ratio : float, optional
        Fewest and most tokens per parameter; by default those of the runs (without runs 1 and 500):
        further out a run would test the law rather than tell its parameters.
    k : float, optional
        FLOPs per parameter and token, as in `compute_optimal`.

    Returns
    -------
    pandas.DataFrame
        ``params``, ``tokens``, ``flops``.

    Raises
    ------
    FitError
        If the budget is below the cost of the smallest run, or no ratio is allowed.
    """
    posterior = Posterior.of_joint_law(fit, k)
    require_positive("max_flops", max_flops)
    k, table = posterior.k, posterior.runs.table
    ratios = Ratios.of(posterior.runs, min_ratio, max_ratio)
    low, high = ratios.low or min(1.0, ratios.high), ratios.high
    high = high if np.isfinite(high) else max(500.0, low)
    least = max_flops * 1e-4
    if len(table):
        least = float((k * table["params"] * table["tokens"]).min())
    if max_flops < least:
        raise FitError(
            f"{words.flops(max_flops)} FLOPs do not pay the smallest of these runs, "
            f"{words.flops(least)}; raise the budget or name the candidates"
        )
    several = _RATIOS if high > low * 1.001 else 1
    flops, ratio = np.meshgrid(
        np.geomspace(least, max_flops, _BUDGETS), np.geomspace(low, high, several)
    )
    params = np.sqrt(flops / (k * ratio)).ravel()
    return _priced(pd.DataFrame({"params": params, "tokens": params * ratio.ravel()}), k)


@dataclass(frozen=True, repr=False)
class NextRuns(Shown):
    """Runs to make next, and what they are expected to do.

    Parameters
    ----------
    picks : pandas.DataFrame
        The runs in the order they were picked: ``params``, ``tokens``, ``flops``, and
        ``reduction``, the share of the variance of the quantity that is gone after this run and
        those before it; what lies between members of a pool stays.
    candidates : pandas.DataFrame
        All that was considered; ``reduction`` of each alone, and ``per_flop``.
    baselines : pandas.DataFrame
        What the budget does when it is spent as usual: ``spent_on``, ``runs``, ``flops``,
        ``reduction``; on one more isoFLOP of as many sizes as runs may be picked, and on the
        largest run again, at most as many times; where fewer than these are picked also on the most
        that would be, smaller ones.
    quantity : str
        What is to become surer.
    sd : float
        Its posterior standard deviation now.
    ratios : Ratios
        Tokens per parameter that candidates may have; those that were given may lie outside.
    """

    picks: pd.DataFrame
    candidates: pd.DataFrame
    baselines: pd.DataFrame
    quantity: str
    sd: float
    ratios: Ratios

    def _parts(self) -> Iterator[Part]:
        yield Bold(f"Runs to make {self.quantity} surer")
        yield Grid(
            ("params", "tokens", "FLOPs", "variance removed so far"),
            [
                (
                    words.count(run["params"]),
                    words.count(run["tokens"]),
                    words.flops(run["flops"]),
                    f"{run['reduction']:.0%}",
                )
                for run in self.picks.to_dict("records")
            ],
        )
        sds = words.told_apart(self.sd, self.expected_sd)
        yield f"Its sd is {sds[0]}, and {sds[1]} is expected."
        yield "Ask next: answer_next_runs(fit, these)"

    @property
    def expected_sd(self) -> float:
        """Standard deviation expected after the picks."""
        return self.sd * float(np.sqrt(1.0 - self.picks["reduction"].iloc[-1]))


@typed
def suggest_runs(
    fit: Fit,
    quantity: float | xr.DataArray,
    *,
    max_flops: float,
    runs: int = 5,
    candidates: pd.DataFrame | None = None,
    min_ratio: float | None = None,
    max_ratio: float | None = None,
    k: float | None = None,
) -> NextRuns:
    """Pick affordable runs that are expected to make a quantity surest.

    Runs are picked one after the other, each the one that reduces the variance most given those
    before it, among those that cost at most 1/1, 1/2, ..., 1/`runs` of the budget; of these
    batches the best is returned.

    Parameters
    ----------
    fit : Fit
        Of a joint law, with noise.
    quantity : float or xarray.DataArray
        Draws of what decides, dims (chain, draw); of a number, a budget, `log_optimum` of it.
    max_flops : float
        Budget of all new runs together.
    runs : int
        Most runs to pick.
    candidates : pandas.DataFrame, optional
        ``params`` and ``tokens`` of the runs that can be made; by default `candidate_runs`.
    min_ratio, max_ratio : float, optional
        Of `candidate_runs`.
    k : float, optional
        FLOPs per parameter and token, as in `compute_optimal`.

    Returns
    -------
    NextRuns

    Raises
    ------
    FitError
        If nothing is affordable, the quantity is the same in every draw, or the fit has no noise.
    """
    k = Posterior.of_joint_law(fit, k).k
    require_positive("max_flops", max_flops)
    quantity = _decides(fit, quantity, k)
    if runs < 1:
        raise FitError(f"at least one run must be allowed, got {runs}")
    ratios = Ratios.of(fit.runs, min_ratio, max_ratio)
    if candidates is None:
        table = candidate_runs(fit, max_flops, min_ratio=min_ratio, max_ratio=max_ratio, k=k)
    else:
        table = _priced(candidates, k)
    moments = _Moments.of(fit, quantity, table)
    flops = table["flops"].to_numpy()
    if not (flops <= max_flops).any():
        raise FitError(
            f"no candidate costs {words.flops(max_flops)} FLOPs or less; the cheapest costs "
            f"{words.flops(flops.min())}"
        )
    batches = [
        _greedy(moments, flops, max_flops, runs, max_flops / share) for share in range(1, runs + 1)
    ]
    best = max(batches, key=lambda batch: batch[1][-1] if batch[1] else -1.0)
    most = max(batches, key=lambda batch: (len(batch[0]), *batch[1][-1:]))
    baselines = _baselines(fit, quantity, max_flops, runs, k, ratios)
    if len(most[0]) > len(best[0]):
        smaller = [_SMALLER, len(most[0]), flops[most[0]].sum(), most[1][-1]]
        baselines.loc[len(baselines)] = smaller
    picks = table.iloc[best[0]].reset_index(drop=True).assign(reduction=best[1])
    alone = moments.gains() / moments.variance
    return NextRuns(
        picks,
        table.assign(reduction=alone, per_flop=alone / flops),
        baselines,
        str(quantity.name or "the quantity"),
        float(np.sqrt(moments.variance)),
        ratios,
    )


@typed
def expected_reduction(fit: Fit, quantity: float | xr.DataArray, new: pd.DataFrame) -> float:
    """Share of the variance of a quantity that runs are expected to remove, all together.

    Parameters
    ----------
    fit, quantity
        As in `suggest_runs`.
    new : pandas.DataFrame
        ``params`` and ``tokens`` of the runs.

    Returns
    -------
    float
        Between 0 and 1.
    """
    k = fit.runs.flops_per_param_token
    moments = _Moments.of(fit, _decides(fit, quantity, k), _priced(new, k))
    variance = moments.variance
    for row in range(len(new)):
        moments = moments.after(row)
    return 1.0 - moments.variance / variance


def _decides(fit: Fit, quantity: float | xr.DataArray, k: float) -> xr.DataArray:
    """Give draws of what decides, where a budget stands for its best size."""
    return quantity if isinstance(quantity, xr.DataArray) else log_optimum(fit, quantity, k=k)


@dataclass(frozen=True)
class _Moments:
    """Gaussian moments of the candidates' log losses and of the quantity, which comes last.

    Of each member of a pool; of one member where the draws are no pool.
    """

    share: np.ndarray  # of the draws, (members,)
    covariance: np.ndarray  # within each member
    noise: np.ndarray  # variance, of each candidate, (members, candidates)
    between: float  # variance of the members' means of the quantity

    @classmethod
    def of(cls, fit: Fit, quantity: xr.DataArray, table: pd.DataFrame) -> "_Moments":
        """Take them from the draws that the quantity is of."""
        names = [name for name in ("params", "tokens", "unique_tokens") if name in table]
        inputs = {name: xr.DataArray(table[name].to_numpy(float), dims="run") for name in names}
        inputs.setdefault("unique_tokens", inputs["tokens"])
        posterior = Posterior.of_joint_law(fit)
        loss = loss_with_excess(posterior, inputs)
        logs, noise = (
            values.transpose("chain", "draw", "run").to_numpy().reshape(-1, len(table))
            for values in (xr.ufuncs.log(loss), _noise_variance(posterior, inputs))
        )
        decides = quantity.transpose("chain", "draw").to_numpy().ravel()
        draws = np.column_stack([logs, decides])
        defined = ~np.isnan(decides)  # where it is undefined no run can make it surer
        if not defined.any() or not np.isfinite(draws[defined]).all():
            raise FitError("the quantity or a candidate's loss is not finite in every draw")
        if np.ptp(decides[defined]) == 0:
            raise FitError("the quantity is the same in every draw: no run can make it surer")
        member = _member(fit)
        own = [defined & (member == number) for number in np.unique(member[defined])]
        share = np.array([rows.sum() for rows in own]) / defined.sum()
        means = np.array([decides[rows].mean() for rows in own])
        return cls(
            share,
            np.stack([_covariance(draws[rows]) for rows in own]),
            np.stack([noise[rows].mean(axis=0) for rows in own]),
            float(share @ (means - share @ means) ** 2),
        )

    @property
    def variance(self) -> float:
        """Variance of the quantity, of all members together."""
        return float(self.share @ self.covariance[:, -1, -1]) + self.between

    def gains(self) -> np.ndarray:
        """By how much each candidate alone reduces it."""
        own = np.diagonal(self.covariance, axis1=1, axis2=2)[:, :-1]
        return self.share @ (self.covariance[:, -1, :-1] ** 2 / (own + self.noise))

    def after(self, pick: int) -> "_Moments":
        """Condition on a run at a candidate."""
        column = self.covariance[:, :, pick]
        seen = column[:, pick] + self.noise[:, pick]
        told = column[:, :, None] * column[:, None, :] / seen[:, None, None]
        return replace(self, covariance=self.covariance - told)


def _member(fit: Fit) -> np.ndarray:
    """Say of which member of a pool each draw is, chain after chain."""
    posterior = fit.posterior
    of_chain = posterior.coords.get("member", 0 * posterior["chain"])
    return np.repeat(of_chain.to_numpy(), posterior.sizes["draw"])


def _covariance(draws: np.ndarray) -> np.ndarray:
    """Of draws in rows; a single draw has no spread."""
    apart = draws - draws.mean(axis=0)
    return apart.T @ apart / max(len(draws) - 1, 1)


def _greedy(
    moments: _Moments, flops: np.ndarray, budget: float, runs: int, most: float
) -> tuple[list[int], list[float]]:
    """Pick what helps most, again and again, while the budget lasts."""
    picks: list[int] = []
    first, reductions = moments.variance, []
    for _ in range(runs):
        affordable = (flops <= min(most, budget) * (1 + 1e-9)) & ~np.isin(
            np.arange(len(flops)), picks
        )
        if not affordable.any():
            break
        pick = int(np.where(affordable, moments.gains(), -1.0).argmax())
        moments, budget = moments.after(pick), budget - flops[pick]
        picks.append(pick)
        reductions.append(1.0 - moments.variance / first)
    return picks, reductions


def _baselines(
    fit: Fit, quantity: xr.DataArray, max_flops: float, runs: int, k: float, ratios: Ratios
) -> pd.DataFrame:
    """Spend the same compute as people do: the largest run again, or one more isoFLOP."""
    batches = {"one more isoFLOP": _isoflop(fit, max_flops / runs, runs, k, ratios)}
    if len(fit.runs):
        place = int(fit.runs.column("flops").argmax())
        largest = fit.runs.table[["params", "tokens"]].iloc[[place]]
        times = int(max_flops // float(k * (largest["params"] * largest["tokens"]).iloc[0]))
        if times:
            repeated = pd.concat([largest] * min(times, runs), ignore_index=True)
            batches["the largest run again"] = _priced(repeated, k)
    return pd.DataFrame(
        {
            "spent_on": name,
            "runs": len(batch),
            "flops": batch["flops"].sum(),
            "reduction": expected_reduction(fit, quantity, batch),
        }
        for name, batch in batches.items()
    )


def _isoflop(fit: Fit, flops: float, runs: int, k: float, ratios: Ratios) -> pd.DataFrame:
    """Sizes from a quarter to four times the best one, all at one budget, within the ratios."""
    best = float(np.exp(log_optimum(fit, flops, k=k).median()))
    sizes = best * (np.geomspace(0.25, 4.0, runs) if runs > 1 else np.ones(1))
    least, most = (
        np.sqrt(flops / (k * ratio)) if ratio else np.inf for ratio in (ratios.high, ratios.low)
    )
    params = np.clip(sizes, least, most)
    return _priced(pd.DataFrame({"params": params, "tokens": flops / (k * params)}), k)


def _priced(table: pd.DataFrame, k: float) -> pd.DataFrame:
    """Check sizes and tokens; a run costs what the table says, else kND."""
    names = [name for name in ("params", "tokens", "unique_tokens", "flops") if name in table]
    table = table.assign(**{n: pd.to_numeric(table[n], errors="coerce") for n in names})
    for name in dict.fromkeys(("params", "tokens", *names)):
        if name not in table or not (np.isfinite(table[name]) & (table[name] > 0)).all():
            raise FitError(f"candidates need a positive {name} in every row")
    if "flops" not in table:
        table["flops"] = k * table["params"] * table["tokens"]
    return table.reset_index(drop=True)


def _noise_variance(posterior: Posterior, inputs: dict[str, xr.DataArray]) -> xr.DataArray:
    """Variance of Normal noise that tells as much as each run does, dims (chain, draw, run).

    Of Student-t noise (nu + 3)/(nu + 1) times the squared scale: the inverse Fisher information.
    The spread of what repeating data, or undertuning, adds is noise as well.
    """
    noise = posterior.noise
    if "sigma" not in noise:
        raise FitError("these constants have no noise: give sigma, else every run would tell all")
    variance = noise_scale(noise) ** 2
    if "nu" in noise:
        variance = variance * (noise["nu"] + 3) / (noise["nu"] + 1)
    if "share" in noise:
        variance = variance + noise["share"] * (2 - noise["share"]) * noise["excess"] ** 2
    if posterior.mean_excess is not None:
        variance = variance + posterior.mean_excess(noise, inputs) ** 2
    return variance + 0.0 * inputs["params"]


@typed
def answer_next_runs(fit: Fit, suggestion: NextRuns) -> Answer:
    """Say which runs to make, and what they and the usual ones would do; see `suggest_runs`.

    Parameters
    ----------
    fit : Fit
    suggestion : NextRuns

    Returns
    -------
    Answer
        Numbers: ``quantity``, ``sd``, ``expected_sd``, ``next_runs``, ``baselines``, and
        ``ratios``, the tokens per parameter of the candidates.
    """
    result = plain(
        {
            "quantity": suggestion.quantity,
            "sd": suggestion.sd,
            "expected_sd": suggestion.expected_sd,
            "next_runs": suggestion.picks.to_dict("records"),
            "baselines": suggestion.baselines.to_dict("records"),
            "ratios": suggestion.ratios.record,
        }
    )
    sentences = [*_next_sentences(result), *_where(suggestion)]
    sentences += failed_beyond(fit, suggestion.picks["params"], suggestion.picks["tokens"])
    return Answer.by(fit, numbers=result, sentences=sentences)


def _where(suggestion: NextRuns) -> list[str]:
    """Say which tokens per parameter the runs have, and which of them lie outside."""
    ratios, picks = suggestion.ratios, suggestion.picks
    if not ratios.source:
        return []
    out = picks[ratios.outside(picks["tokens"] / picks["params"])]
    if len(out):
        named = "; ".join(
            f"{words.count(run['params'])} parameters on {words.count(run['tokens'])} tokens"
            for run in out.to_dict("records")
        )
        return [f"Outside {ratios}: {named}."]
    return [f"All have {ratios.said}."]


def _spread(sd: float, logarithm: bool) -> str:
    """Write a standard deviation, of a logarithm with the factor that it stands for."""
    said = words.significant(sd, 3)
    return f"{said} (a factor of {words.significant(np.exp(sd), 3)})" if logarithm else said


def _next_sentences(result: dict[str, Any]) -> list[str]:
    runs, last = result["next_runs"], result["next_runs"][-1]
    listed = "; ".join(
        f"{words.count(run['params'])} parameters on {words.count(run['tokens'])} tokens "
        f"({words.flops(run['flops'])} FLOPs)"
        for run in runs
    )
    total = words.flops(sum(run["flops"] for run in runs))
    several = f"Together they take {total} FLOPs and" if len(runs) > 1 else "It"
    logarithm = result["quantity"].startswith("log ")
    now, then = (_spread(result[name], logarithm) for name in ("sd", "expected_sd"))
    sentences = [
        f"To make {result['quantity']} surer, run: {listed}.",
        f"{several} should lower its sd from {now} to {then}, {last['reduction']:.0%} less "
        "variance.",
    ]
    sentences += [
        f"Spent on {baseline['spent_on']} ({baseline['runs']} runs), "
        f"{words.flops(baseline['flops'])} FLOPs remove {baseline['reduction']:.0%}"
        + (": fewer, larger ones tell more." if baseline["spent_on"] == _SMALLER else ".")
        for baseline in result["baselines"]
    ]
    return sentences
