r"""Noise on log loss, one class a kind; model files name them.

Every kind says the same three things from the same symbols: the PyMC distribution that is observed,
its log density in NumPy, and draws from it. `mu` is the log of the law; `scale` the sd or scale of
the symmetric part, as `noise_scale` says it for a cell of replicates; `values` the noise
parameters; `inputs` the columns that the law reads.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from bayescale.laws import positive_part

if TYPE_CHECKING:  # reading model files needs no xarray: what computes imports it
    import xarray as xr

type Values = Mapping[str, Any]
"""Arrays or tensors by name."""

type Draws = xr.DataArray
"""Draws of a quantity, dims (chain, draw, ...)."""

_REPEATS = 20.0  # repetitions at which `excess` is stated, for N = U
_RANGE = 3.0  # log(N/U) beyond which the interaction grows no further
_LEAST_GROWTH = 0.2  # how softly the growth with repetition is kept above 0
_LEAST_VARIANCE = 1e-4  # of one trial: a share of a law at 0 or 1 is not certain
_ODD = 0.005  # probability that a run lies above its ceiling for no reason of its settings
_LOGISTIC = 1.7  # times x, a logistic function is nearly the Normal distribution function of x
_LEAST_KNOWN = 1e-9  # so that its logarithm is a number
_ROUNDING = 0.25  # least mean of the exponential part, in units of `scale`

SEED = "sigma_seed"
"""Sd of log loss between seeds of one configuration; any model file may state a prior on it."""

LEAST = 1e-4
"""Noise that every run has, of log loss: no law is true to more digits, and losses that were
computed rather than measured would pull ``sigma`` to nothing, where no sampler can follow."""


class Noise(Protocol):
    """What a kind of noise must say."""

    @property
    def parameters(self) -> Mapping[str, str]:
        """What needs a prior in the model file, and where it may lie: real, positive or unit."""

    @property
    def scale(self) -> str:
        """Scale of the responses that have it, as `bayescale.laws.Response.scale`."""

    @property
    def counts(self) -> bool:
        """Whether it is of whole numbers of successes among known numbers of trials."""

    def pymc(self, mu: Any, scale: Any, values: Values, inputs: Values) -> tuple[Any, Values]:
        """Return the PyMC distribution of what was observed.

        Parameters
        ----------
        mu : tensor
            What the law says, on the scale on which errors add up.
        scale : tensor
            Of the noise.
        values : mapping of str to tensor
            Parameters of the noise.
        inputs : mapping of str to tensor
            Inputs of the law and of the noise.

        Returns
        -------
        family : type
            Class of the distribution.
        arguments : mapping of str to tensor
        """

    def log_density(self, y: Any, mu: Any, scale: Any, values: Values, inputs: Values) -> Any:
        """Return the log density of what was observed, equal to PyMC's own.

        Parameters
        ----------
        y : array_like
        mu, scale : array_like
            As in `pymc`, in NumPy or xarray.
        values, inputs : mapping of str to array_like

        Returns
        -------
        array_like
        """

    def draw(
        self, rng: np.random.Generator, mu: Draws, scale: Any, values: Values, inputs: Values
    ) -> Draws:
        """Draw one noisy value for each entry of `mu`.

        Parameters
        ----------
        rng : numpy.random.Generator
        mu : xarray.DataArray
        scale : array_like
        values, inputs : mapping of str to array_like

        Returns
        -------
        xarray.DataArray
            With the dims of `mu`.
        """


class Normal:
    """Normal noise of sd ``sigma``."""

    parameters: Mapping[str, str] = {"sigma": "positive"}
    scale = "log"
    counts = False

    def pymc(self, mu: Any, scale: Any, values: Values, inputs: Values) -> tuple[Any, Values]:
        """See `Noise`."""
        import pymc as pm  # takes seconds; reading model files does not need it

        return pm.Normal, {"mu": mu, "sigma": scale}

    def log_density(self, y: Any, mu: Any, scale: Any, values: Values, inputs: Values) -> Any:
        """See `Noise`."""
        from scipy.stats import norm  # slow to import, and model files are read without

        return _elementwise(norm.logpdf, y, mu, scale)

    def draw(
        self, rng: np.random.Generator, mu: Draws, scale: Any, values: Values, inputs: Values
    ) -> Draws:
        """See `Noise`."""
        return mu + scale * mu.copy(data=rng.standard_normal(mu.shape))


class StudentT:
    """Student-t noise of scale ``sigma`` and ``nu`` degrees of freedom: a few runs lie far off."""

    parameters: Mapping[str, str] = {"sigma": "positive", "nu": "positive"}
    scale = "log"
    counts = False

    def pymc(self, mu: Any, scale: Any, values: Values, inputs: Values) -> tuple[Any, Values]:
        """See `Noise`."""
        import pymc as pm

        return pm.StudentT, {"mu": mu, "sigma": scale, "nu": values["nu"]}

    def log_density(self, y: Any, mu: Any, scale: Any, values: Values, inputs: Values) -> Any:
        """See `Noise`."""
        from scipy.stats import t

        return _elementwise(t.logpdf, y, values["nu"], mu, scale)

    def draw(
        self, rng: np.random.Generator, mu: Draws, scale: Any, values: Values, inputs: Values
    ) -> Draws:
        """See `Noise`."""
        nu = values["nu"].broadcast_like(mu).transpose(*mu.dims)
        return mu + scale * mu.copy(data=rng.standard_t(nu.to_numpy()))


class Undertuned:
    r"""Normal noise, and a share of runs that are worse than the law: undertuned or unfinished.

    With probability ``share`` a run lies above the law by an exponential excess of mean ``excess``:

    .. math::

        p(y) = (1 - s)\, N(y \mid \mu, \sigma) + s\, \mathrm{ExGaussian}(y \mid \mu, \sigma, x)

    Runs can miss the loss their size and data allow, they hardly beat it, so the law is the lower
    edge of the runs rather than their middle.
    """

    parameters: Mapping[str, str] = {"sigma": "positive", "excess": "positive", "share": "unit"}
    scale = "log"
    counts = False

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
        bad = _elementwise(_log_exgaussian, y - mu, scale, values["excess"])
        share = values["share"]
        return np.logaddexp(np.log1p(-share) + good, np.log(share) + bad)

    def draw(
        self, rng: np.random.Generator, mu: Draws, scale: Any, values: Values, inputs: Values
    ) -> Draws:
        """See `Noise`."""
        bad = mu.copy(data=rng.random(mu.shape)) < values["share"]
        excess = values["excess"] * mu.copy(data=rng.standard_exponential(mu.shape))
        return Normal().draw(rng, mu, scale, values, inputs) + bad * excess


class Swept:
    r"""Student-t noise that grows above the least of a bowl; runs at a ceiling lie at it or above.

    .. math:: s = \sigma + \mathrm{inexact} \, (\mu - \mu_{least})

    No bowl is exact, and far from its minimum it matters least: what a run lies above it counts
    with a further error of a share ``inexact`` of that. A run whose loss is that of the input
    ``ceiling`` has diverged, or lies too far off to tell: it says no more than that it lies above,
    with the probability :math:`0.005 + 0.995 \, \mathrm{logistic}(1.7 (\mu - y) / s)`, so that a
    run which blew up for no reason of its settings does no harm.
    """

    parameters: Mapping[str, str] = {"sigma": "positive", "nu": "positive", "inexact": "positive"}
    scale = "log"
    counts = False

    def pymc(self, mu: Any, scale: Any, values: Values, inputs: Values) -> tuple[Any, Values]:
        """See `Noise`."""
        arguments = {"mu": mu, "sigma": scale, "nu": values["nu"], "ceiling": inputs["ceiling"]}
        return _StudentTBelow, arguments

    def log_density(self, y: Any, mu: Any, scale: Any, values: Values, inputs: Values) -> Any:
        """See `Noise`."""
        from scipy.special import expit

        above = np.log(_ODD + (1.0 - _ODD) * _elementwise(expit, _LOGISTIC * (mu - y) / scale))
        below = StudentT().log_density(y, mu, scale, values, inputs)
        return _elementwise(np.where, y >= np.log(inputs["ceiling"]) - LEAST**2, above, below)

    def draw(
        self, rng: np.random.Generator, mu: Draws, scale: Any, values: Values, inputs: Values
    ) -> Draws:
        """Draw log losses, for each entry of `mu` one; none above its ceiling."""
        drawn = StudentT().draw(rng, mu, scale, values, inputs)
        return drawn.clip(max=np.log(inputs["ceiling"])).transpose(*mu.dims)


class _StudentTBelow:
    """Student-t up to a ceiling, at which all that lies above it is seen, as PyMC takes it."""

    def __new__(cls, name: str, *, observed: Any, dims: Any = None, **arguments: Any) -> Any:
        """Add the observed variable to the PyMC model in context."""
        import pymc as pm

        own = (arguments[key] for key in ("mu", "sigma", "nu", "ceiling"))
        return pm.CustomDist(
            name, *own, logp=cls._logp, random=cls._random, observed=observed, dims=dims
        )

    @classmethod
    def dist(cls, **arguments: Any) -> Any:
        """Return the distribution, as of PyMC's own."""
        import pymc as pm

        own = (arguments[key] for key in ("mu", "sigma", "nu", "ceiling"))
        return pm.CustomDist.dist(*own, logp=cls._logp, random=cls._random)

    @staticmethod
    def _logp(value: Any, mu: Any, sigma: Any, nu: Any, ceiling: Any) -> Any:
        import pymc as pm
        import pytensor.tensor as pt

        above = pt.log(_ODD + (1.0 - _ODD) * pt.sigmoid(_LOGISTIC * (mu - value) / sigma))
        below = pm.logp(pm.StudentT.dist(nu=nu, mu=mu, sigma=sigma), value)
        return pt.switch(value >= pt.log(ceiling) - LEAST**2, above, below)

    @staticmethod
    def _random(
        mu: Any, sigma: Any, nu: Any, ceiling: Any, rng: np.random.Generator, size: Any
    ) -> Any:
        return np.minimum(mu + sigma * rng.standard_t(nu, size=size), np.log(ceiling))


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

    parameters: Mapping[str, str] = {
        **dict.fromkeys(("sigma", "excess", "excess_epochs", "excess_size"), "positive"),
        "excess_interaction": "real",
    }
    scale = "log"
    counts = False

    def pymc(self, mu: Any, scale: Any, values: Values, inputs: Values) -> tuple[Any, Values]:
        """Distribution of log loss as a PyMC class and its arguments; all tensors."""
        import pymc as pm  # takes seconds; reading model files does not need it

        excess = self.mean_excess(values, inputs)
        nu = _smooth(excess, scale)
        return pm.ExGaussian, {"mu": mu + excess - nu, "sigma": scale, "nu": nu}

    def log_density(self, y: Any, mu: Any, scale: Any, values: Values, inputs: Values) -> Any:
        """Log density of log losses `y`, NumPy or xarray; equal to PyMC's to 5e-8."""
        excess = self.mean_excess(values, inputs)
        nu = _smooth(excess, scale)
        ratio = scale / nu
        above = (y - mu - excess + nu) / scale
        return -np.log(nu) - ratio * above + ratio**2 / 2 + _elementwise(_log_ndtr, above - ratio)

    def draw(
        self,
        rng: np.random.Generator,
        mu: Draws,
        scale: Any,
        values: Values,
        inputs: Values,
    ) -> Draws:
        """Noisy log losses around `mu`, one for each of its entries."""
        excess = self.mean_excess(values, inputs)
        nu = _smooth(excess, scale)
        centre = mu + excess - nu + 0.0 * scale
        exponential = centre.copy(data=rng.standard_exponential(centre.shape))
        normal = centre.copy(data=rng.standard_normal(centre.shape))
        return centre + nu * exponential + scale * normal

    def mean_excess(self, values: Values, inputs: Values) -> Any:
        """Mean excess of log loss; 0 where no token is repeated.

        Parameters
        ----------
        values : mapping of str to array_like or tensor
            Parameters of the noise.
        inputs : mapping of str to array_like or tensor

        Returns
        -------
        array_like or tensor
        """
        log_repeats, log_size = _repetition(inputs)
        repeats = np.expm1(log_repeats)
        repeated = (repeats > 0) * 1.0
        log_excess = (
            np.log(values["excess"])
            + self.growth(values, inputs) * np.log((repeats + 1.0 - repeated) / _REPEATS)
            + values["excess_size"] * log_size
        )
        return repeated * np.exp(log_excess)

    def growth(self, values: Values, inputs: Values) -> Any:
        """Exponent g of the repetitions in the mean excess: d log excess / d log R.

        Parameters
        ----------
        values : mapping of str to array_like or tensor
            Parameters of the noise.
        inputs : mapping of str to array_like or tensor

        Returns
        -------
        array_like or tensor
        """
        _, log_size = _repetition(inputs)
        free = values["excess_epochs"] + values["excess_interaction"] * _within_range(log_size)
        return (free + np.sqrt(free**2 + _LEAST_GROWTH**2)) / 2


