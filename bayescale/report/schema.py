"""What commands write as JSON, as types, and the JSON schemas that follow from them.

`schema_of` turns these types into JSON Schema: the keys of a class are required unless they are
`NotRequired`, and there are no others unless it is open: then others have the names of the user's
columns. All but the lists of models and datasets say their version, and the ``$id`` of a schema
names it. What fields mean stands in `bayescale.report.fields`. Intervals are central 90%.
"""

import types
from collections.abc import Callable
from typing import Any, Literal, NotRequired, TypedDict, Union, get_args, get_origin, is_typeddict
from typing import get_type_hints as hints_of

from bayescale.files import SCHEMA
from bayescale.report.fields import meaning

_OPEN: dict[type, Any] = {}


def opened[T](others: Any) -> Callable[[type[T]], type[T]]:
    """Let a record have keys named by the user's columns.

    Parameters
    ----------
    others : type
        Of the values of these.

    Returns
    -------
    callable
        A decorator.
    """

    def mark(record: type[T]) -> type[T]:
        _OPEN[record] = others
        return record

    return mark


type Number = float | None


class Quantity(TypedDict):
    """Median and ends of the central 90% interval; null where one is unbounded."""

    median: Number
    q05: Number
    q95: Number


class Versioned(TypedDict):
    """What says by which version of these schemas it was written."""

    schema: Literal[2]


class Answered(Versioned):
    """What every answer has."""

    converged: bool | None
    problems: list[str]
    sentences: list[str]
    caveats: list[str]


class Standing(Answered):
    """An answer of a fit, with the checks that failed."""

    failed: list[str]


class Verdict(TypedDict):
    """What an answer is worth."""

    word: str
    reason: str


class Exact(TypedDict):
    """What the law taken as exact says of a budget."""

    params: Quantity
    tokens: Quantity
    tokens_per_param: Quantity
    loss: Quantity
    a: Quantity
    b: Quantity
    disagrees: bool


class Surest(TypedDict):
    """The size that wastes so little in most draws, and in which share of them."""

    params: float
    probability: float


class Basin(TypedDict):
    """Sizes that waste no more than a share of the compute."""

    excess: float
    lower: Quantity
    upper: Quantity
    surest: Surest | None


class Optimum(TypedDict):
    """The compute-optimal model of a budget."""

    group: str | None
    flops: float
    data: str
    decades_beyond: Number
    beyond: dict[str, Number]
    marks: list[str]
    bends: bool
    without_optimum: Number
    failed: list[str]
    verdict: Verdict
    params: Quantity
    tokens: Quantity
    tokens_per_param: Quantity
    loss: Quantity | None
    a: Quantity
    b: Quantity
    basin: list[Basin]
    exact: Exact | None
    tested: str | None


@opened(Quantity | bool)
class ExactPrediction(TypedDict):
    """What the law taken as exact says of a run."""

    disagrees: bool


@opened(Quantity)
class Prediction(TypedDict):
    """What a law says of the largest run, made larger."""

    group: str | None
    axis: str
    value: float
    at: dict[str, Any]
    at_best: list[str]
    decades_beyond: Number
    bends: bool
    failed: list[str]
    verdict: Verdict
    exact: ExactPrediction | None
    tested: str | None


@opened(Quantity)
class Best(TypedDict):
    """The best value of a knob, or the best mixture by its parts."""

    group: NotRequired[str | None]
    over: str
    at: dict[str, Any]
    best: Quantity | dict[str, Quantity]
    at_end: float | dict[str, float]
    seen: list[float] | dict[str, list[float]]


class Target(TypedDict):
    """Compute that a group needs for a loss, over that of another."""

    loss: float
    multiplier: Quantity
    unreachable: dict[str, float]
    decades_beyond: dict[str, float]


class Parameter(Quantity):
    """A parameter of the law."""

    mean: Number
    sd: Number
    r_hat: Number
    ess_bulk: Number


class Response(TypedDict):
    """What the law says of a run."""

    name: str
    column: str
    unit: str


class Source(TypedDict):
    """The table of runs."""

    rows: int
    source: str
    sha256: str


