r"""The posterior of one curve under the law of a model file, in NumPy.

The same law, priors, noise and weights as in the PyMC model that `bayescale.fit` samples, one curve
after another and in a few hundredths of a second: coordinates are mapped to the real line, whitened
by their priors, and sampled by adaptive importance sampling (`bayescale.curves.importance`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy.special import gammaln

from bayescale.curves.importance import Effort, Sample, importance
from bayescale.curves.points import Points
from bayescale.errors import ModelError
from bayescale.laws import into_support
from bayescale.modelling.noise import LEAST
from bayescale.modelling.priors import NORMAL_ON, Prior
from bayescale.modelling.spec import ModelSpec

EFFORT = Effort(first=1000, rounds=20, most=24, draws=1000, enough=500.0)
"""How long a curve is sampled that is answered from: sds within a few percent of long runs."""

ROUGH = Effort(first=1000, rounds=7, most=16, draws=1000, enough=300.0)
"""How long one that only teaches what curves share, or that is a trial: within a tenth."""

Base = tuple[np.ndarray, np.ndarray]
"""Mean and covariance of Normal priors on the real line."""

LogDensity = Callable[[np.ndarray], np.ndarray]

_STARTS = 24
_STEP = 1e-5
_NOISES = ("Normal", "StudentT")


@dataclass(frozen=True)
class Draws:
    """Draws of a law's coordinates given a curve.

    Parameters
    ----------
    spec : ModelSpec
        With its exact law.
    reference : float
        The reference run's x.
    line : ndarray
        Coordinates and noise parameters on the real line, in the order of `coordinates`, shape
        (draws, coordinates).
    ess : float, optional
        Effective number of weighted draws that they were drawn from.
    """

    spec: ModelSpec
    reference: float
    line: np.ndarray = field(repr=False)
    ess: float = np.inf

    @property
    def coordinates(self) -> tuple[str, ...]:
        """Names of what is sampled."""
        return coordinates_of(self.spec)

    @cached_property
    def sampled(self) -> dict[str, np.ndarray]:
        """Coordinates and noise parameters by name, each of shape (draws,)."""
        return _in_support(self.spec, self.line)

    @cached_property
    def natural(self) -> dict[str, np.ndarray]:
        """Parameters of the law by name, each of shape (draws,)."""
        return _natural(self.spec, self.sampled, self.reference)

    def log_loss(self, x: np.ndarray) -> np.ndarray:
        """Log of what the law says, without noise.

        Parameters
        ----------
        x : ndarray
            Shape (n,), or (draws, n).

        Returns
        -------
        ndarray
            Shape (draws, n).
        """
        return _log_law(self.spec, {n: v[:, None] for n, v in self.natural.items()}, x)

    def __len__(self) -> int:
        """Return the number of draws."""
        return len(self.line)

    @property
    def floor(self) -> np.ndarray:
        """Irreducible loss, 0 of a law without one, shape (draws,)."""
        return self.natural.get("E", np.zeros(len(self)))

    @property
    def plateau(self) -> np.ndarray:
        """Loss of a model that has learned nothing, NaN of a law without, shape (draws,)."""
        return self.natural.get("U", np.full(len(self), np.nan))

    @property
    def exponent(self) -> np.ndarray:
        """Exponent of the reducible loss far beyond, NaN of a law without, shape (draws,)."""
        if "b" in self.natural:  # of a law A x^b, which has no irreducible part
            return -self.natural["b"]
        return self.natural.get("alpha", np.full(len(self), np.nan))

    def noise(self, rng: np.random.Generator, number: int) -> np.ndarray:
        """Draw standardised noise.

        Parameters
        ----------
        rng : numpy.random.Generator
        number : int
            Of points.

        Returns
        -------
        ndarray
            Shape (draws, number).
        """
        shape = len(self), number
        if "nu" in self.sampled:
            return rng.standard_t(self.sampled["nu"][:, None], shape)
        return rng.standard_normal(shape)

    def scale(self, stderr: np.ndarray) -> np.ndarray:
        """Scale of the noise of points.

        Parameters
        ----------
        stderr : ndarray
            Known standard errors of log loss, shape (n,).

        Returns
        -------
        ndarray
            Shape (draws, n).
        """
        return np.sqrt(self.sampled["sigma"][:, None] ** 2 + stderr**2 + LEAST**2)

    def some(self, number: int) -> "Draws":
        """Return some of the draws, spread over all: those of each reading at its share.

        Parameters
        ----------
        number : int

        Returns
        -------
        Draws
        """
        places = np.arange(number) * len(self) // max(number, 1)
        return Draws(self.spec, self.reference, self.line[places], self.ess)


def coordinates_of(spec: ModelSpec) -> tuple[str, ...]:
    """Name what is sampled of a curve: coordinates of the law, then parameters of the noise.

    Parameters
    ----------
    spec : ModelSpec

    Returns
    -------
    tuple of str
        Without the sd between seeds: repeats of a curve stay points.
    """
    return (*spec.priors, *spec.noise_model.parameters)


def line_priors(spec: ModelSpec, points: Points, weight: np.ndarray) -> Base:
    """Mean and covariance of the priors on the real line.

    Parameters
    ----------
    spec : ModelSpec
    points : Points
        Whose weighted mean a prior about the runs lies about.
    weight : ndarray
        Shape (points,).

    Returns
    -------
    mean : ndarray
        Shape (coordinates,).
    covariance : ndarray
        Diagonal, shape (coordinates, coordinates).
    """
    priors = _priors(spec, points, weight).values()
    mean, sd = np.array([prior.on_line() for prior in priors]).T
    return mean, np.diag(sd**2)


def require_curve_model(spec: ModelSpec) -> ModelSpec:
    """Return a model with its law taken as exact, refused unless it can describe a curve.

    Parameters
    ----------
    spec : ModelSpec

    Returns
    -------
    ModelSpec

    Raises
    ------
    ModelError
        If the law reads more than one axis, has groups, or noise other than Normal and StudentT.
    """
    exact = spec.exact
    if len(exact.reads) != 1 or exact.response.scale != "log":
        raise ModelError(
            f"the model {spec.name} is no model of a curve: its law reads "
            f"{', '.join(exact.inputs)}; take one of a single axis, such as plateau-power-law"
        )
    if exact.group is not None:
        raise ModelError(
            f"the model {spec.name} has groups; curves of a table are pooled without: "
            f"take {spec.name.removesuffix('-hierarchical')}"
        )
    if exact.noise not in _NOISES:
        raise ModelError(
            f"the model {spec.name} has {exact.noise} noise; curves take {' or '.join(_NOISES)}"
        )
    return exact


class Target:
    """Log posterior density of a curve in whitened coordinates, for `importance`.

    Parameters
    ----------
    spec : ModelSpec
        As `require_curve_model` returns it.
    points : Points
    weight : ndarray
        Exponent of each point's likelihood, shape (points,).
    base : tuple of ndarray, optional
        Mean, shape (coordinates,), and covariance of Normal priors on the real line in place of the
        model's.
    """

    def __init__(
        self,
        spec: ModelSpec,
        points: Points,
        weight: np.ndarray,
        base: Base | None = None,
    ) -> None:
        self.spec: ModelSpec = spec
        self.points: Points = points
        self.weight: np.ndarray = weight
        self.known: np.ndarray = points.stderr**2 + points.scatter(points.log_loss) + LEAST**2
        self.reference: float = float(np.exp(np.log(points.x).mean()))
        priors = _priors(spec, points, weight)
        self.odd: dict[int, LogDensity] = {} if base is not None else _not_normal(spec, priors)
        self.mean: np.ndarray
        self.mean, covariance = line_priors(spec, points, weight) if base is None else base
        self.root: np.ndarray = np.linalg.cholesky(covariance)
        self.noise: dict[str, int] = {
            name: list(priors).index(name) for name in spec.noise_model.parameters
        }

    def line(self, u: np.ndarray) -> np.ndarray:
        """Coordinates on the real line from whitened ones.

        Parameters
        ----------
        u : ndarray
            Shape (..., coordinates).

        Returns
        -------
        ndarray
            Shape (..., coordinates).
        """
        return self.mean + u @ self.root.T

    def mu(self, u: np.ndarray) -> np.ndarray:
        """Log of the law at the points.

        Parameters
        ----------
        u : ndarray
            Whitened coordinates, shape (..., coordinates).

        Returns
        -------
        ndarray
            Shape (..., points).
        """
        return self._law(self.line(u))

    def _law(self, line: np.ndarray) -> np.ndarray:
        natural = _natural(self.spec, _in_support(self.spec, line), self.reference)
        return _log_law(self.spec, {n: v[..., None] for n, v in natural.items()}, self.points.x)

    def __call__(self, u: np.ndarray) -> np.ndarray:
        """Log posterior density, up to no constant."""
        line = self.line(u)
        prior = -0.5 * (u**2 + np.log(2 * np.pi))
        for place, own in self.odd.items():
            prior[..., place] = own(line[..., place]) + np.log(self.root[place, place])
        with np.errstate(invalid="ignore"):  # where the law overflows
            total = self._log_likelihood(line, self._law(line)) + prior.sum(-1)
        return np.where(np.isfinite(total), total, -np.inf)

    def _log_likelihood(self, line: np.ndarray, mu: np.ndarray) -> np.ndarray:
        scale = np.sqrt(self._variance(line))
        residual = (self.points.log_loss - mu) / scale
        return (self.weight * (self._log_noise(residual, line) - np.log(scale))).sum(-1)

    def slopes(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give gradient, by differences but for sigma, and expected information with the prior's.

        Parameters
        ----------
        u : ndarray
            Whitened coordinates of s places, shape (s, p).

        Returns
        -------
        gradient : ndarray
            Shape (s, p).
        information : ndarray
            Shape (s, p, p).
        """
        line = self.line(u)
        gradient, information = self._likelihood_slopes(line)
        prior = -u
        for place, own in self.odd.items():
            ahead, behind = (own(line[:, place] + step) for step in (_STEP, -_STEP))
            prior[:, place] = (ahead - behind) / (2 * _STEP) * self.root[place, place]
        information = self.root.T @ information @ self.root + np.eye(u.shape[-1])
        return gradient @ self.root + prior, information

    def _likelihood_slopes(self, line: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gradient and expected information of the likelihood on the real line."""
        size, law = line.shape[-1], len(self.spec.priors)
        steps = _STEP * np.eye(size)[:law]
        mu = self._law(np.concatenate([line[:, None], line[:, None] + steps], axis=1))
        mu[~np.isfinite(mu).all(axis=(1, 2))] = 0.0  # no density there: the prior leads back
        jacobian = (mu[:, 1:] - mu[:, :1]) / _STEP  # (s, law, points)
        variance, off = self._variance(line), self.points.log_loss - mu[:, 0]
        square = off**2 / variance
        nu = self._nu(line)
        pull = 1.0 if nu is None else (nu + 1) / (nu + square)  # of each residual
        keep = 1.0 if nu is None else (nu + 1) / (nu + 3)
        place = self.noise["sigma"]
        own = np.exp(2 * line[:, place, None]) / variance
        gradient, information = np.zeros((len(line), size)), np.zeros((len(line), size, size))
        gradient[:, :law] = (jacobian @ (self.weight * pull * off / variance)[..., None])[..., 0]
        gradient[:, place] = (self.weight * own * (pull * square - 1)).sum(-1)
        for other in set(self.noise.values()) - {place}:
            ahead = line.copy()
            ahead[:, other] += _STEP
            change = self._log_likelihood(ahead, mu[:, 0]) - self._log_likelihood(line, mu[:, 0])
            gradient[:, other] = change / _STEP
        curvature = self.weight * keep / variance
        information[:, :law, :law] = (jacobian * curvature[:, None]) @ jacobian.transpose(0, 2, 1)
        spread = 2.0 if nu is None else 2 * nu / (nu + 3)
        information[:, place, place] = (spread * self.weight * own**2).sum(-1)
        return gradient, information

    def starts(self) -> np.ndarray:
        """Places spread over the prior, level and sigma set to what fits there.

        Returns
        -------
        ndarray
            Shape (s, p).
        """
        u = np.random.default_rng(0).uniform(-1.5, 1.5, (_STARTS, len(self.mean)))
        u[0] = 0.0
        line = self.line(u)
        if "level" in self.spec.priors:
            off = self.points.log_loss - self._law(line)
            mean = np.average(off, axis=-1, weights=self.weight)
            level = list(self.spec.priors).index("level")
            line[:, level] += np.where(np.isfinite(mean), mean, 0.0)
        off = np.nan_to_num(self.points.log_loss - self._law(line), posinf=1.0, neginf=1.0)
        square = np.average(off**2, axis=-1, weights=self.weight)
        line[:, self.noise["sigma"]] = np.log(np.sqrt(square) + 1e-3)
        return np.linalg.solve(self.root, (line - self.mean).T).T

    def _variance(self, line: np.ndarray) -> np.ndarray:
        return np.exp(2 * line[..., self.noise["sigma"], None]) + self.known

    def _nu(self, line: np.ndarray) -> np.ndarray | None:
        return np.exp(line[..., self.noise["nu"], None]) if "nu" in self.noise else None

    def _log_noise(self, residual: np.ndarray, line: np.ndarray) -> np.ndarray:
        """Log density of standardised residuals."""
        nu = self._nu(line)
        if nu is None:
            return -0.5 * (residual**2 + np.log(2 * np.pi))
        constant = gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * np.log(np.pi * nu)
        return constant - (nu + 1) / 2 * np.log1p(residual**2 / nu)


def sample_curve(
    spec: ModelSpec,
    points: Points,
    weight: np.ndarray,
    rng: np.random.Generator,
    *,
    effort: Effort = EFFORT,
    base: Base | None = None,
) -> tuple[Target, Sample]:
    """Sample the law of a model given one curve.

    Parameters
    ----------
    spec : ModelSpec
        As `require_curve_model` returns it.
    points : Points
    weight : ndarray
        Exponent of each point's likelihood, shape (points,).
    rng : numpy.random.Generator
    effort : Effort, optional
    base : tuple of ndarray, optional
        As of a `Target`.

    Returns
    -------
    target : Target
    sample : Sample
        Weighted draws in the whitened coordinates of the target.
    """
    target = Target(spec, points, weight, base)
    return target, importance(target, rng, effort)


def _priors(spec: ModelSpec, points: Points, weight: np.ndarray) -> dict[str, Prior]:
    centre = float(np.average(points.log_loss, weights=weight))
    return {name: spec.sampled[name].about(centre) for name in coordinates_of(spec)}


def _not_normal(spec: ModelSpec, priors: Mapping[str, Prior]) -> dict[int, LogDensity]:
    """Log densities on the line of those priors that are not Normal there, by their place."""

    def on_line(prior: Prior, support: str) -> LogDensity:
        def density(line: np.ndarray) -> np.ndarray:
            value = into_support(support, line)
            stretch = line if support == "positive" else 0.0  # log of d value / d line
            if support == "unit":
                stretch = np.log(value) + np.log1p(-value)
            return np.asarray(prior.log_density(value) + stretch)

        return density

    return {
        place: on_line(prior, spec.supports[name])
        for place, (name, prior) in enumerate(priors.items())
        if prior.dist != NORMAL_ON[spec.supports[name]]
    }


def _in_support(spec: ModelSpec, line: np.ndarray) -> dict[str, np.ndarray]:
    sampled = {
        name: into_support(spec.supports[name], line[..., place])
        for place, name in enumerate(coordinates_of(spec))
    }
    return {**sampled, **{n: np.full(line.shape[:-1], v) for n, v in spec.fixed.items()}}


def _natural(
    spec: ModelSpec, sampled: Mapping[str, np.ndarray], reference: float
) -> dict[str, np.ndarray]:
    # Far out in the tails an amplitude over- or underflows: such a place has no density.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return spec.law.to_natural(sampled, (reference,))


def _log_law(spec: ModelSpec, natural: Mapping[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return np.log(spec.law(x, **natural))
