"""A prior: the name of a PyMC distribution and its arguments."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from bayescale import words
from bayescale.errors import ModelError
from bayescale.laws import into_support, onto_line

DISTRIBUTIONS: dict[str, tuple[str, ...]] = {
    "Normal": ("mu", "sigma"),
    "LogNormal": ("mu", "sigma"),
    "LogitNormal": ("mu", "sigma"),
    "HalfNormal": ("sigma",),
    "Exponential": ("lam",),
    "Gamma": ("alpha", "beta"),
    "Beta": ("alpha", "beta"),
}
"""Distributions a model file may name, with their arguments (PyMC's spelling)."""

NORMAL_ON = {"real": "Normal", "positive": "LogNormal", "unit": "LogitNormal"}
"""What is Normal once its support is mapped to the real line."""

_ANY_SIGN = {"mu"}
_MOST_LOG = 700  # e to that is the last of numbers


@dataclass(frozen=True)
class Prior:
    """A PyMC distribution by name, checked when made.

    Parameters
    ----------
    dist : str
        One of `DISTRIBUTIONS`.
    args : tuple of (str, float)
        Its arguments, in PyMC's order.
    about_runs : bool
        Whether ``mu`` counts from the centre of the runs' log losses, which `about` adds.
    about_group : bool
        Whether it counts from the centre of the own group's, where each group has one.

    Raises
    ------
    ModelError
        For an unknown distribution, a missing or unknown argument, or a scale that is not positive.
    """

    dist: str
    args: tuple[tuple[str, float], ...]
    about_runs: bool = False
    about_group: bool = False

    @classmethod
    def parse(cls, entry: object, where: str) -> "Prior":
        """Build from a table like ``{dist = "Normal", mu = 0, sigma = 1}``.

        Parameters
        ----------
        entry : object
            As read from a model file.
        where : str
            How errors name its place.

        Returns
        -------
        Prior

        Raises
        ------
        ModelError
            As for a `Prior`; if the entry is no table, or an argument no finite number.
        """
        if not isinstance(entry, Mapping) or "dist" not in entry:
            raise ModelError(
                f'{where}: a prior is written {{ dist = "Normal", mu = 0.0, sigma = 1.0 }}, '
                f"got {words.quoted(entry)}"
            )
        dist = entry["dist"]
        if not isinstance(dist, str) or dist not in DISTRIBUTIONS:
            raise ModelError(
                f"{where}: unknown distribution {words.quoted(dist)}; "
                f"{words.did_you_mean(str(dist), list(DISTRIBUTIONS))}"
            )
        expected = DISTRIBUTIONS[dist]
        about = entry.get("about")
        if about is not None and (about not in ("runs", "group") or dist != "Normal"):
            raise ModelError(
                f"{where}: a prior about the centre of the runs is written "
                '{ dist = "Normal", about = "runs", mu = 0.0, sigma = 0.5 }; '
                f'(or about = "group"); got about = {words.quoted(about)} for {dist}; leave about '
                "out of other priors"
            )
        for name in entry:
            if name not in ("dist", "about", *expected):
                raise ModelError(
                    f"{where}: {dist} has no argument {words.quoted(name)}; "
                    f"{words.did_you_mean(name, expected)}"
                )
        missing = [name for name in expected if name not in entry]
        if missing:
            raise ModelError(f"{where}: {dist} needs {', '.join(missing)}")
        args = tuple((name, _argument(entry[name], name, where)) for name in expected)
        if dist == "LogNormal" and abs(args[0][1]) > _MOST_LOG:
            raise ModelError(
                f"{where}: mu of a LogNormal is the logarithm of the median, and no number has the "
                f"logarithm {args[0][1]:g}; write one from -{_MOST_LOG} to {_MOST_LOG}"
            )
        return cls(dist, args, about is not None, about == "group")

    def about(self, centre: float) -> "Prior":
        """Return the prior with ``mu`` counted from 0, for runs of that mean log loss.

        Parameters
        ----------
        centre : float

        Returns
        -------
        Prior
        """
        if not self.about_runs:
            return self
        args = dict(self.args)
        return Prior(self.dist, tuple({**args, "mu": args["mu"] + centre}.items()))

    @property
    def _known_args(self) -> dict[str, float]:
        """Arguments by name, of a prior that says all of them itself."""
        if self.about_runs:
            raise ValueError(
                f"{self}: give it their centre first, by bayescale.modelling.build.placed"
            )
        return dict(self.args)

    def variable(self, name: str, *, dims: tuple[str, ...] | None = None) -> Any:
        """Add the prior to the PyMC model in context, its arguments as ``pm.Data``.

        Arguments as data let one compiled model serve every choice of them.

        Parameters
        ----------
        name : str
        dims : str, optional
            One value for each entry of a dim of the model.

        Returns
        -------
        pytensor.tensor.TensorVariable
        """
        import pymc as pm  # takes seconds; reading and showing model files does not need it
        from pymc.distributions import transforms

        args = self._as_data(name)
        # PyMC samples a LogitNormal as it is: the sampler would run into the walls at 0 and 1.
        own = {"default_transform": transforms.logodds} if self.dist == "LogitNormal" else {}
        return getattr(pm, self.dist)(name, **args, **own, dims=dims)

    def normal_on(self, support: str) -> bool:
        """Whether the value is Normal once a support (real, positive, unit) is mapped to a line.

        Parameters
        ----------
        support : str

        Returns
        -------
        bool
        """
        return self.dist == NORMAL_ON[support]

    def line_variable(
        self, name: str, shift: Any = 0.0, *, dims: tuple[str, ...] | None = None
    ) -> Any:
        """Add a variable for the value mapped to the real line, plus a `shift`.

        Parameters
        ----------
        name : str
        shift : float or tensor, optional
        dims : tuple of str, optional

        Returns
        -------
        pytensor.tensor.TensorVariable
        """
        import pymc as pm

        args = self._as_data(name)
        return pm.Normal(name, args["mu"] + shift, args["sigma"], dims=dims)

    def _as_data(self, name: str) -> dict[str, Any]:
        import pymc as pm

        given = self.arguments_of(name).items()
        data = [pm.Data(argument, value) for argument, value in given]
        return dict(zip(dict(self.args), data, strict=True))

    @property
    def support(self) -> str:
        """Where its values lie: real, positive or unit (0 to 1)."""
        return {"Normal": "real", "LogitNormal": "unit", "Beta": "unit"}.get(self.dist, "positive")

    def within(self, support: str) -> bool:
        """Whether every value it can take lies in a support: real, positive or unit (0 to 1).

        Parameters
        ----------
        support : str

        Returns
        -------
        bool
        """
        order = ("unit", "positive", "real")
        return order.index(self.support) <= order.index(support)

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Draw values.

        Parameters
        ----------
        rng : numpy.random.Generator
        shape : tuple of int

        Returns
        -------
        ndarray
        """
        drawn = np.asarray(_in_scipy(self).rvs(size=shape, random_state=rng))
        return into_support("unit", drawn) if self.dist == "LogitNormal" else drawn

    def arguments_of(self, name: str) -> dict[str, float]:
        """Arguments by the names that their ``pm.Data`` has for a variable.

        Parameters
        ----------
        name : str
            Of the variable.

        Returns
        -------
        dict of str to float
        """
        return {f"{name}_prior_{argument}": value for argument, value in self._known_args.items()}

    def log_density(self, value: Any) -> Any:
        """Log density at values inside its support, in NumPy or xarray; equal to PyMC's own.

        Parameters
        ----------
        value : array_like

        Returns
        -------
        array_like
        """
        import xarray as xr

        if self.dist != "LogitNormal":
            return xr.apply_ufunc(_in_scipy(self).logpdf, value)
        line = xr.apply_ufunc(_in_scipy(self).logpdf, onto_line("unit", value))
        return line - np.log(value) - np.log1p(-value)

    def on_line(self) -> tuple[float, float]:
        """Mean and sd of the value mapped to the real line: its logit, logarithm, or itself.

        >>> Prior("LogNormal", (("mu", -1.05), ("sigma", 0.5))).on_line()
        (-1.05, 0.5)
        """
        args = list(self._known_args.values())
        if self.dist in NORMAL_ON.values():
            return args[0], args[1]
        if self.dist == "HalfNormal":  # half the logarithm of a chi-squared variable
            return math.log(args[0]) - 0.635, 1.111
        from scipy.special import digamma, polygamma

        if self.dist == "Beta":
            a, b = args
            sd = math.sqrt(polygamma(1, a) + polygamma(1, b))
            return float(digamma(a) - digamma(b)), sd
        shape, rate = (1.0, args[0]) if self.dist == "Exponential" else (args[0], args[1])
        return float(digamma(shape)) - math.log(rate), math.sqrt(polygamma(1, shape))

    def __str__(self) -> str:
        args = ", ".join(f"{name}={value:g}" for name, value in self.args)
        return f"{self.dist}({args}){' about the runs' if self.about_runs else ''}"


def _argument(value: object, name: str, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ModelError(f"{where}: {name} must be a finite number, got {words.quoted(value)}")
    if name not in _ANY_SIGN and value <= 0:
        raise ModelError(f"{where}: {name} must be positive, got {words.quoted(value)}")
    return float(value)


@lru_cache(maxsize=256)  # SciPy takes as long to make one as to draw from it
def _in_scipy(prior: Prior) -> Any:
    """Make its distribution in SciPy; of a LogitNormal that of the logit.

    SciPy's own LogitNormal, johnsonsb, has a log density of minus infinity in its tails.
    """
    from scipy import stats  # takes a second; reading and showing model files does not need it

    args = prior._known_args
    match prior.dist:
        case "Normal" | "LogitNormal":
            return stats.norm(args["mu"], args["sigma"])
        case "LogNormal":
            return stats.lognorm(args["sigma"], scale=math.exp(args["mu"]))
        case "HalfNormal":
            return stats.halfnorm(scale=args["sigma"])
        case "Exponential":
            return stats.expon(scale=1 / args["lam"])
        case "Gamma":
            return stats.gamma(args["alpha"], scale=1 / args["beta"])
        case _:
            return stats.beta(args["alpha"], args["beta"])