class Cells(Source):
    """The table of runs, replicates together."""

    cells: int


class CheckRecord(TypedDict):
    """How a check ended."""

    name: str
    status: Literal["PASS", "REVIEW", "FAIL"]
    statistic: Number
    threshold: Number
    message: str
    advice: str


class Notice(TypedDict):
    """What looks doubtful about runs, and in which rows."""

    name: str
    message: str
    advice: str
    rows: list[int]


class Groups(TypedDict):
    """Groups of runs, and what a new one would be."""

    column: str
    runs: dict[str, int]
    pooling: dict[str, str]
    new_group: dict[str, Quantity]


class Bend(TypedDict):
    """How far the law may bend, and how much it does among the runs."""

    sd: float
    length: float
    axes: list[str]
    per_decade: Quantity


class Constancy(TypedDict):
    """Whether the multiplier changes from the easiest loss to the hardest."""

    easiest: float
    hardest: float
    log_ratio: Quantity
    p_grows: float


class Crossing(TypedDict):
    """How probably two groups cross below a budget."""

    flops: float
    probability: float


class AgainstBest(TypedDict):
    """Compute that a group needs against the best one."""

    group: str
    reference: str
    targets: list[Target]
    constancy: Constancy
    crossing: list[Crossing]


class Refused(TypedDict):
    """Why groups are not compared."""

    refused: str


class Worth(TypedDict):
    """Epochs until a token of them is worth a share of a fresh one."""

    worth: float
    epochs: Quantity


class RepetitionWorth(TypedDict):
    """What repeated data are worth to a model of some size."""

    group: str | None
    params: float
    identified: bool
    most_repetitions: Number
    R_D: Quantity
    epochs_until: list[Worth]
    sentence: str


class BacktestPart(TypedDict):
    """How far predictions of the past held."""

    converged: bool | None
    problems: list[str]
    sentences: list[str]
    caveats: list[str]
    model: str
    axis: str
    farthest: float
    laws: list[str]
    cuts: list[dict[str, Any]]
    distances: list[dict[str, Any]]
    left_out: list[str]


class Approach(TypedDict):
    """What one of the three approaches finds."""

    flops: float
    approach: str
    params: Quantity
    tokens: Quantity
    tokens_per_param: Quantity


class Disagreement(TypedDict):
    """Two approaches at a budget, by the log ratio of their N*."""

    flops: float
    first: str
    second: str
    log_ratio: Quantity
    p_first_larger: float


class ParabolaError(Quantity):
    """Share by which parabolas would miss D*."""

    flops: float


class Approaches(TypedDict):
    """The three approaches side by side."""

    a: dict[str, Quantity]
    optima: list[Approach]
    disagreement: list[Disagreement]
    parabola_tokens_error: list[ParabolaError]
    left_out: list[str]


class Diagnostics(TypedDict):
    """Whether the sampler reached the posterior, and what it cost."""

    converged: bool
    problems: list[str]
    divergences: int
    maxdepth_reached: int
    max_r_hat: Number
    min_ess_bulk: Number
    seconds_compile: Number
    seconds_sample: Number
    needed: float
    unsampled: list[str]


@opened(Number)
class HeldOutRun(TypedDict):
    """A run that was not fitted, beside what was predicted of it."""

    run: str
    residual: float
    predicted: Quantity


class HeldOut(TypedDict):
    """Runs that were not fitted."""

    where: str
    runs: int
    inside: int
    coverage: float
    p_value: float
    rmsle: float
    rows: list[HeldOutRun]


class Task(TypedDict):
    """Runs of a task: the largest one's accuracy, and what the law says it knows past guessing."""

    task: str
    runs: int
    items: Number
    chance: Number
    flops: float
    observed: float
    known: Quantity


class SweptCell(TypedDict):
    """The best settings of a cell, and how probably they lie within what was tried."""

    cell: str
    params: Number
    tokens: Number
    runs: int
    far: int
    best: dict[str, Quantity]
    tried: dict[str, list[float]]
    p_inside: dict[str, float]
    p_below: dict[str, float]
    p_above: dict[str, float]