class BetaBinomial:
    r"""Successes among trials, whose probability differs from run to run about the law's.

    .. math:: k \sim \mathrm{Binomial}(n, q), \qquad
        q \sim \mathrm{Beta}(p \, c, (1 - p) \, c)

    with p the law and c the ``concentration``: the larger, the nearer to the binomial. A variance
    of :math:`p(1-p)(1 + (n-1)/(c+1))/n` about the law.
    """

    parameters: Mapping[str, str] = {"concentration": "positive"}
    scale = "share"
    counts = True

    def pymc(self, mu: Any, scale: Any, values: Values, inputs: Values) -> tuple[Any, Values]:
        """Distribution of the number of successes as a PyMC class and its arguments."""
        import pymc as pm

        alpha, beta = self._shapes(mu, values)
        return pm.BetaBinomial, {"alpha": alpha, "beta": beta, "n": inputs["trials"]}

    def log_density(self, y: Any, mu: Any, scale: Any, values: Values, inputs: Values) -> Any:
        """Log probability of the share `y` of successes."""
        alpha, beta = self._shapes(mu, values)
        return _elementwise(_log_beta_binomial, y, inputs["trials"], alpha, beta)

    def draw(
        self, rng: np.random.Generator, mu: Draws, scale: Any, values: Values, inputs: Values
    ) -> Draws:
        """Draw shares of successes, for each entry of `mu` one."""
        alpha, beta = (
            part.broadcast_like(mu).transpose(*mu.dims) for part in self._shapes(mu, values)
        )
        trials = (inputs["trials"] + 0.0 * mu).transpose(*mu.dims).to_numpy()
        share = rng.beta(alpha.to_numpy(), beta.to_numpy())
        return mu.copy(data=rng.binomial(np.round(trials).astype(int), share) / trials)

    def _shapes(self, mu: Any, values: Values) -> tuple[Any, Any]:
        return mu * values["concentration"], (1.0 - mu) * values["concentration"]


