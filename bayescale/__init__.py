"""Bayesian neural scaling laws: from a table of training runs to a posterior over the next run.

The public names below live in the modules beside this one; they are loaded when first used, because
importing PyMC takes seconds and reading runs or listing models does not need it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayescale.approaches import (
        compare_approaches,
        envelope,
        minima,
        on_isoflops,
        parabola_bias,
        profile_optima,
    )
    from bayescale.backtest_summary import backtested_at, describe_backtest, summarise_backtest
    from bayescale.backtesting import Backtest, backtest
    from bayescale.checks.curves import classify_curves
    from bayescale.checks.result import Check, Status
    from bayescale.checks.rule import Shape
    from bayescale.checks.shape import CurveShape, classify_curve, shape_check
    from bayescale.checks.suite import check_fit, check_runs
    from bayescale.comparison import Comparison, compare
    from bayescale.comparison_summary import summarise_comparison
    from bayescale.datasets import available_datasets, load_dataset
    from bayescale.decisions.data_wall import best_under_wall, next_epoch
    from bayescale.decisions.multiplier import compute_multiplier, constancy, crossing
    from bayescale.decisions.next_runs import (
        candidate_runs,
        expected_reduction,
        log_optimum,
        suggest_runs,
    )
    from bayescale.decisions.overtraining import at_size, break_even, cheapest, target_loss
    from bayescale.decisions.plans import plan_outcomes, rank_plans, read_plans, stack_outcomes
    from bayescale.decisions.prices import Prices
    from bayescale.decisions.repetition import (
        effective_repetitions,
        epochs_until,
        identified,
        repetition_value,
    )
    from bayescale.errors import (
        BayescaleError,
        DatasetError,
        FitError,
        ModelError,
        RunsError,
        RunsWarning,
    )
    from bayescale.fitting import Fit, constants_fit, fit, load_fit
    from bayescale.forecasts.curve import Forecast, local_slope
    from bayescale.forecasts.table import CurveForecast, forecast_curves, forecast_table
    from bayescale.intervals import summarise
    from bayescale.laws import LAWS, Law, law
    from bayescale.model import build_model
    from bayescale.optima import basin, compute_optimal
    from bayescale.plots import (
        plot_allocation,
        plot_approaches,
        plot_backtest,
        plot_basin,
        plot_beyond,
        plot_checks,
        plot_comparison,
        plot_cost,
        plot_curve,
        plot_forecast,
        plot_forest,
        plot_isoflop,
        plot_minima,
        plot_multiplier,
        plot_next_runs,
        plot_overtraining,
        plot_parameters,
        plot_plans,
        plot_predicted,
        plot_repetition_value,
        plot_shape,
        plot_shrinkage,
        plot_wall,
    )
    from bayescale.prediction import arviz_tree, log_likelihood, predict, predict_runs, residuals
    from bayescale.report import write_report
    from bayescale.runs import Runs, read_runs
    from bayescale.spec import ModelSpec, available_models, load_model, parse_model
    from bayescale.stacking import stack_draws

_HOME = {
    "approaches": (
        "compare_approaches",
        "envelope",
        "minima",
        "on_isoflops",
        "parabola_bias",
        "profile_optima",
    ),
    "backtest_summary": ("describe_backtest", "summarise_backtest", "backtested_at"),
    "backtesting": ("Backtest", "backtest"),
    "checks.curves": ("classify_curves",),
    "checks.result": ("Check", "Status"),
    "checks.rule": ("Shape",),
    "checks.shape": ("CurveShape", "classify_curve", "shape_check"),
    "checks.suite": ("check_fit", "check_runs"),
    "comparison": ("Comparison", "compare"),
    "comparison_summary": ("summarise_comparison",),
    "datasets": ("available_datasets", "load_dataset"),
    "decisions.data_wall": ("best_under_wall", "next_epoch"),
    "decisions.multiplier": ("compute_multiplier", "constancy", "crossing"),
    "decisions.next_runs": ("candidate_runs", "expected_reduction", "log_optimum", "suggest_runs"),
    "decisions.overtraining": ("at_size", "break_even", "cheapest", "target_loss"),
    "decisions.plans": ("plan_outcomes", "rank_plans", "read_plans", "stack_outcomes"),
    "decisions.prices": ("Prices",),
    "decisions.repetition": (
        "effective_repetitions",
        "epochs_until",
        "identified",
        "repetition_value",
    ),
    "errors": (
        "BayescaleError",
        "DatasetError",
        "FitError",
        "ModelError",
        "RunsError",
        "RunsWarning",
    ),
    "fitting": ("Fit", "constants_fit", "fit", "load_fit"),
    "forecasts.curve": ("Forecast", "local_slope"),
    "forecasts.table": ("CurveForecast", "forecast_curves", "forecast_table"),
    "intervals": ("summarise",),
    "laws": ("LAWS", "Law", "law"),
    "model": ("build_model",),
    "optima": ("basin", "compute_optimal"),
    "plots": (
        "plot_allocation",
        "plot_approaches",
        "plot_backtest",
        "plot_basin",
        "plot_beyond",
        "plot_checks",
        "plot_comparison",
        "plot_cost",
        "plot_curve",
        "plot_forecast",
        "plot_forest",
        "plot_isoflop",
        "plot_minima",
        "plot_multiplier",
        "plot_next_runs",
        "plot_overtraining",
        "plot_parameters",
        "plot_plans",
        "plot_predicted",
        "plot_repetition_value",
        "plot_shape",
        "plot_shrinkage",
        "plot_wall",
    ),
    "prediction": ("arviz_tree", "log_likelihood", "predict", "predict_runs", "residuals"),
    "report": ("write_report",),
    "runs": ("Runs", "read_runs"),
    "spec": ("ModelSpec", "available_models", "load_model", "parse_model"),
    "stacking": ("stack_draws",),
}

__all__ = [  # noqa: RUF022  (in the order of a study)
    "read_runs",
    "Runs",
    "load_dataset",
    "available_datasets",
    "load_model",
    "parse_model",
    "available_models",
    "ModelSpec",
    "Law",
    "LAWS",
    "law",
    "build_model",
    "fit",
    "Fit",
    "load_fit",
    "constants_fit",
    "predict",
    "predict_runs",
    "residuals",
    "log_likelihood",
    "arviz_tree",
    "compute_optimal",
    "basin",
    "envelope",
    "on_isoflops",
    "profile_optima",
    "minima",
    "parabola_bias",
    "compare_approaches",
    "compute_multiplier",
    "constancy",
    "crossing",
    "repetition_value",
    "epochs_until",
    "effective_repetitions",
    "identified",
    "Prices",
    "target_loss",
    "cheapest",
    "at_size",
    "break_even",
    "best_under_wall",
    "next_epoch",
    "read_plans",
    "plan_outcomes",
    "stack_outcomes",
    "rank_plans",
    "log_optimum",
    "candidate_runs",
    "suggest_runs",
    "expected_reduction",
    "classify_curve",
    "classify_curves",
    "CurveShape",
    "Shape",
    "shape_check",
    "forecast_curves",
    "forecast_table",
    "CurveForecast",
    "Forecast",
    "local_slope",
    "check_runs",
    "check_fit",
    "compare",
    "Comparison",
    "summarise_comparison",
    "stack_draws",
    "backtest",
    "Backtest",
    "describe_backtest",
    "summarise_backtest",
    "backtested_at",
    "Check",
    "Status",
    "summarise",
    "plot_allocation",
    "plot_approaches",
    "plot_backtest",
    "plot_basin",
    "plot_beyond",
    "plot_checks",
    "plot_comparison",
    "plot_curve",
    "plot_cost",
    "plot_overtraining",
    "plot_plans",
    "plot_next_runs",
    "plot_wall",
    "plot_forecast",
    "plot_forest",
    "plot_isoflop",
    "plot_minima",
    "plot_multiplier",
    "plot_parameters",
    "plot_predicted",
    "plot_repetition_value",
    "plot_shape",
    "plot_shrinkage",
    "write_report",
    "BayescaleError",
    "RunsError",
    "ModelError",
    "FitError",
    "DatasetError",
    "RunsWarning",
]


def __getattr__(name: str) -> Any:
    for module, names in _HOME.items():
        if name in names:
            return getattr(import_module(f"bayescale.{module}"), name)
    raise AttributeError(f"module 'bayescale' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
