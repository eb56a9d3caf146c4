# Each public name once, by the module it lives in; `as` lets type checkers see it.
from .decisions.accuracies import Accuracies as Accuracies
from .decisions.answer import Answer as Answer
from .decisions.approaches import (
    answer_approaches as answer_approaches,
    compare_approaches as compare_approaches,
    envelope as envelope,
    minima as minima,
    parabola_bias as parabola_bias,
)
from .evaluation.composition import answer_composition as answer_composition
from .evaluation.composition import composition as composition
from .evaluation.backtest import (
    answer_backtest as answer_backtest,
    backtested_at as backtested_at,
)
from .evaluation.backtest import Backtest as Backtest, backtest as backtest
from .curves.answer import answer_curves as answer_curves
from .curves.table import (
    Curve as Curve,
    Curves as Curves,
    classify_curves as classify_curves,
    curve_table as curve_table,
    fit_curves as fit_curves,
)
from .runs.check import Check as Check, Status as Status
from .curves.rule import Shape as Shape
from .curves.shape import (
    CurveShape as CurveShape,
    classify_curve as classify_curve,
    shape_check as shape_check,
)
from .evaluation.checks.held_out import answer_held_out as answer_held_out
from .evaluation.checks.suite import (
    answer_checks as answer_checks,
    check_fit as check_fit,
    check_runs as check_runs,
)
from .decisions.trust import task_doubts as task_doubts
from .evaluation.compare import Comparison as Comparison, compare as compare
from .evaluation.compare import answer_comparison as answer_comparison
from .runs.steps import read_steps as read_steps, steps_to_target as steps_to_target
from .runs.datasets import available_datasets as available_datasets, load_dataset as load_dataset
from .decisions.precision import (
    answer_precision as answer_precision,
    best_precision as best_precision,
    loss_added as loss_added,
)
from .decisions.quality import (
    Corpus as Corpus,
    answer_quality as answer_quality,
    best_corpora as best_corpora,
    best_filter as best_filter,
)
from .decisions.wall import (
    answer_wall as answer_wall,
    best_under_wall as best_under_wall,
    next_epoch as next_epoch,
)
from .decisions.floors import floors as floors
from .decisions.hyperparameters import (
    Bowl as Bowl,
    bowl_of as bowl_of,
    bracketed as bracketed,
    next_sweeps as next_sweeps,
    regrets as regrets,
)
from .decisions.mixtures import (
    BestMixture as BestMixture,
    MixturePlan as MixturePlan,
    answer_mixture as answer_mixture,
    best_mixture as best_mixture,
)
from .decisions.multiplier import (
    answer_multiplier as answer_multiplier,
    answer_multipliers as answer_multipliers,
    compute_multiplier as compute_multiplier,
    constancy as constancy,
    crossing as crossing,
)
from .decisions.next_runs import (
    answer_next_runs as answer_next_runs,
    candidate_runs as candidate_runs,
    expected_reduction as expected_reduction,
    log_optimum as log_optimum,
    suggest_runs as suggest_runs,
)
from .decisions.critical_batch import (
    answer_batch as answer_batch,
    batch_at as batch_at,
    batch_exponents as batch_exponents,
    batch_model as batch_model,
    critical_batches as critical_batches,
)
from .decisions.swept_batch import surface_batches as surface_batches
from .decisions.optimum import answer_optimum as answer_optimum, optimum as optimum
from .decisions.overtraining import (
    answer_overtraining as answer_overtraining,
    at_size as at_size,
    break_even as break_even,
    cheapest as cheapest,
    target_loss as target_loss,
)
from .decisions.plans import (
    answer_plans as answer_plans,
    answer_plans_by_law as answer_plans_by_law,
    plan_outcomes as plan_outcomes,
    rank_plans as rank_plans,
    read_plans as read_plans,
    stack_outcomes as stack_outcomes,
)
from .decisions.predictions import (
    answer_bend as answer_bend,
    answer_predictions as answer_predictions,
)
from .decisions.prices import Prices as Prices
from .decisions.basin import (
    answer_setting_basin as answer_setting_basin,
    setting_basin as setting_basin,
)
from .decisions.experts import (
    answer_experts as answer_experts,
    best_experts as best_experts,
    expert_share as expert_share,
    experts_model as experts_model,
    experts_worth as experts_worth,
    routers_of as routers_of,
)
from .decisions.recipes import (
    answer_recipes as answer_recipes,
    expected_best as expected_best,
    recipe_multipliers as recipe_multipliers,
)
from .posterior.jobs import Job as Job, read_jobs as read_jobs
from .posterior.many import (
    FitRecord as FitRecord,
    Many as Many,
    fit_many as fit_many,
)
from .posterior.recipes import Recipes as Recipes, fit_recipes as fit_recipes
from .runs.mixtures import read_mixtures as read_mixtures
from .runs.recipes import read_recipes as read_recipes
from .decisions.repetition import (
    answer_repetition as answer_repetition,
    effective_repetitions as effective_repetitions,
    epochs_until as epochs_until,
    identified as identified,
    repetition_value as repetition_value,
)
from .decisions.tune import answer_tuning as answer_tuning, fit_tuning as fit_tuning
from .decisions.transfer import (
    answer_transfer as answer_transfer,
    fit_transfer as fit_transfer,
    fit_transfers as fit_transfers,
    transfer as transfer,
)
from .decisions.targets import (
    answer_targets as answer_targets,
    answer_tasks as answer_tasks,
    compute_for as compute_for,
    items_to_see as items_to_see,
    planned_accuracy as planned_accuracy,
    suite_compute_for as suite_compute_for,
    suite_weights as suite_weights,
    usual_ratio as usual_ratio,
)
from .errors import (
    BayescaleError as BayescaleError,
    DatasetError as DatasetError,
    FitError as FitError,
    ModelError as ModelError,
    RunsError as RunsError,
    RunsWarning as RunsWarning,
    UnansweredError as UnansweredError,
)
from .posterior.batched import fit_tables as fit_tables
from .posterior.fit import Fit as Fit
from .posterior.fitting import (
    constants_fit as constants_fit,
    exact_fit as exact_fit,
    fit as fit,
)
from .posterior.loading import load_fit as load_fit
from .curves.forecasts import (
    CurveForecast as CurveForecast,
    forecast_curves as forecast_curves,
    forecast_fitted as forecast_fitted,
    forecast_table as forecast_table,
)
from .curves.sweep import (
    Sweep as Sweep,
    find_optima as find_optima,
    find_optimum as find_optimum,
)
from .draws import summarise as summarise
from .laws import LAWS as LAWS, Law as Law, law as law
from .modelling.build import build_model as build_model
from .decisions.allocation import (
    answer_optima as answer_optima,
    basin as basin,
    compute_optimal as compute_optimal,
    profile_optima as profile_optima,
)
from .plots import (
    plot_allocation as plot_allocation,
    plot_approaches as plot_approaches,
    plot_backtest as plot_backtest,
    plot_basin as plot_basin,
    plot_beyond as plot_beyond,
    plot_bowls as plot_bowls,
    plot_checks as plot_checks,
    plot_comparison as plot_comparison,
    plot_cost as plot_cost,
    plot_corpora as plot_corpora,
    plot_critical_batch as plot_critical_batch,
    plot_curve as plot_curve,
    plot_decision as plot_decision,
    plot_emergence as plot_emergence,
    plot_experts as plot_experts,
    plot_filters as plot_filters,
    plot_mixture as plot_mixture,
    plot_forecast as plot_forecast,
    plot_forest as plot_forest,
    plot_isoflop as plot_isoflop,
    plot_minima as plot_minima,
    plot_multiplier as plot_multiplier,
    plot_recipes as plot_recipes,
    plot_setting_basin as plot_setting_basin,
    plot_next_runs as plot_next_runs,
    plot_optimum as plot_optimum,
    plot_overtraining as plot_overtraining,
    plot_parameters as plot_parameters,
    plot_plans as plot_plans,
    plot_precision as plot_precision,
    plot_predicted as plot_predicted,
    plot_predicted_tasks as plot_predicted_tasks,
    plot_repetition_value as plot_repetition_value,
    plot_shape as plot_shape,
    plot_shrinkage as plot_shrinkage,
    plot_targets as plot_targets,
    plot_transfer as plot_transfer,
    plot_setting_costs as plot_setting_costs,
    plot_setting_path as plot_setting_path,
    plot_wall as plot_wall,
)
from .posterior.prediction import (
    arviz_tree as arviz_tree,
    log_likelihood as log_likelihood,
    predict as predict,
    predict_runs as predict_runs,
    residuals as residuals,
)
from .report.write import write_report as write_report
from .runs.embeddings import (
    non_embedding_params as non_embedding_params,
    total_params as total_params,
)
from .runs.quantisation import read_quantised as read_quantised
from .runs.isoflops import on_isoflops as on_isoflops
from .runs.table import Runs as Runs, read_runs as read_runs
from .runs.sweeps import as_sweep as as_sweep, read_sweep as read_sweep
from .runs.tasks import read_tasks as read_tasks
from .runs.wandb import from_wandb as from_wandb
from .modelling.tuning import sweep_model as sweep_model
from .modelling.spec import (
    ModelSpec as ModelSpec,
    available_models as available_models,
    load_model as load_model,
    parse_model as parse_model,
)
from .draws import stack_draws as stack_draws