class Settings(TypedDict):
    """The best settings of the cells of a sweep, and how they move."""

    knobs: list[str]
    exponents: dict[str, dict[str, Quantity]]
    cells: list[SweptCell]


class Report(Standing):
    """All answers of a fit: summary.json."""

    model: str
    law: str
    response: Response
    opening: list[str]
    runs: Source
    groups: Groups | None
    parameters: dict[str, Parameter]
    optima: list[Optimum]
    predictions: list[Prediction]
    tasks: list[Task]
    settings: Settings | None
    best: list[Best]
    bend: Bend | None
    multipliers: list[AgainstBest | Refused]
    repetition: list[RepetitionWorth]
    approaches: Approaches | None
    diagnostics: Diagnostics
    checks: list[CheckRecord]
    held_out: HeldOut | None
    not_backtested: str | None
    backtest: BacktestPart | None
    notices: list[Notice]


class Optima(Standing):
    """Compute-optimal models."""

    optima: list[Optimum]


class Size(TypedDict):
    """What a model of a given size costs."""

    params: float
    tokens: Quantity
    tokens_per_param: Quantity
    training: Quantity
    serving: Quantity
    cost: Quantity
    overhead: Quantity
    infeasible: float


@opened(Quantity)
class Served(TypedDict):
    """The cheapest model that serves so many tokens."""

    inference_tokens: float
    params: Quantity
    tokens: Quantity
    infeasible: float
    farthest: Number
    sizes: list[Size]


class BreakEven(TypedDict):
    """Tokens served from which on the smaller of two sizes is cheaper."""

    smaller: float
    larger: float
    inference_tokens: Quantity
    p_neither: float
    p_only_larger: float


class Ratios(TypedDict):
    """Tokens per parameter that an answer keeps to: those of the runs, or asked ones."""

    min: Number
    max: Number
    of: Literal["runs", "asked"] | None


class Overtraining(Standing):
    """The cheapest model of a loss."""

    target_loss: Quantity
    bends: bool
    unit: str
    caps: dict[str, float]
    overtraining: list[Served]
    break_even: list[BreakEven]
    ratios: Ratios


class NextEpoch(TypedDict):
    """What one more epoch would do."""

    after: float
    gain: Quantity
    harm: float


class RepeatUntil(TypedDict):
    """Epochs until other data of some worth are better."""

    quality: float
    epochs: Quantity


class Wall(TypedDict):
    """The best model of a budget when the data end."""

    flops: float
    unique_tokens: float
    decades_beyond: Number
    params: Quantity
    tokens: Quantity
    epochs: Quantity
    spent: Quantity
    loss: Quantity
    fresh_loss: Quantity
    price_of_a_token: Quantity
    twice_unique_tokens: Quantity
    twice_flops: Quantity
    next_epoch: NextEpoch | None
    R_D_identified: bool
    repeat_until: list[RepeatUntil]


class Repetition(Standing):
    """The best models when the data end."""

    repetition: list[Wall]


class Within(TypedDict):
    """How probably a plan is nearly the best."""

    excess: float
    probability: float


class Plan(TypedDict):
    """A plan and what speaks for it."""

    plan: str
    params: float
    tokens: float
    unique_tokens: Number
    flops: float
    cost: Number
    loss: Quantity
    p_best: float
    p_within: list[Within]
    p_dominated: float
    expected_regret: float
    expected_regret_flops: Number
    expected_regret_cost: Number
    regret: Quantity
    decades_beyond: Number
    farthest: Number
    outside: bool


class Plans(Standing):
    """Candidate plans, and the one to choose."""

    plans: list[Plan]
    choice: str
    unit: str
    bends: bool


class NextRuns(Standing):
    """Runs that would make a quantity surer."""

    quantity: str
    sd: float
    expected_sd: float
    next_runs: list[dict[str, Any]]
    baselines: list[dict[str, Any]]
    ratios: Ratios


class Better(TypedDict):
    """Loss of a group less that of the reference at a budget, and whether it is less."""

    flops: float
    difference: Quantity
    p_better: float
    decades_beyond: float


class Multiplier(Standing):
    """Compute that one group needs for the loss of another."""

    group: str
    reference: str
    targets: list[Target]
    budgets: list[Better]


