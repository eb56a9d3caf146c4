"""What training and serving a model cost, in FLOPs or in money."""

from dataclasses import dataclass

import numpy as np

from bayescale import words
from bayescale.errors import FitError

SERVING_FLOPS = 2.0
"""FLOPs per parameter and token served: the forward pass (Kaplan et al. 2020, section 2.1)."""

H100 = 989e12
"""Peak of an H100 SXM in dense bfloat16, FLOP/s (NVIDIA's data sheet)."""

_SECONDS_PER_HOUR = 3600.0


def require_positive(what: str, value: float) -> None:
    """Refuse what is no positive finite number.

    Parameters
    ----------
    what : str
        Its name in the error.
    value : float

    Raises
    ------
    FitError
        If it is not.
    """
    if not (np.isfinite(value) and value > 0):
        raise FitError(f"{what} must be positive, got {value:g}")


@dataclass(frozen=True)
class Prices:
    """Price of one FLOP of training and of one FLOP of serving.

    Parameters
    ----------
    training, serving : float
        Price of one FLOP; 1 and 1 count FLOPs.
    unit : str
        What the prices are in: "FLOPs", "$".
    basis : str, optional
        Where they come from, in words.

    Raises
    ------
    FitError
        If a price is not positive.
    """

    training: float = 1.0
    serving: float = 1.0
    unit: str = "FLOPs"
    basis: str = ""

    def __post_init__(self) -> None:
        for name in ("training", "serving"):
            require_positive(f"the price of {name}", getattr(self, name))

    @classmethod
    def of_hardware(
        cls,
        per_hour: float,
        *,
        peak: float = H100,
        training_utilisation: float = 0.4,
        serving_utilisation: float = 0.1,
        serving_per_hour: float | None = None,
        serving_peak: float | None = None,
        unit: str = "$",
    ) -> "Prices":
        """Price FLOPs by what the accelerator costs and how much of its peak is used.

        Parameters
        ----------
        per_hour : float
            Price of one accelerator for an hour.
        peak : float
            Its peak, FLOP/s, in the precision used; by default that of an H100 in bfloat16.
        training_utilisation, serving_utilisation : float
            Share of the peak that training and serving achieve, above 0 and at most 1.
        serving_per_hour, serving_peak : float, optional
            Of the accelerators that serve, where they are others.
        unit : str
            Of the prices.

        Returns
        -------
        Prices

        Raises
        ------
        FitError
            If a price or a peak is not positive, or a utilisation no share.

        Examples
        --------
        >>> prices = Prices.of_hardware(2.0, training_utilisation=0.4, serving_utilisation=0.1)
        >>> round(prices.training * 1e24), round(prices.serving / prices.training)
        (1404337, 4)
        """
        for name, share in (("training", training_utilisation), ("serving", serving_utilisation)):
            if not 0 < share <= 1:
                raise FitError(
                    f"the utilisation of {name} must be a share of the peak above 0 and at most 1, "
                    f"got {share:g}"
                )
        hourly = per_hour if serving_per_hour is None else serving_per_hour
        fastest = peak if serving_peak is None else serving_peak
        for speed in (peak, fastest):
            require_positive("the peak in FLOP/s", speed)
        return cls(
            per_hour / (_SECONDS_PER_HOUR * peak * training_utilisation),
            hourly / (_SECONDS_PER_HOUR * fastest * serving_utilisation),
            unit,
            f"training at {unit}{per_hour:g} an hour with {training_utilisation:.0%} of a peak of "
            f"{words.flops(peak)} FLOP/s, serving at {unit}{hourly:g} with "
            f"{serving_utilisation:.0%} of {words.flops(fastest)}",
        )


IN_FLOPS = Prices()
"""Every FLOP counts the same."""
