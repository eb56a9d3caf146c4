"""Which tokens per parameter an answer may have, and what speaks against where it lies."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from bayescale import words
from bayescale.decisions.prices import require_positive
from bayescale.errors import FitError
from bayescale.posterior.fit import Fit
from bayescale.runs.range import TOKENS_PER_PARAM, axis_range, decades_beyond
from bayescale.runs.table import Runs

_AXES = {
    "params": "parameters",
    "tokens": "tokens",
    "flops": "compute",
    TOKENS_PER_PARAM: "tokens per parameter",
}
_SAME = 1.01  # factor beyond an end that is no difference


@dataclass(frozen=True)
class Ratios:
    """Tokens per parameter that an answer may have.

    Parameters
    ----------
    low, high : float
        0 and infinity where nobody says.
    source : str
        "runs", "asked", or "" where nobody says.
    """

    low: float
    high: float
    source: str

    @classmethod
    def of(cls, runs: Runs, min_ratio: float | None, max_ratio: float | None) -> "Ratios":
        """Take the range that is asked for, and else that of the runs.

        Parameters
        ----------
        runs : Runs
        min_ratio, max_ratio : float or None

        Returns
        -------
        Ratios

        Raises
        ------
        FitError
            If an end is not positive, or they leave nothing.
        """
        for name, value in (("min_ratio", min_ratio), ("max_ratio", max_ratio)):
            if value is not None:
                require_positive(name, value)
        low, high = axis_range(runs, TOKENS_PER_PARAM) if len(runs) else (0.0, np.inf)
        low = low if min_ratio is None else float(min_ratio)
        high = high if max_ratio is None else float(max_ratio)
        if low > high:
            raise FitError(
                f"from {low:.4g} to {high:.4g} there are no tokens per parameter; give min_ratio "
                "and max_ratio, the smaller one first"
            )
        if min_ratio is not None or max_ratio is not None:
            return cls(low, high, "asked")
        return cls(low, high, "runs" if len(runs) else "")

    def outside(self, ratio: Any) -> np.ndarray:
        """Whether ratios lie outside; not of what is NaN.

        Parameters
        ----------
        ratio : array_like

        Returns
        -------
        numpy.ndarray of bool
        """
        values = np.asarray(ratio, dtype=float)
        return (values < self.low / _SAME) | (values > self.high * _SAME)

    def __str__(self) -> str:
        low, high = words.significant(self.low), words.significant(self.high)
        ends = {
            (False, True): f"at least {low}",
            (True, False): f"at most {high}",
            (False, False): low if low == high else f"{low} to {high}",
        }
        whose = "as the runs have" if self.source == "runs" else "as asked"
        return f"{ends[self.low == 0, np.isinf(self.high)]} tokens per parameter, {whose}"

    def mark(self, ratio: float | None) -> str:
        """Say of a model that it lies outside; nothing of one that does not.

        Parameters
        ----------
        ratio : float or None
            Its tokens per parameter.

        Returns
        -------
        str
            A sentence, or empty.
        """
        if ratio is None or not self.outside(ratio):
            return ""
        return f"Its {words.significant(ratio)} tokens per parameter lie outside {self}."

    @property
    def said(self) -> str:
        """The range, and how a person changes that of the runs."""
        change = "--min-ratio and --max-ratio (min_ratio, max_ratio) set another range"
        return f"{self}; {change}" if self.source == "runs" else str(self)

    @property
    def record(self) -> dict[str, Any]:
        """As JSON has it: ``min``, ``max`` and ``of``, "runs", "asked" or null."""
        return {"min": self.low, "max": self.high, "of": self.source or None}


def failed_beyond(fit: Fit, params: Any, tokens: Any) -> list[str]:
    """Say along which axes models leave the runs although a check along it FAILed.

    Parameters
    ----------
    fit : Fit
        Of one group where there are groups.
    params, tokens : float or array_like
        Of the models.

    Returns
    -------
    list of str
        A sentence for each axis.
    """
    if not fit.failures or len(fit.runs) == 0:
        return []
    params, tokens = np.asarray(params, dtype=float), np.asarray(tokens, dtype=float)
    flops = fit.runs.flops_per_param_token * params * tokens
    places = {
        "params": params,
        "tokens": tokens,
        "flops": flops,
        TOKENS_PER_PARAM: tokens / params,
    }
    said = []
    for axis, values in places.items():
        ends = f"along {axis}", f"along {_AXES[axis]}"
        failed = [name for name in fit.failures if name.endswith(ends)]
        if failed and np.nan_to_num(decades_beyond(fit.runs, **{axis: values})).any():
            said.append(f"Beyond the runs along {_AXES[axis]}, where FAILed: {', '.join(failed)}.")
    return said