class Above(TypedDict):
    """How probably an accuracy is above another: by the law, and as measured of one run."""

    accuracy: float
    probability: float
    measured: Number


class Score(TypedDict):
    """What a planned run would score: by the law, and as measured of one run."""

    accuracy: Quantity
    measured: Quantity | None
    above: Above | None


class TaskScore(Score):
    """What a planned run would score on a task."""

    task: str


class PlannedScore(TypedDict):
    """What a planned run would score on a suite of tasks and on each of them."""

    plan: str
    params: float
    tokens: float
    flops: float
    decades_beyond: Number
    farthest: Number
    outside: bool
    verdict: Verdict
    suite: Score | None
    tasks: list[TaskScore]


class Beats(TypedDict):
    """How probably the first plan scores more than the second; of the suite ``task`` is null."""

    first: str
    second: str
    task: str | None
    probability: float
    measured: Number
    difference: Quantity


class Reached(TypedDict):
    """FLOPs that reach an accuracy with a probability, null where none do; of the suite no task."""

    task: str | None
    accuracy: float
    probability: float
    flops: Number
    params: Number
    tokens: Number
    ratio: Number
    needed: Quantity
    reachable: float
    decades_beyond: Number
    verdict: Verdict | None


class Items(TypedDict):
    """Items that show a gain, and the most that a difference scatters on those of a task."""

    task: str
    gain: float
    accuracy: float
    items: Number
    sd: Number
    fewest: Number
    most: Number


class DoubtedTask(TypedDict):
    """Why a task is not to be trusted."""

    task: str
    name: str
    message: str
    advice: str


class SuiteWeights(TypedDict):
    """Shares of tasks in the suite, and the tasks that it leaves out."""

    weights: dict[str, float]
    left_out: list[str]


class SettingCost(TypedDict):
    """What settings cost: a share of the loss, and tokens or money that make up for it."""

    settings: dict[str, float]
    loss: Quantity
    expected_loss: float
    tokens: Quantity | None
    money: Quantity | None
    unit: str | None


class TunedPlan(TypedDict):
    """The best settings of a planned run."""

    params: Number
    tokens: Number
    flops: Number
    cell: str | None
    decades_beyond: float
    without_trend: list[str]
    verdict: Verdict
    forced: dict[str, float]
    best: dict[str, Quantity]
    settings: dict[str, float]
    within: dict[str, dict[str, Quantity]]
    costs: dict[str, SettingCost]


class RuleCost(TypedDict):
    """What a law of hyperparameters costs on the cells."""

    rule: str
    loss: Quantity
    constant: dict[str, float] | None


class SmallSweep(TypedDict):
    """A sweep that would tell more of the best settings."""

    cell: str
    params: float
    tokens: float
    new: bool
    runs: int
    flops: float
    reduction: float
    settings: dict[str, float]


class Tuning(Standing):
    """Which settings planned runs want, and what others cost."""

    knobs: list[str]
    within: float
    exponents: dict[str, dict[str, Quantity]]
    plans: list[TunedPlan]
    cells: list[SweptCell]
    rules: list[RuleCost]
    next_sweeps: list[SmallSweep]


class Targets(Standing):
    """What planned runs would score, and what a score takes."""

    doubted: list[DoubtedTask]
    suite: SuiteWeights
    plans: list[PlannedScore]
    beats: list[Beats]
    reach: list[Reached]
    items: list[Items]
    probability: float


class Rule(TypedDict):
    """How probably the slope is nearest to that of a known rule."""

    rule: str
    slope: float
    probability: float


class SweptGroup(TypedDict):
    """The best value of a setting in one group of a sweep, and what was tried there."""

    value: float
    runs: int
    best: Quantity
    lowest: float
    highest: float
    best_tried: float
    p_bracketed: float
    bound: Literal["at most", "at least"] | None


class Carried(TypedDict):
    """The best value at a size nobody has run, and what the smallest group's one costs there."""

    value: float
    best: Quantity
    cost: Quantity


