"""Draws of one joint law as rows of plain arrays, which SciPy's solvers take."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from bayescale.errors import FitError
from bayescale.laws import Law
from bayescale.posterior.fit import Fit


def require_one_joint_law(fit: Fit) -> None:
    """Refuse what does not trade params against tokens, and several groups at once.

    Raises
    ------
    FitError
        For such a fit; the message says what to do.
    """
    fit.require_joint()
    if fit.groups:
        raise FitError(
            "decide for one group at a time; take it with fit.of_group(...) (--group), of "
            + ", ".join(fit.groups)
        )


def around(values: Sequence[float], *, points: int = 25) -> list[float]:
    """Log-spaced values from a tenth of the least of those asked to ten times the largest.

    For a picture; zeros are left out.
    """
    asked = [value for value in values if value > 0] or [1e12]
    return np.geomspace(min(asked) / 10, max(asked) * 10, points).tolist()


@dataclass(frozen=True)
class Draws:
    """Every draw a row, everything asked a column.

    Parameters
    ----------
    law : Law
    natural, noise : dict of numpy.ndarray, shape (draws, 1)
        The law's parameters, and those of the noise.
    sizes : dict
        Of the dims chain and draw.
    """

    law: Law
    natural: dict[str, np.ndarray]
    noise: dict[str, np.ndarray]
    sizes: dict[str, int]

    @classmethod
    def of(cls, fit: Fit) -> "Draws":
        """Read the fit, or refuse it."""
        require_one_joint_law(fit)
        posterior = fit.posterior.sizes
        sizes = {"chain": posterior["chain"], "draw": posterior["draw"]}
        natural, noise = (
            {name: _column(value) for name, value in values.items()}
            for values in (fit.natural, fit.noise)
        )
        return cls(fit.law, natural, noise, sizes)

    @property
    def shape(self) -> tuple[int, int]:
        """Of one value a draw."""
        return self.sizes["chain"] * self.sizes["draw"], 1

    def rows(self, draws: xr.DataArray) -> np.ndarray:
        """Turn dims (chain, draw) into one value a draw."""
        if dict(draws.sizes) != self.sizes:
            raise FitError(
                "one value a draw of the same fit is needed, dims (chain, draw); got "
                + (", ".join(f"{name}: {size}" for name, size in draws.sizes.items()) or "none")
            )
        return _column(draws)

    def array(self, rows: np.ndarray) -> xr.DataArray:
        """Turn one value a draw into dims (chain, draw)."""
        return xr.DataArray(rows.reshape(tuple(self.sizes.values())), dims=tuple(self.sizes))

    def dataset(self, found: dict[str, np.ndarray], **axis: np.ndarray) -> xr.Dataset:
        """Turn (draws, asked) into dims (chain, draw, asked)."""
        ((name, values),) = axis.items()
        shape = (*self.sizes.values(), len(values))
        full = (self.shape[0], len(values))
        variables: dict[str, Any] = {
            variable: ((*self.sizes, name), np.broadcast_to(value, full).reshape(shape))
            for variable, value in found.items()
        }
        return xr.Dataset(variables, coords={name: values})


def _column(draws: xr.DataArray) -> np.ndarray:
    return draws.transpose("chain", "draw").to_numpy().reshape(-1, 1)
