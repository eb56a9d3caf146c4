"""Pictures; they compute nothing but intervals. One file a subject."""

from bayescale.plots.approaches import plot_approaches, plot_minima
from bayescale.plots.backtest import plot_backtest
from bayescale.plots.basin import plot_setting_basin
from bayescale.plots.beyond import plot_beyond
from bayescale.plots.bowls import plot_bowls
from bayescale.plots.checks import plot_checks
from bayescale.plots.comparison import plot_comparison
from bayescale.plots.critical_batch import plot_critical_batch
from bayescale.plots.curves import plot_forecast, plot_shape
from bayescale.plots.decision import plot_decision
from bayescale.plots.decisions import (
    plot_cost,
    plot_next_runs,
    plot_overtraining,
    plot_plans,
    plot_wall,
)
from bayescale.plots.experts import plot_experts
from bayescale.plots.fits import (
    plot_allocation,
    plot_basin,
    plot_curve,
    plot_isoflop,
    plot_parameters,
    plot_predicted,
)
from bayescale.plots.groups import plot_forest, plot_shrinkage
from bayescale.plots.mixtures import plot_mixture
from bayescale.plots.multiplier import plot_multiplier
from bayescale.plots.optimum import plot_optimum
from bayescale.plots.precision import plot_precision
from bayescale.plots.quality import plot_corpora, plot_filters
from bayescale.plots.recipes import plot_recipes
from bayescale.plots.repetition import plot_repetition_value
from bayescale.plots.targets import plot_emergence, plot_predicted_tasks, plot_targets
from bayescale.plots.transfer import plot_transfer
from bayescale.plots.tuning import plot_setting_costs, plot_setting_path

__all__ = [
    "plot_allocation",
    "plot_approaches",
    "plot_backtest",
    "plot_basin",
    "plot_beyond",
    "plot_bowls",
    "plot_checks",
    "plot_comparison",
    "plot_corpora",
    "plot_cost",
    "plot_critical_batch",
    "plot_curve",
    "plot_decision",
    "plot_emergence",
    "plot_experts",
    "plot_filters",
    "plot_forecast",
    "plot_forest",
    "plot_isoflop",
    "plot_minima",
    "plot_mixture",
    "plot_multiplier",
    "plot_next_runs",
    "plot_optimum",
    "plot_overtraining",
    "plot_parameters",
    "plot_plans",
    "plot_precision",
    "plot_predicted",
    "plot_predicted_tasks",
    "plot_recipes",
    "plot_repetition_value",
    "plot_setting_basin",
    "plot_setting_costs",
    "plot_setting_path",
    "plot_shape",
    "plot_shrinkage",
    "plot_targets",
    "plot_transfer",
    "plot_wall",
]