class TransferOf(TypedDict):
    """How far the best value of a setting moves, of one recipe."""

    recipe: str | None
    runs: int
    verdict: Literal["transfers", "drifts", "cannot tell"]
    slope: Quantity
    drift: Quantity
    p_equivalent: float
    p_falls: float
    spread: Quantity
    scatter: Quantity
    rules: list[Rule]
    cost: Quantity
    p_bracketed: float
    groups: list[SweptGroup]
    to: list[Carried]
    changes_too: list[str]


class Transfer(Standing):
    """Whether the best value of a setting moves along an axis, and why a recipe is not answered."""

    axis: str
    knob: str
    region: float
    recipes: list[TransferOf]
    refused: dict[str, str]


class SettingRange(TypedDict):
    """Values of a setting that cost no more than a share of the loss."""

    excess: float
    lower: Quantity
    upper: Quantity
    width: Quantity


class ProbablyWithin(TypedDict):
    """How probably a value costs no more than a share of the loss."""

    excess: float
    probability: float


class PlannedSetting(TypedDict):
    """What a planned value of a setting costs, as shares of the loss and of the tokens."""

    value: float
    cost: Quantity
    tokens_cost: Quantity
    p_within: list[ProbablyWithin]


class SettingBasin(TypedDict):
    """The best value of a setting at a size, and the values nearly as good."""

    params: float
    decades_beyond: Number
    best: Quantity
    p_seen: Number
    within: list[SettingRange]
    planned: list[PlannedSetting]


class SettingBasins(Standing):
    """Which values of a setting are good for a size."""

    setting: str
    params_are: str
    exponent: Quantity
    p_rises: float
    curvature_exponent: Quantity
    tokens: float
    seen: list[Number]
    basins: list[SettingBasin]


class ExpertCaps(TypedDict):
    """What bounds models with experts; null where nothing does."""

    flops: Number
    memory: Number
    serving: Number
    tokens: Number


class ExpertShare(TypedDict):
    """Share of the active parameters that a further expert adds: used, and of the runs."""

    used: Number
    least: Number
    largest: Number


class ExpertPlan(TypedDict):
    """The best model of a number of experts, beside dense ones; null where memory is not known."""

    experts: float
    active_params: float
    params: Number
    tokens: float
    loss: Quantity
    best_active_params: Quantity
    replaces: Quantity
    compute_gain: Quantity
    p_best: float
    p_beats_equal_memory: Number
    p_beats_equal_compute: Number
    decades_beyond: Number


class ExpertRouter(TypedDict):
    """What one router answers."""

    router: str
    best: float
    gamma: Quantity
    share: ExpertShare
    plans: list[ExpertPlan]


class Experts(Standing):
    """How many experts are best within some caps."""

    caps: ExpertCaps
    routers: list[ExpertRouter]


class MixtureShare(TypedDict):
    """Share of a corpus: recommended, best of single draws, as good within .005 nats, allowed.

    The default is the nearest that the plan allows to the one asked.
    """

    recommended: float
    best: Quantity
    basin: list[float]
    default: float
    default_asked: float
    bounds: list[float]


class MixtureTarget(TypedDict):
    """Loss of a target, and with the mixture that is best for it alone."""

    loss: Quantity
    default: Quantity
    best_alone: float


class MixtureElsewhere(TypedDict):
    """What the mixture that is best for the smallest runs costs."""

    params: float
    tokens: float
    regret: Quantity


class ProportionalMixture(TypedDict):
    """Corpora in proportion to their unique tokens, as near as is allowed, and the gain over it."""

    shares: dict[str, float]
    gain: Quantity
    p_better: float


class NextMixture(TypedDict):
    """A mixture to try, and the expected regret that its run leaves, nats per token."""

    shares: dict[str, float]
    regret: float


class Mixture(TypedDict):
    """The mixture to train on."""

    params: float | None
    tokens: float | None
    shares: dict[str, MixtureShare]
    default_allowed: bool
    objective: Quantity
    gain: Quantity
    p_better: float
    proportional: ProportionalMixture | None
    compute: Quantity | None
    regret: Quantity
    targets: dict[str, MixtureTarget]
    smallest: MixtureElsewhere | None
    next: NextMixture
    distance: float
    spacing: float


