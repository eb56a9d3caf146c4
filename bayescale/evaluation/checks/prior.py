"""What of the posterior is the prior's: power scaling, and runs that contradict it.

Power scaling raises a prior to the powers 0.8 and 1.25 and asks how far the posterior follows
(Kallioinen et al. 2024, doi:10.1007/s11222-023-10366-5), by Pareto-smoothed importance weights.
"""

import arviz_stats  # noqa: F401 - the accessor azstats
import numpy as np
import xarray as xr

from bayescale import words
from bayescale.laws import onto_line
from bayescale.modelling.build import placed
from bayescale.posterior.fit import Fit
from bayescale.runs.check import Check, Status, not_computed, worst_first

MAX_SHARE = 0.7
"""Posterior sd over prior sd above which the runs have said little about a parameter."""
MAX_CONFLICT = 3.0
"""Prior sds between the middles of prior and posterior from which on they contradict each other."""
MAX_SENSITIVITY = 0.15
"""Posterior sds by which powers of 0.8 and 1.25 of one prior may move the law's parameters; about
half an sd were the prior squared."""
_POWERS = (0.8, 1.25)


def prior_checks(fit: Fit) -> list[Check]:
    """Prior sensitivity of the law's coordinates, and conflict between their priors and the runs.

    Noise parameters are left out: their tails are known from priors alone in most tables. Of a pool
    every member is asked, and the worst of them answers.

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    list of Check
        "prior sensitivity" and "prior-data conflict".
    """
    found = [(_sensitivity(own), _conflict(own)) for own in fit.members]
    return [worst_first(checks)[0] for checks in zip(*found, strict=True)]


def _names(fit: Fit) -> list[str]:
    return [f"{n}_population" if n in fit.spec.partial else n for n in fit.spec.priors]


def _on_line(fit: Fit, name: str) -> tuple[xr.DataArray, xr.DataArray]:
    support = fit.spec.supports[name.removesuffix("_population")]
    return onto_line(support, fit.posterior[name]), onto_line(support, fit.prior[name])


def power_scaled(fit: Fit, name: str) -> float:
    """Return the largest shift of that coordinate, in posterior sds, by powers of its own prior.

    Parameters
    ----------
    fit : Fit
    name : str
        A coordinate, or its ``_population``.

    Returns
    -------
    float
    """
    plain = name.removesuffix("_population")
    posterior = fit.posterior[name]
    data = fit.tree["constant_data"].to_dataset()
    shift = data.get(f"{plain}_shift", 0.0)  # of a level that lies about its own group
    log_prior = placed(fit.spec, data).priors[plain].log_density(posterior - shift)
    value = onto_line(fit.spec.supports[plain], posterior)
    log_prior = log_prior.sum([dim for dim in value.dims if dim not in ("chain", "draw")])
    shifts = [abs(_mean_shift(value, log_prior, power)) for power in _POWERS]
    return float(max(shift.max() for shift in shifts))


def _mean_shift(value: xr.DataArray, log_prior: xr.DataArray, power: float) -> xr.DataArray:
    log_weight = log_prior.azstats.power_scale_lw(alpha=power, dim=("chain", "draw"))
    weight = xr.ufuncs.exp(log_weight - log_weight.max())
    mean = (weight * value).sum(("chain", "draw")) / weight.sum()
    return (mean - value.mean(("chain", "draw"))) / value.std(("chain", "draw"))


def _sensitivity(fit: Fit) -> Check:
    names = _names(fit)
    try:
        shifts = {name: power_scaled(fit, name) for name in names}
    except ValueError as error:  # draws of few values have no tail to smooth
        return not_computed("prior sensitivity", error)
    shares = {}
    for name in names:
        posterior, prior = _on_line(fit, name)
        shares[name] = float(
            (posterior.std(("chain", "draw")) / prior.std(("chain", "draw"))).max()
        )
    moved = [n for n in names if shifts[n] > MAX_SENSITIVITY or shares[n] > MAX_SHARE]
    largest = max(max(shares.values()) / MAX_SHARE, max(shifts.values()) / MAX_SENSITIVITY)
    if not moved:
        message = "the runs, not the priors, decide every parameter of the law"
        return Check("prior sensitivity", Status.PASS, message, statistic=largest, threshold=1.0)
    said = [
        f"{name} (posterior sd {shares[name]:.0%} of the prior's, moves by {shifts[name]:.2f} sd "
        "when its prior counts a quarter more, or as much less)"
        for name in moved
    ]
    return Check(
        "prior sensitivity",
        Status.REVIEW,
        f"prior-dominated: {'; '.join(said)}",
        "State where that prior comes from, try another, or add runs that tell it.",
        statistic=largest,
        threshold=1.0,
    )


def _conflict(fit: Fit) -> Check:
    names = _names(fit)
    apart = {}
    for name in names:
        posterior, prior = _on_line(fit, name)
        middle = posterior.mean(("chain", "draw"))
        gap = (middle - prior.mean(("chain", "draw"))) / prior.std(("chain", "draw"))
        apart[name] = float(np.abs(gap).max())
    largest = max(apart.values())
    far = [name for name in names if apart[name] > MAX_CONFLICT]
    if not far:
        message = "posteriors lie where the priors expected them"
        return Check(
            "prior-data conflict", Status.PASS, message, statistic=largest, threshold=MAX_CONFLICT
        )
    said = ", ".join(f"{n} ({words.significant(apart[n], 2)} prior sds away)" for n in far)
    return Check(
        "prior-data conflict",
        Status.REVIEW,
        f"the runs contradict the prior of {said}",
        f"Check units and what the {fit.spec.response.name} is; then widen that prior in a model "
        "file.",
        statistic=largest,
        threshold=MAX_CONFLICT,
    )