class Binomial:
    """Successes among trials, independent given the law."""

    parameters: Mapping[str, str] = {}
    scale = "share"
    counts = True

    def pymc(self, mu: Any, scale: Any, values: Values, inputs: Values) -> tuple[Any, Values]:
        """Distribution of the number of successes as a PyMC class and its arguments."""
        import pymc as pm

        return pm.Binomial, {"p": mu, "n": inputs["trials"]}

    def log_density(self, y: Any, mu: Any, scale: Any, values: Values, inputs: Values) -> Any:
        """Log probability of the share `y` of successes."""
        return _elementwise(_log_binomial, y, inputs["trials"], mu)

    def draw(
        self, rng: np.random.Generator, mu: Draws, scale: Any, values: Values, inputs: Values
    ) -> Draws:
        """Draw shares of successes, for each entry of `mu` one."""
        trials = (inputs["trials"] + 0.0 * mu).transpose(*mu.dims).to_numpy()
        drawn = rng.binomial(np.round(trials).astype(int), mu.to_numpy())
        return mu.copy(data=drawn / trials)


class ShareNormal:
    r"""Normal noise on a share of successes: of its trials, of the run, and of what a run knows.

    .. math:: y \sim N\big(p, \; v (1/n + s^2) + (s r (1 - c) Q \log Q)^2\big), \qquad
        v = p (1 - p) + 1/(2n) + 10^{-4}

    with p the law, c the chance level and :math:`Q = (p - c)/(1 - c)` the share that is known. The
    ``spread`` s is what shares differ by beside their n trials, in units of the sd of a single
    trial. Times the ``scatter`` r it is what the log of -log Q differs by, as if runs were larger
    or smaller than they are: that cannot be seen near chance, where runs of many recipes look
    alike, and tells most half-way up.

    Unknown trials are infinitely many: then s and r say all. Averages of several tasks, whose
    numbers of successes are no whole numbers, have this noise as well. The rest of v is half a
    success, which keeps shares of 0 and of 1 possible.
    """

    parameters: Mapping[str, str] = {"spread": "positive", "scatter": "positive"}
    scale = "share"
    counts = False

    def pymc(self, mu: Any, scale: Any, values: Values, inputs: Values) -> tuple[Any, Values]:
        """See `Noise`."""
        import pymc as pm

        return pm.Normal, {"mu": mu, "sigma": self._sd(mu, values, inputs)}

    def log_density(self, y: Any, mu: Any, scale: Any, values: Values, inputs: Values) -> Any:
        """See `Noise`."""
        from scipy.stats import norm

        return _elementwise(norm.logpdf, y, mu, self._sd(mu, values, inputs))

    def draw(
        self, rng: np.random.Generator, mu: Draws, scale: Any, values: Values, inputs: Values
    ) -> Draws:
        """Draw shares of successes, for each entry of `mu` one; none below 0 or above 1."""
        sd = self._sd(mu, values, inputs)
        return (mu + sd * mu.copy(data=rng.standard_normal(mu.shape))).clip(0.0, 1.0)

    def _sd(self, mu: Any, values: Values, inputs: Values) -> Any:
        chance, each = inputs.get("chance", 0.0), 1.0 / inputs["trials"]
        of_trial = mu * (1.0 - mu) + 0.5 * each + _LEAST_VARIANCE
        known = positive_part((mu - chance) / (1.0 - chance) - _LEAST_KNOWN) + _LEAST_KNOWN
        step = (1.0 - chance) * known * np.log(known)  # of p, for one of log(-log Q)
        of_run = of_trial + (values["scatter"] * step) ** 2
        return np.sqrt(of_trial * each + of_run * values["spread"] ** 2)


