"""Pictures; they compute nothing but intervals. One file a subject."""

from bayescale.plots.fits import (
    plot_allocation,
    plot_basin,
    plot_curve,
    plot_isoflop,
    plot_parameters,
    plot_predicted,
    plot_residuals,
)

__all__ = [
    "plot_allocation",
    "plot_basin",
    "plot_curve",
    "plot_isoflop",
    "plot_parameters",
    "plot_predicted",
    "plot_residuals",
]
