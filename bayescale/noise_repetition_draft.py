"""Noise on the log loss of repeated data: one-sided, as far as repetition overfits."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from scipy.special import log_ndtr

from bayescale.laws import positive_part

_REPEATS = 20.0  # repetitions at which `excess` is stated, for N = U
_RANGE = 3.0  # log(N/U) beyond which the interaction grows no further
_LEAST_GROWTH = 0.2  # how softly the growth with repetition is kept above 0
_ROUNDING = 0.25  # least mean of the exponential part, in units of `scale`


class RepetitionExcess:
    r"""Normal noise plus an exponential excess whose mean grows with repetition and with N/U.

    Log loss y has the density of

    .. math:: y = \mu + \lambda - \nu + \mathrm{Exponential}(\nu) + \mathrm{Normal}(0, s),
        \qquad \nu^2 = \lambda^2 + (s/4)^2,

    which is smooth in :math:`\lambda`, has the mean :math:`\mu + \lambda`, and is about Normal
    where nothing is repeated. The mean excess of log loss after R = D/U - 1 repetitions is

    .. math:: \lambda = \mathrm{excess} \, (R/20)^g (N/U)^{\mathrm{excess\_size}},
        \qquad g \approx \mathrm{excess\_epochs} + \mathrm{excess\_interaction} \log(N/U)

    with :math:`\log(N/U)` in g bounded by 3 on both sides, and g bounded smoothly from below by 0:
    the excess never falls with repetition, and vanishes with it.

    Parameters of `values`: ``sigma``; ``excess``, the mean excess after 20 repetitions where N = U;
    ``excess_epochs``, ``excess_size`` (positive) and ``excess_interaction`` (real). `inputs` are
    ``params``, ``tokens``, ``unique_tokens``. `scale` is the standard deviation s of the Normal
    part: sigma, and what averaging over seeds leaves.
    """

    parameters = ("sigma", "excess", "excess_epochs", "excess_size", "excess_interaction")

    def pymc(
        self, mu: Any, scale: Any, values: Mapping[str, Any], inputs: Mapping[str, Any]
    ) -> tuple[Any, dict[str, Any]]:
        """Distribution of log loss as a PyMC class and its arguments; all tensors."""
        import pymc as pm  # takes seconds; reading model files does not need it

        excess = self.mean_excess(values, inputs)
        nu = _smooth(excess, scale)
        return pm.ExGaussian, {"mu": mu + excess - nu, "sigma": scale, "nu": nu}

    def log_density(
        self, y: Any, mu: Any, scale: Any, values: Mapping[str, Any], inputs: Mapping[str, Any]
    ) -> Any:
        """Log density of log losses `y`, NumPy or xarray; equal to PyMC's to 5e-8."""
        excess = self.mean_excess(values, inputs)
        nu = _smooth(excess, scale)
        ratio = scale / nu
        above = (y - mu - excess + nu) / scale
        return -np.log(nu) - ratio * above + ratio**2 / 2 + _log_ndtr(above - ratio)

    def draw(
        self,
        rng: np.random.Generator,
        mu: xr.DataArray,
        scale: Any,
        values: Mapping[str, Any],
        inputs: Mapping[str, Any],
    ) -> xr.DataArray:
        """Noisy log losses around `mu`, one for each of its entries."""
        excess = self.mean_excess(values, inputs)
        nu = _smooth(excess, scale)
        centre = mu + excess - nu + 0.0 * scale
        exponential = centre.copy(data=rng.standard_exponential(centre.shape))
        normal = centre.copy(data=rng.standard_normal(centre.shape))
        return centre + nu * exponential + scale * normal

    def mean_excess(self, values: Mapping[str, Any], inputs: Mapping[str, Any]) -> Any:
        """Mean excess of log loss; 0 where no token is repeated."""
        log_repeats, log_size = _repetition(inputs)
        repeats = np.expm1(log_repeats)
        repeated = (repeats > 0) * 1.0
        log_excess = (
            np.log(values["excess"])
            + self.growth(values, inputs) * np.log((repeats + 1.0 - repeated) / _REPEATS)
            + values["excess_size"] * log_size
        )
        return repeated * np.exp(log_excess)

    def growth(self, values: Mapping[str, Any], inputs: Mapping[str, Any]) -> Any:
        """Exponent g of the repetitions in the mean excess: d log excess / d log R."""
        _, log_size = _repetition(inputs)
        free = values["excess_epochs"] + values["excess_interaction"] * _within_range(log_size)
        return (free + np.sqrt(free**2 + _LEAST_GROWTH**2)) / 2


def _repetition(inputs: Mapping[str, Any]) -> tuple[Any, Any]:
    """Log of D/U and of N/U, with no more unique tokens than tokens."""
    log_tokens = np.log(inputs["tokens"])
    log_repeats = positive_part(log_tokens - np.log(inputs["unique_tokens"]))
    return log_repeats, np.log(inputs["params"]) - (log_tokens - log_repeats)


def _within_range(x: Any) -> Any:
    return positive_part(x + _RANGE) - positive_part(x - _RANGE) - _RANGE


def _smooth(excess: Any, scale: Any) -> Any:
    """Mean of the exponential part: the excess, kept from being so little that it has an edge."""
    return np.sqrt(excess**2 + (_ROUNDING * scale) ** 2)


def _log_ndtr(x: Any) -> Any:
    return xr.apply_ufunc(log_ndtr, x)