NOISE: dict[str, Noise] = {
    "StudentT": StudentT(),
    "Normal": Normal(),
    "Undertuned": Undertuned(),
    "Swept": Swept(),
    "RepetitionExcess": RepetitionExcess(),
    "BetaBinomial": BetaBinomial(),
    "Binomial": Binomial(),
    "ShareNormal": ShareNormal(),
}
"""Kinds of noise by the name that model files use."""


def noise_scale(values: Values, replicates: Any = 1.0, rise: Any = 0.0, known: Any = 0.0) -> Any:
    r"""Scale of the mean of m replicates.

    .. math:: s^2 = \sigma^2 + (\sigma_{seed}^2 + e^2) / m + s_0^2

    Of noise that grows above the least of a bowl, and a share ``inexact`` of the `rise`.

    Misfit of the law is the same for every seed of a configuration, so replicates do not shrink it.
    Where nothing tells the seeds' share apart, ``sigma`` is all there is beside :math:`s_0`, which
    is `LEAST`, and what is known of how exactly each was measured, e.

    Parameters
    ----------
    values : mapping of str to array_like or tensor
        Parameters of the noise.
    replicates : array_like or tensor, optional
        Their number m.
    rise : array_like or tensor, optional
        What a run lies above the least, of log loss.
    known : array_like or tensor, optional
        Sd e with which each was measured, of log loss.

    Returns
    -------
    array_like or tensor
        NaN for noise without ``sigma``.
    """
    if "sigma" not in values:
        return np.nan  # of shares of successes: their spread follows from the trials
    seeds = values[SEED] ** 2 / replicates if SEED in values else 0.0
    measured = known**2 / replicates
    own = np.sqrt(values["sigma"] ** 2 + seeds + LEAST**2 + measured)
    return own + values["inexact"] * rise if "inexact" in values else own