class MixtureAnswer(Standing):
    """Which mixture of corpora to train on."""

    mixture: Mixture


class ExponentFactors(TypedDict):
    """Exponents of params and tokens: on the tried mixture where largest, over where least."""

    alpha: Quantity
    beta: Quantity


class Composition(TypedDict):
    """Whether the mixture moves exponents, by the log density of runs that are left out."""

    moves_exponents: bool
    elpd_difference: float
    error: float
    rough_cells: float
    factors: dict[str, ExponentFactors]


class CompositionAnswer(Standing):
    """Whether the mixture moves exponents, or amplitudes alone."""

    composition: Composition


class RecipeAtSize(TypedDict):
    """What a recipe is worth at a size; what it saves is null without planned tokens."""

    params: float
    seen: bool
    decades_beyond: Number
    multiplier: Quantity
    p_better: float
    p_best: float
    saved: Quantity
    saved_tokens: Quantity | None
    saved_cost: Quantity | None
    tried: list[float] | None
    luck: Quantity | None


class Recipe(TypedDict):
    """What a recipe is worth in tokens of the baseline; its slope is of the log in log N."""

    recipe: str
    slope: Quantity
    p_falls: float
    sizes: list[RecipeAtSize]


class RecipeAnswer(Standing):
    """What recipes are worth against a baseline."""

    by: str
    baseline: str
    tokens: Number
    unit: str
    recipes: list[Recipe]


class BestInput(Standing):
    """The best knob or mixture."""

    optimum: Best


class Checks(Standing):
    """Checks in reading order."""

    worst: Literal["PASS", "REVIEW", "FAIL"]
    checks: list[CheckRecord]


class Compared(TypedDict):
    """How a law predicts runs unseen."""

    model: str
    law: str
    elpd: Number
    se: Number
    p_loo: Number
    elpd_diff: Number
    se_diff: Number
    weight: float
    high_k: int
    method: str
    told_apart: bool


class Comparison(Answered):
    """Laws by their predictions and decisions."""

    left_out: list[str]
    runs: Cells
    models: list[Compared]
    decisions: list[dict[str, Any]]
    regret: list[dict[str, Any]]
    plans: NotRequired[dict[str, Any]]


class Backtest(Versioned, BacktestPart):
    """How far predictions of the past held, by itself."""


class Forecast(TypedDict):
    """A new point of a curve at one x beyond its range, as the curve was read."""

    x: float
    decades_beyond: float
    q05: float
    q10: float
    q25: float
    median: float
    q75: float
    q90: float
    q95: float


class Curve(TypedDict):
    """A curve: its label, what its posterior says, and forecasts where they were asked for.

    Numbers are null of refused curves, and of what the curve does not have. The exponent of a
    metric that is "growing" is of its growth; else of the reducible loss. The floor is the
    irreducible loss, of a "share" the highest it comes to. A curve that falls and ends rising has a
    ``best`` x, and a probability that it lies inside the range. ``forecasts`` is empty where there
    is none; then ``doubts`` says why.
    """

    curve: str
    n: int
    decades: Number
    top: Number
    metric: Literal["loss", "share", "growing"]
    chance: Number
    label: str
    probabilities: dict[str, float] | None
    p_up_top: Number
    p_steep: Number
    slope: Quantity | None
    exponent: Quantity | None
    floor: Quantity | None
    best: Quantity | None
    p_bracketed: Number
    near_chance_until: Number
    irreducible_from: Number
    durbin_watson_p: Number
    message: str
    forecasts: NotRequired[list[Forecast]]
    doubts: NotRequired[str]


class Together(TypedDict):
    """What curves of a table share, and what it says of forecasts of their tops.

    ``whole`` is the share of the draws in which every point counts in full; ``fall`` how far curves
    fell over how far was forecast, null where too few could say; ``tested`` how many were; and
    ``pooled`` whether priors were learned across them.
    """

    whole: float
    fall: Quantity | None
    tested: int
    pooled: bool


class Curves(Versioned):
    """The curves of a table."""

    x: str
    counts: dict[str, int]
    together: Together | None
    curves: list[Curve]
    sentences: list[str]
    caveats: list[str]


