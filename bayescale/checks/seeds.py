"""Whether runs scatter about the law more than seeds do."""

from bayescale.checks.result import Check, Status
from bayescale.fitting import Fit
from bayescale.noise import SEED

MAX_RATIO = 2.0
"""Scatter about the law over the sd between seeds, above which something else moves the loss."""


def seed_check(fit: Fit) -> list[Check]:
    """Compare sigma, what configurations have in common with no law, with the sd between seeds.

    Empty where no configuration has replicates.
    """
    noise = fit.noise
    if SEED not in noise:
        return []
    ratio = noise["sigma"] / noise[SEED]
    if "group" in ratio.dims:
        ratio = ratio.max("group")
    least = float(ratio.quantile(0.05))
    middle = float(ratio.median())
    said = f"configurations scatter about the law {middle:.1f} times as much as their seeds do"
    if least <= MAX_RATIO:
        return [Check("scatter beyond seeds", Status.PASS, least, MAX_RATIO, said)]
    return [
        Check(
            "scatter beyond seeds",
            Status.REVIEW,
            least,
            MAX_RATIO,
            f"{said}: hyper-parameters or a misfit of the law move the loss, not chance",
            "More seeds will not help; look at the residuals along each axis, or tune every run.",
        )
    ]