def _log_beta_binomial(
    share: np.ndarray, trials: np.ndarray, alpha: np.ndarray, beta: np.ndarray
) -> np.ndarray:
    """Log probability of a share of successes."""
    from scipy.stats import betabinom

    return betabinom.logpmf(np.round(share * trials), np.round(trials), alpha, beta)


def _log_binomial(share: np.ndarray, trials: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Log probability of a share of successes."""
    from scipy.stats import binom

    return binom.logpmf(np.round(share * trials), np.round(trials), probability)


def _log_exgaussian(centred: np.ndarray, sigma: np.ndarray, excess: np.ndarray) -> np.ndarray:
    """Log density of Normal(0, sigma) + Exponential(excess); Normal where the excess is tiny."""
    ratio = sigma / excess  # PyMC, too, drops an excess below a twentieth of sigma
    tail = -np.log(excess) - centred / excess + 0.5 * ratio**2 + _log_ndtr(centred / sigma - ratio)
    normal = -0.5 * (centred / sigma) ** 2 - np.log(sigma) - 0.5 * np.log(2 * np.pi)
    return np.where(excess > 0.05 * sigma, tail, normal)


def _repetition(inputs: Values) -> tuple[Any, Any]:
    """Log of D/U and of N/U, with no more unique tokens than tokens."""
    log_tokens = np.log(inputs["tokens"])
    log_repeats = positive_part(log_tokens - np.log(inputs["unique_tokens"]))
    return log_repeats, np.log(inputs["params"]) - (log_tokens - log_repeats)


def _within_range(x: Any) -> Any:
    return positive_part(x + _RANGE) - positive_part(x - _RANGE) - _RANGE


def _smooth(excess: Any, scale: Any) -> Any:
    """Mean of the exponential part: the excess, kept from being so little that it has an edge."""
    return np.sqrt(excess**2 + (_ROUNDING * scale) ** 2)


def _log_ndtr(x: np.ndarray) -> np.ndarray:
    """Log of the standard Normal distribution function."""
    from scipy.special import log_ndtr

    return log_ndtr(x)


def _elementwise(function: Callable[..., np.ndarray], *values: Any) -> Any:
    """Apply a function of NumPy arrays to numbers, arrays or DataArrays."""
    import xarray as xr

    return xr.apply_ufunc(function, *values)