class BatchSizes(TypedDict):
    """Critical batch sizes of one model, by definition."""

    noise: Quantity
    more_tokens: Quantity
    more_steps: Quantity
    over_base: NotRequired[Quantity]


class PlannedBatch(TypedDict):
    """What a batch size costs in tokens, and saves in steps, as shares of the fewest."""

    batch: float
    more_tokens: Quantity
    more_steps: Quantity
    steps: Quantity | None
    examples: Quantity | None
    fewer_steps_than_base: Quantity | None
    more_tokens_than_base: Quantity | None


class SweptBatch(TypedDict):
    """What a sweep of learning rates and batch sizes says of one model."""

    params: float
    tokens: float
    best: Quantity
    largest: Quantity
    loss_slope: Quantity
    by_steps: Quantity


class BatchCurve(TypedDict):
    """Steps to a target loss of one model; of one without runs what the trend says."""

    curve: str
    known: bool
    axis: Number
    decades_beyond: Number
    seen: list[float] | None
    bracketed: Number
    fewest_steps: Quantity | None
    fewest_examples: Quantity | None
    batches: BatchSizes
    planned: list[PlannedBatch]
    surface: SweptBatch | None


class BatchExponent(TypedDict):
    """Exponent of a critical batch size: of the trend, and of these curves alone."""

    exponent: Quantity
    of_curves: Quantity


class BatchExponents(TypedDict):
    """Exponents by definition."""

    noise: BatchExponent
    more_tokens: BatchExponent
    more_steps: BatchExponent
    over_base: NotRequired[BatchExponent]


class FitRecord(TypedDict):
    """What became of one of many fits."""

    name: str
    digest: str
    model: str
    seed: int
    status: str
    reason: str
    parameters: dict[str, Parameter]
    diagnostics: Diagnostics | None
    notices: list[str]
    draws: str
    seconds: float
    answer: Any
    fit: str | None


class Batch(Versioned):
    """Many fits, in the order of their list."""

    fits: list[FitRecord]


class CriticalBatch(Standing):
    """Critical batch sizes of the curves of a table, and how they grow."""

    unit: str
    sequence_length: Number
    axis: str | None
    more: float
    base: Number
    curves: list[BatchCurve]
    exponents: BatchExponents | None
    together: list[str]


class AddedLoss(TypedDict):
    """What quantisation to some bits adds to the loss of a model."""

    bits: float
    loss_increase: Quantity
    seen: bool


class BitsFor(TypedDict):
    """The bits for which quantisation adds so much."""

    increase: float
    bits: Quantity


class QuantisedModel(TypedDict):
    """What bits cost a model of the table."""

    group: str | None
    params: float
    tokens: float
    b: Quantity
    factor: Quantity
    added: list[AddedLoss]
    bits_for: list[BitsFor]
    seen: list[Number]


class ToldExponent(Quantity):
    """An exponent, and whether the table or its prior says it; null of constants."""

    name: str
    told: bool | None


class SplittingColumn(TypedDict):
    """A column by whose values rows lie apart."""

    column: str
    p: float


class PlannedBits(TypedDict):
    """The best model of some bits in a memory."""

    bits: float
    p_best: float
    params: Quantity
    tokens: Quantity
    loss: Quantity
    added: Quantity
    enough_tokens: Quantity
    p_too_many_tokens: float
    seen: bool
    decades_beyond: Number


class PrecisionPlan(TypedDict):
    """Size and bits of a planned model."""

    memory: float
    flops: Number
    tokens: Number
    like: str
    best_bits: Quantity
    best_params: Quantity
    best_loss: Quantity
    bends: bool
    at_fewest: Number
    formats: list[PlannedBits]


class Precision(Standing):
    """What fewer bits cost, and how many are best in a memory."""

    models: list[QuantisedModel]
    exponents: list[ToldExponent]
    splits: list[SplittingColumn]
    scatter: Quantity | None
    plan: PrecisionPlan | None


class Switch(TypedDict):
    """Repetitions of the best data from which on new ones of a quality pay."""

    quality: float
    repetitions: Quantity


