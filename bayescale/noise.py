r"""Noise on log loss, one class a kind; model files name them.

Every kind says the same three things from the same symbols: the PyMC distribution that is observed,
its log density in NumPy, and draws from it. `mu` is the log of the law; `scale` the sd (or scale) of
the symmetric part, for a cell of m replicates :math:`\sqrt{\sigma^2 + \sigma_{seed}^2 / m}`, see
`noise_scale`; `values` the noise parameters; `inputs` the columns that the law reads.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import xarray as xr
from scipy.special import gammaln, log_ndtr

type Values = Mapping[str, Any]
"""Arrays or tensors by name."""

SEED = "sigma_seed"
"""Sd of log loss between seeds of one configuration; any model file may state a prior on it."""


class Noise(Protocol):
    """What a kind of noise must say."""

    parameters: tuple[str, ...]
    """What needs a prior in the model file."""

    def pymc(self, mu: Any, scale: Any, values: Values, inputs: Values) -> tuple[Any, Values]:
        """Return the PyMC distribution of log loss, and its arguments as tensors."""

    def log_density(self, y: Any, mu: Any, scale: Any, values: Values, inputs: Values) -> Any:
        """Return the log density of log loss `y` in NumPy or xarray, equal to PyMC's own."""

    def draw(
        self, rng: np.random.Generator, mu: xr.DataArray, scale: Any, values: Values, inputs: Values
    ) -> xr.DataArray:
        """Draw one noisy log loss for each entry of `mu`."""


class Normal:
    """Normal noise of sd ``sigma``."""

    parameters = ("sigma",)

    def pymc(self, mu: Any, scale: Any, values: Values, inputs: Values) -> tuple[Any, Values]:
        """See `Noise`."""
        import pymc as pm  # takes seconds; reading model files does not need it

        return pm.Normal, {"mu": mu, "sigma": scale}

    def log_density(self, y: Any, mu: Any, scale: Any, values: Values, inputs: Values) -> Any:
        """See `Noise`."""
        return -0.5 * ((y - mu) / scale) ** 2 - np.log(scale) - 0.5 * np.log(2 * np.pi)

    def draw(
        self, rng: np.random.Generator, mu: xr.DataArray, scale: Any, values: Values, inputs: Values
    ) -> xr.DataArray:
        """See `Noise`."""
        return mu + scale * mu.copy(data=rng.standard_normal(mu.shape))


class StudentT:
    """Student-t noise of scale ``sigma`` and ``nu`` degrees of freedom: a few runs lie far off."""

    parameters = ("sigma", "nu")

    def pymc(self, mu: Any, scale: Any, values: Values, inputs: Values) -> tuple[Any, Values]:
        """See `Noise`."""
        import pymc as pm

        return pm.StudentT, {"mu": mu, "sigma": scale, "nu": values["nu"]}

    def log_density(self, y: Any, mu: Any, scale: Any, values: Values, inputs: Values) -> Any:
        """See `Noise`."""
        nu = values["nu"]
        constant = xr.apply_ufunc(_log_gamma_ratio, nu) - 0.5 * np.log(nu * np.pi) - np.log(scale)
        return constant - 0.5 * (nu + 1) * np.log1p(((y - mu) / scale) ** 2 / nu)

    def draw(
        self, rng: np.random.Generator, mu: xr.DataArray, scale: Any, values: Values, inputs: Values
    ) -> xr.DataArray:
        """See `Noise`."""
        nu = values["nu"].broadcast_like(mu).transpose(*mu.dims)
        return mu + scale * mu.copy(data=rng.standard_t(nu.to_numpy()))


class Undertuned:
    r"""Normal noise, and a share of runs that are worse than the law: undertuned or unfinished.

    With probability ``share`` a run lies above the law by an exponential excess of mean ``excess``:

    .. math:: p(y) = (1 - s)\, N(y \mid \mu, \sigma) + s\, \mathrm{ExGaussian}(y \mid \mu, \sigma, x)

    Runs can miss the loss their size and data allow, they hardly beat it, so the law is the lower
    edge of the runs rather than their middle.
    """

    parameters = ("sigma", "excess", "share")

    def pymc(self, mu: Any, scale: Any, values: Values, inputs: Values) -> tuple[Any, Values]:
        """See `Noise`."""
        import pymc as pm
        import pytensor.tensor as pt

        share = pt.broadcast_to(values["share"], pt.as_tensor_variable(mu).shape)
        parts = [pm.Normal.dist(mu, scale), pm.ExGaussian.dist(mu, scale, nu=values["excess"])]
        return pm.Mixture, {"w": pt.stack([1 - share, share], axis=-1), "comp_dists": parts}

    def log_density(self, y: Any, mu: Any, scale: Any, values: Values, inputs: Values) -> Any:
        """See `Noise`."""
        good = Normal().log_density(y, mu, scale, values, inputs)
        bad = xr.apply_ufunc(_log_exgaussian, y - mu, scale, values["excess"])
        share = values["share"]
        return np.logaddexp(np.log1p(-share) + good, np.log(share) + bad)

    def draw(
        self, rng: np.random.Generator, mu: xr.DataArray, scale: Any, values: Values, inputs: Values
    ) -> xr.DataArray:
        """See `Noise`."""
        bad = mu.copy(data=rng.random(mu.shape)) < values["share"]
        excess = values["excess"] * mu.copy(data=rng.standard_exponential(mu.shape))
        return Normal().draw(rng, mu, scale, values, inputs) + bad * excess


NOISE: dict[str, Noise] = {
    "StudentT": StudentT(),
    "Normal": Normal(),
    "Undertuned": Undertuned(),
}
"""Kinds of noise by the name that model files use."""


def noise_scale(values: Values, replicates: Any = 1.0) -> Any:
    r"""Scale of the mean of m replicates, :math:`\sqrt{\sigma^2 + \sigma_{seed}^2 / m}`.

    Misfit of the law is the same for every seed of a configuration, so replicates do not shrink it.
    Where nothing tells the seeds' share apart, ``sigma`` is all there is.
    """
    if SEED not in values:
        return values["sigma"]
    return np.sqrt(values["sigma"] ** 2 + values[SEED] ** 2 / replicates)


def _log_gamma_ratio(nu: np.ndarray) -> np.ndarray:
    """Log of Gamma((nu + 1)/2) / Gamma(nu/2)."""
    return gammaln((nu + 1) / 2) - gammaln(nu / 2)


def _log_exgaussian(centred: np.ndarray, sigma: np.ndarray, excess: np.ndarray) -> np.ndarray:
    """Log density of Normal(0, sigma) + Exponential(excess); Normal where the excess is tiny."""
    ratio = sigma / excess  # PyMC, too, drops an excess below a twentieth of sigma
    tail = -np.log(excess) - centred / excess + 0.5 * ratio**2 + log_ndtr(centred / sigma - ratio)
    normal = -0.5 * (centred / sigma) ** 2 - np.log(sigma) - 0.5 * np.log(2 * np.pi)
    return np.where(excess > 0.05 * sigma, tail, normal)
