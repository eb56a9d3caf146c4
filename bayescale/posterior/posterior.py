"""One law, one group, one set of draws: what a decision asks."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from scipy.optimize import elementwise

from bayescale.errors import FitError
from bayescale.laws import Law
from bayescale.modelling.noise import Noise
from bayescale.posterior.fit import Fit
from bayescale.posterior.search import find_minimum
from bayescale.runs.range import axis_range, decades_beyond
from bayescale.runs.table import Runs

_SMALLEST = 1e3  # params and tokens that a search starts from
_MOST_FLOPS = 1e35  # up to which compute is looked for


@dataclass(frozen=True)
class Posterior:
    """Draws of one law for one group of runs.

    Parameters
    ----------
    law : Law
        That of the answers: bent where it may bend, at what is given of its further inputs.
    natural : dict of str to xarray.DataArray
        Its parameters, dims (chain, draw).
    noise : dict of str to xarray.DataArray
        Those of the noise; empty for constants given without noise.
    noise_model : Noise
    runs : Runs
        That count.
    k : float
        FLOPs per parameter and token, C = k N D.
    """

    law: Law
    natural: dict[str, Any]
    noise: dict[str, Any]
    noise_model: Noise
    runs: Runs
    k: float

    @classmethod
    def of(cls, fit: Fit, k: float | None = None) -> "Posterior":
        """Take the draws of a fit.

        Parameters
        ----------
        fit : Fit
            Of one group where there are groups.
        k : float, optional
            By default what the runs say, else 6.

        Returns
        -------
        Posterior

        Raises
        ------
        FitError
            For a fit with groups; the message says what to do. For a k that is not positive.
        """
        if fit.groups:
            raise FitError(
                "decide for one group at a time; take it with fit.of_group(...) (--group), of "
                + ", ".join(fit.groups)
            )
        k = fit.runs.flops_per_param_token if k is None else k
        if not 0 < k < np.inf:
            raise FitError(f"k, FLOPs per parameter and token, must be positive, got {k:g}")
        return cls(fit.law, fit.natural, fit.noise, fit.spec.noise_model, fit.runs, k)

    @classmethod
    def of_joint_law(cls, fit: Fit, k: float | None = None) -> "Posterior":
        """Take the draws of a fit whose law trades params against tokens.

        Parameters and errors are as in `of`; FitError also for another law.

        Parameters
        ----------
        fit, k
            As in `of`.

        Returns
        -------
        Posterior

        Raises
        ------
        FitError
            As in `of`, for another law, and where a further input of the law is not given.
        """
        fit.require_joint()
        return cls.of(fit, k)

    @property
    def bends(self) -> bool:
        """Whether the law bends."""
        return "bend" in self.natural

    @property
    def mean_excess(self) -> Callable[..., Any] | None:
        """Mean excess of log loss that repeating data brings, None where the noise has none.

        ``mean_excess(noise, inputs)``.
        """
        return getattr(self.noise_model, "mean_excess", None) if self.noise else None

    def range(self, axis: str) -> tuple[float, float]:
        """Least and largest value of the runs along an axis.

        Parameters
        ----------
        axis : str
            A column of the runs, or ``tokens_per_param``.

        Returns
        -------
        tuple of float
            NaN without runs.
        """
        return axis_range(self.runs, axis)

    def beyond(self, **along: Any) -> np.ndarray:
        """Decades by which values of some axes lie outside the runs, as `decades_beyond` says.

        Parameters
        ----------
        along : float or array
            Values by axis.

        Returns
        -------
        numpy.ndarray
            0 inside the range of the runs, NaN without runs.
        """
        return decades_beyond(self.runs, **along)

    def loss(self, params: Any, tokens: Any) -> Any:
        """Loss at N parameters and D tokens, none of them repeated.

        Parameters
        ----------
        params, tokens : array_like
            Arrays or DataArrays that broadcast with the draws.

        Returns
        -------
        xarray.DataArray or numpy.ndarray
            In the unit of the law's response, without noise, of each draw.
        """
        return self.law.fresh(params, tokens, **self.natural)

    def isoflop(self, flops: Any, params: Any) -> Any:
        """Loss along an isoFLOP curve: N varies, D = C/(k N).

        Parameters
        ----------
        flops, params : array_like
            C and N.

        Returns
        -------
        xarray.DataArray or numpy.ndarray
            As of `loss`.
        """
        return self.loss(params, flops / (self.k * params))

    def optimum(self, flops: Any) -> Any:
        """Compute-optimal N, in closed form where the law has one, else by a search.

        Parameters
        ----------
        flops : array_like
            C.

        Returns
        -------
        xarray.DataArray or numpy.ndarray
            N of each draw; NaN where no size is best.
        """
        return self._ask(self.law.optimum or self._search, flops)

    def least_compute(self, loss: Any) -> Any:
        """Compute of the compute-optimal model that reaches a loss.

        In closed form where the law has one, else by a search up to 1e35 FLOPs.

        Parameters
        ----------
        loss : array_like

        Returns
        -------
        xarray.DataArray or numpy.ndarray
            FLOPs, of each draw; infinite where no compute reaches it.
        """
        return self._ask(self.law.compute or self._search_compute, loss)

    def _ask(self, function: Callable[..., Any], asked: Any) -> Any:
        """Call ``function(asked, k, **natural)`` with plain arrays: a search takes many steps."""

        def call(*values: Any) -> Any:
            *parameters, asked = values
            return function(asked, self.k, **dict(zip(self.natural, parameters, strict=True)))

        return xr.apply_ufunc(call, *self.natural.values(), asked, keep_attrs=False)

    def _search(self, flops: Any, k: float, /, **natural: Any) -> np.ndarray:
        """N* by search over log N, for all draws and budgets at once."""
        args = np.broadcast_arrays(np.log(np.asarray(flops) / k), *natural.values())
        low = np.full(args[0].shape, np.log(_SMALLEST))

        def loss(log_params: Any, log_product: Any, *values: Any) -> Any:
            own = dict(zip(natural, values, strict=True))
            return self.law.fresh(np.exp(log_params), np.exp(log_product - log_params), **own)

        return np.exp(find_minimum(loss, low, args[0] - low, args))

    def _search_compute(self, loss: Any, k: float, /, **natural: Any) -> np.ndarray:
        """Least compute by a search over log C, for all draws and losses at once."""
        args = np.broadcast_arrays(np.asarray(loss, dtype=float), *natural.values())
        ends = [np.full(args[0].shape, np.log(c)) for c in (k * _SMALLEST**2 * 10, _MOST_FLOPS)]
        best = self.law.optimum or self._search

        def above(log_flops: Any, asked: Any, *values: Any) -> Any:
            own, flops = dict(zip(natural, values, strict=True)), np.exp(log_flops)
            params = best(flops, k, **own)
            return self.law.fresh(params, flops / (k * params), **own) - asked

        found = elementwise.find_root(above, tuple(ends), args=tuple(args))
        return np.where(above(ends[1], *args) > 0, np.inf, np.exp(found.x))

    @cached_property
    def rows(self) -> "Posterior":
        """The same draws as plain arrays of shape (draws, 1), for SciPy's solvers."""
        natural, noise = (
            {name: _column(draws) for name, draws in values.items()}
            for values in (self.natural, self.noise)
        )
        return replace(self, natural=natural, noise=noise)

    @property
    def sizes(self) -> dict[str, int]:
        """Of the dims chain and draw."""
        found = next(iter(self.natural.values())).sizes
        return {"chain": found["chain"], "draw": found["draw"]}

    @property
    def number(self) -> int:
        """Number of the draws."""
        return self.sizes["chain"] * self.sizes["draw"]

    def to_rows(self, draws: xr.DataArray) -> np.ndarray:
        """Turn draws into rows.

        Parameters
        ----------
        draws : xarray.DataArray
            Dims (chain, draw).

        Returns
        -------
        numpy.ndarray, shape (draws, 1)

        Raises
        ------
        FitError
            If these are not draws of the same fit.
        """
        if dict(draws.sizes) != self.sizes:
            raise FitError(
                "one value a draw of the same fit is needed, dims (chain, draw); got "
                + (", ".join(f"{name}: {size}" for name, size in draws.sizes.items()) or "none")
            )
        return _column(draws)

    def from_rows(self, found: dict[str, np.ndarray], **axis: np.ndarray) -> xr.Dataset:
        """Turn rows, one a draw and a column for each of what was asked, into draws.

        Parameters
        ----------
        found : dict of str to numpy.ndarray
            Of shapes that broadcast to (draws, asked).
        **axis : numpy.ndarray
            What was asked, by the name of its dim; without it there is one column and no dim.

        Returns
        -------
        xarray.Dataset
            Dims (chain, draw), and that of what was asked.
        """
        sizes = self.sizes
        lengths = [len(values) for values in axis.values()]
        shape = self.number, *(lengths or [1])
        variables: dict[str, Any] = {
            name: (
                (*sizes, *axis),
                np.broadcast_to(values, shape).reshape(*sizes.values(), *lengths),
            )
            for name, values in found.items()
        }
        return xr.Dataset(variables, coords=axis)


def _column(draws: xr.DataArray) -> np.ndarray:
    return draws.transpose("chain", "draw").to_numpy().reshape(-1, 1)
