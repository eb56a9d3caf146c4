"""IsoFLOP profiles: one curve in log N for each budget, their minima on a power law in compute."""

from typing import Any

import numpy as np

from bayescale.laws.law import (
    FLOPS,
    LOSS,
    PARAMS,
    POSITIVE,
    REAL,
    UNIT,
    Allocation,
    Coordinates,
    Function,
    Values,
    context,
    law,
)

_SAMPLED = {
    **{"level": REAL, "size": REAL, "a": UNIT},
    **{"curvature": POSITIVE, "skew": UNIT, "steepness": POSITIVE},
}


def _to_natural(sampled: Values, reference: tuple[Any, ...], function: Function) -> dict[str, Any]:
    """N* is exp(size) times the reference params at the reference budget; skew shares the walls."""
    params, _, budget = reference
    a, steepness = sampled["a"], sampled["steepness"]
    return {
        "L_min": np.exp(sampled["level"]),
        "G": params * np.exp(sampled["size"]) * budget**-a,
        "a": a,
        "curvature": sampled["curvature"],
        "left": steepness * (1.0 - sampled["skew"]),
        "right": steepness * sampled["skew"],
    }


def _compute_optimal(flops: Any, k: float, *, G: Any, a: Any, **shape: Any) -> Any:
    r"""N* = G C^a; `k` is not needed, because the minima are told in compute."""
    return G * flops**a


@law(
    response=LOSS,
    inputs=(PARAMS, FLOPS, context("budget")),
    parameters={
        **{"L_min": POSITIVE, "G": POSITIVE, "a": UNIT},
        **{"curvature": POSITIVE, "left": POSITIVE, "right": POSITIVE},
    },
    coordinates=Coordinates(_SAMPLED, _to_natural),
    allocation=Allocation(optimum=_compute_optimal),
    minimum_along=("params",),
)
def isoflop_profile(
    params: Any,
    flops: Any,
    budget: Any,
    *,
    L_min: Any,
    G: Any,
    a: Any,
    curvature: Any,
    left: Any,
    right: Any,
) -> Any:
    r"""Profile :math:`L(x) = L_\min (1 + \frac{c}{p+q}[\frac{e^{-px}-1}{p} + \frac{e^{qx}-1}{q}])`.

    Hoffmann et al. (2022), "Training Compute-Optimal Large Language Models", section 3.2
    ("Approach 2"), with :math:`x = \log(N/N^*)` and :math:`N^* = G C^a`. The paper fits a parabola
    to each budget, which misplaces the minimum of a lopsided curve: Czech et al. (2026),
    arXiv:2603.22339. This curve has one minimum, its two sides may differ, and it is exact where
    the joint law holds: then p = alpha, q = beta and a = q/(p+q).

    A run that missed its budget C by the factor C'/C saw that many times the tokens, so x is
    :math:`\log(N/N^*)` in the first term and :math:`\log(N/N^*) - \log(C'/C)` in the second.

    Parameters
    ----------
    params, flops : array_like
        N, a count, and the run's own compute C', FLOPs.
    budget : array_like
        Compute C of the isoFLOP curve that the run belongs to, FLOPs.
    L_min : array_like
        Loss at the minimum of the curve, nats per token.
    G : array_like
        N* at C = 1 FLOP, params.
    a : array_like
        Exponent of N* in compute.
    curvature : array_like
        c, the second derivative of log L in log N at the minimum.
    left, right : array_like
        p and q, exponents of the walls: how fast loss rises in models too small and too large.

    Returns
    -------
    array_like
        Loss, nats per token.

    Notes
    -----
    Sampled are level = log L_min, size = log of N* over the runs' geometric mean of N, both at the
    geometric mean of the budgets; a and c; skew = q/(p+q), a half for a symmetric curve; and
    steepness = p + q, on which narrow grids say little.
    """
    below = np.log(params / (G * budget**a))
    above = below - np.log(flops / budget)
    walls = np.expm1(-left * below) / left + np.expm1(right * above) / right
    return L_min * (1 + curvature * walls / (left + right))