class CorpusPasses(TypedDict):
    """How often a corpus is passed over."""

    name: str
    p_used: float
    tokens: Quantity
    epochs: Quantity


class MixedCorpora(TypedDict):
    """How a number of tokens is best spent on corpora."""

    tokens: float
    decades_beyond: Number
    worth: Quantity
    effective: Quantity
    loss: Quantity
    gain: Quantity
    corpora: list[CorpusPasses]


class FilterShare(TypedDict):
    """What a filter keeps, and how probably it is the best."""

    kept: float
    epochs: float
    p_best: float
    loss: Quantity


class Filtered(TypedDict):
    """How strictly to filter for a number of tokens."""

    tokens: float
    decades_beyond: Number
    best_kept: Quantity
    filters: list[FilterShare]


class Quality(Standing):
    """Which corpora to repeat, which to add, and how strictly to filter."""

    params: float
    R_D: Quantity
    R_D_identified: bool
    switch: list[Switch]
    corpora: list[MixedCorpora]
    filters: list[Filtered]


QUESTIONS: dict[str, Any] = {
    "overtraining": Overtraining,
    "repetition": Repetition,
    "plans": Plans,
    "next-runs": NextRuns,
    "multiplier": Multiplier,
    "best": BestInput,
}
"""What answers each question of a plan."""

WRITTEN: dict[str, Any] = {
    "report": Report,
    "fit": Report,
    "batch": Batch,
    "optima": Optima,
    "basin": SettingBasins,
    "experts": Experts,
    "mix": MixtureAnswer | CompositionAnswer,
    "precision": Precision,
    "quality": Quality,
    "recipes": RecipeAnswer,
    "targets": Targets,
    "tune": Tuning,
    "transfer": Transfer,
    "critical-batch": CriticalBatch,
    **QUESTIONS,
    "plan": Union[*QUESTIONS.values()],
    "check": Checks,
    "compare": Comparison,
    "backtest": Backtest,
    "curves": Curves,
    "forecast": Curves,
    "models": dict[str, str],
    "datasets": dict[str, str],
}
"""What each command writes, by its name, and each question of a plan."""

_PLAIN: dict[Any, dict[str, Any]] = {
    **{str: {"type": "string"}, bool: {"type": "boolean"}, int: {"type": "integer"}},
    **{float: {"type": "number"}, type(None): {"type": "null"}, Any: {}},
}


def schema_of(name: str) -> dict[str, Any]:
    """Give the JSON schema of what a command writes.

    Parameters
    ----------
    name : str
        One of `WRITTEN`.

    Returns
    -------
    dict
    """
    parts: dict[str, Any] = {}
    own = _schema(WRITTEN[name], parts)
    for record, part in parts.items():
        for field, one in part["properties"].items():
            if said := meaning(record, field, of_report=WRITTEN[name] is Report):
                part["properties"][field] = {**one, "description": said}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:bayescale:{SCHEMA}:{name}",
        "title": f"bayescale {name}",
        **own,
        "$defs": parts,
    }


def _schema(kind: Any, parts: dict[str, Any]) -> dict[str, Any]:
    """Give the schema of a type; those of records go among the parts."""
    kind = getattr(kind, "__value__", kind)  # of a name for a type
    if kind in _PLAIN:
        return _PLAIN[kind]
    if is_typeddict(kind):
        if kind.__name__ not in parts:
            parts[kind.__name__] = {}  # a record may hold itself
            parts[kind.__name__] = _record(kind, parts)
        return {"$ref": f"#/$defs/{kind.__name__}"}
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return {"enum": list(inner)}
    if origin is list:
        return {"type": "array", "items": _schema(inner[0], parts)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(inner[1], parts)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema(one, parts) for one in inner]}
    raise TypeError(f"no schema of {kind}")


def _record(record: Any, parts: dict[str, Any]) -> dict[str, Any]:
    properties = {name: _schema(own, parts) for name, own in hints_of(record).items()}
    return {
        "description": record.__doc__,
        "type": "object",
        "properties": properties,
        "required": sorted(record.__required_keys__),
        "additionalProperties": _schema(_OPEN[record], parts) if record in _OPEN else False,
    }
