"""What fields of what commands write as JSON mean, for the schemas.

Intervals are central 90%; what draws that did not converge cannot say is empty or null.
"""

EVERYWHERE = {
    "schema": "Version of these schemas.",
    "converged": "Whether the sampler reached the posterior; null for given constants.",
    "problems": "Why the draws are not to be trusted; empty where they converged.",
    "sentences": "The answer in words.",
    "caveats": "What speaks against all of the answer.",
    "failed": "Names of the checks that failed and speak against this answer.",
    "median": "Median of the draws.",
    "q05": "Lower end of the central 90% interval.",
    "q95": "Upper end of the central 90% interval.",
    "params": "Parameters N of a model.",
    "tokens": "Training tokens D.",
    "SettingCost.tokens": "Tokens that make up for it.",
    "tokens_per_param": "D/N.",
    "flops": "Training compute C in FLOPs.",
    "decades_beyond": "Powers of ten beyond the runs, 0 within; negative: below them.",
    "Target.decades_beyond": "By group, powers of ten beyond its runs.",
    "farthest": "Powers of ten beyond the runs, of what is farthest out.",
    "bends": "Whether the law may bend away from its formula.",
    "verdict": "What the answer is worth.",
    "group": "Group that it is of; null where there are none.",
    "task": "Name of the task.",
    "unit": "Unit of the numbers.",
    "message": "What was found.",
    "advice": "What to do about it.",
    "R_D": "Repetitions after which a token is worth 1/e of a fresh one; null for a bound alone.",
}
"""By field, or by record and field."""

OF_REPORTS = {
    # Runs, groups and parameters
    "model": "Name of the model file.",
    "law": "Name of the law.",
    "response": "What the law says of a run.",
    "column": "Column of the table.",
    "Response.name": "What it is called.",
    "rows": "Rows of the table.",
    "source": "File or table that it was read from.",
    "sha256": "Digest of the file; empty for a table in memory.",
    "Report.runs": "The table of runs.",
    "Groups.runs": "Number of runs of each group.",
    "runs": "Number of runs.",
    "groups": "Groups of runs; null where the model has none.",
    "pooling": "Parameters that differ between groups: partial (from one population) or none.",
    "new_group": "Parameters of a group without runs, of the population.",
    "parameters": "Parameters of the law and the noise; one of a group is called alpha[group].",
    "mean": "Mean of the draws.",
    "sd": "Standard deviation of the draws.",
    "r_hat": "R-hat of the draws: at most 1.01 where the chains agree.",
    "ess_bulk": "Effective number of draws, of the bulk.",
    "probability": "Share of the draws, 0 to 1.",
    "loss": "What the law says of the response, without noise of single runs.",
    # Optima and predictions
    "optima": "Best models of budgets, of laws that trade parameters against tokens.",
    "predictions": "Of other laws: the largest run, and the same made larger.",
    "data": "Words that follow tokens in sentences, such as of fresh data; empty for others.",
    "beyond": "Powers of ten outside of the runs along each axis, of the median.",
    "marks": "Sentences on how far outside of the runs this answer lies.",
    "without_optimum": "Share of the draws in which no size is best.",
    "word": "unusable, doubtful, assumed, supported, tested, untested or speculative.",
    "reason": "Why it is so.",
    "a": "Exponent of the best size: N* grows as C^a, about this budget.",
    "b": "Exponent of the best tokens: D* grows as C^b, about this budget.",
    "basin": "Sizes that waste little of the compute.",
    "excess": "Share of the compute that is wasted at most.",
    "lower": "Smallest size that wastes no more.",
    "upper": "Largest size that wastes no more.",
    "surest": "The size that wastes no more in most draws; null where there is none.",
    "exact": "What the law taken as exact says; null where the law cannot bend.",
    "disagrees": "Whether any 90% interval of the exact law does not overlap that of the answer.",
    "tested": "What the backtest tells of an answer so far out; null without one.",
    "axis": "Column that the law reads.",
    "Prediction.value": "Value of that axis.",
    "at": "Inputs of the law besides, as given.",
    "at_best": "Inputs that are at their best values.",
    "Report.best": "Best value of every knob, and best mixture, of a run as large as asked.",
    "Best.best": "The best value; of a mixture by its parts.",
    "over": "Input that it is the best value of.",
    "at_end": "Share of the draws whose best value lies at an end of what was looked at.",
    "seen": "Smallest and largest value among the runs.",
    "bend": "How far the law may bend; null for exact laws.",
    "Bend.sd": "Prior standard deviation of the bend, in log loss.",
    "length": "Length scale of the bend, in powers of ten of the inputs.",
    "axes": "Inputs along which it may bend.",
    "per_decade": "Change of log loss per decade that is due to the bend, among the runs.",
    # Comparison of groups
    "multipliers": "Compute that each group needs over the best one; or why none is said.",
    "reference": "Group that the other is compared with.",
    "targets": "Losses that both are asked to reach.",
    "Target.loss": "Loss that both are asked to reach.",
    "multiplier": "Factor of compute that the group needs; null where no compute reaches the loss.",
    "unreachable": "By group, share of the draws that never reach the loss.",
    "constancy": "Whether the multiplier changes with the loss.",
    "easiest": "Highest loss of the range.",
    "hardest": "Lowest loss of the range.",
    "log_ratio": "Natural logarithm of the ratio.",
    "p_grows": "Probability that the multiplier is larger at the lower loss.",
    "crossing": "Probabilities that the curves of the two cross below budgets.",
    "refused": "Why they are not compared.",
    # Repeated data
    "repetition": "What repeated data are worth; of laws that know them.",
    "identified": "Whether the runs can tell it.",
    "most_repetitions": "Most repetitions D/U - 1 of a run near this size.",
    "epochs_until": "Epochs until a token is worth less than some shares of a fresh one.",
    "worth": "Share of a fresh token.",
    "epochs": "Passes over the data.",
    "sentence": "The same in words.",
    # The three approaches
    "approaches": "The three approaches of Hoffmann et al. (2022), where they were asked for.",
    "Approaches.a": "Exponent of N* by approach.",
    "approach": "Which of the approaches.",
    "disagreement": "Pairs of approaches at each budget.",
    "first": "The first of the two.",
    "second": "The second of the two.",
    "p_first_larger": "Probability that the first says a larger N*.",
    "parabola_tokens_error": "Share by which parabolas would miss D*, were the joint law true.",
    # Tasks, and settings of a sweep
    "tasks": "Tasks, by what the law says of their largest run.",
    "items": "Number of questions.",
    "chance": "Accuracy of guessing.",
    "observed": "Accuracy of the largest run.",
    "known": "Share of the way from guessing to all right that the largest run has gone.",
    "settings": "Best settings of the cells of a sweep; null for other tables.",
    "knobs": "Settings that were swept.",
    "exponents": "By setting and column, the exponent of its best value.",
    "cells": "Cells, each of one size and number of tokens.",
    "cell": "Name of the cell.",
    "far": "Runs that diverged, or lie far above the best of their cell.",
    "SweptCell.best": "By setting, its best value.",
    "tried": "By setting, the values that were tried.",
    "p_inside": "By setting, probability that the best value lies within what was tried.",
    "p_below": "By setting, probability that it lies below.",
    "p_above": "By setting, probability that it lies above.",
    # What is said of the whole
    "opening": "What stands below the table of answers.",
    "diagnostics": "Whether the sampler reached the posterior, and what it cost.",
    "divergences": "Divergent transitions.",
    "maxdepth_reached": "Draws that hit the maximum tree depth.",
    "max_r_hat": "Largest R-hat of all parameters.",
    "min_ess_bulk": "Smallest effective number of draws of all parameters.",
    "seconds_compile": "Seconds of compiling.",
    "seconds_sample": "Seconds of sampling.",
    "needed": "Effective draws that every parameter needs.",
    "unsampled": "Parameters without a posterior, and why.",
    "checks": "Checks in reading order, where they were asked for.",
    "name": "What it is called.",
    "status": "How it ended.",
    "statistic": "What was measured; null where the question is not one of size.",
    "threshold": "Value at which the status changes; null likewise.",
    "notices": "What looks doubtful about runs and their design.",
    "Notice.rows": "Rows that it is about.",
    "held_out": "Runs that were held back; null where there were none.",
    "where": "Query by which they were held back.",
    "inside": "Number of runs inside of their 90% predictive intervals.",
    "coverage": "Share of runs inside of their 90% predictive intervals.",
    "p_value": "Probability of as few inside, were each inside with 90%.",
    "rmsle": "Root mean square of the residuals.",
    "HeldOut.rows": "The runs, each beside its prediction.",
    "run": "Name of the run.",
    "residual": "Log of observed over predicted, about the relative error.",
    "predicted": "Median of the law, and 90% interval of a new run there.",
    "not_backtested": "Why there is no backtest; null where there is one.",
    "backtest": "How far predictions of the past held; null without one.",
    "laws": "Models that were tested.",
    "cuts": "Fits to the smaller runs, and how they predicted the larger ones.",
    "distances": "The same by how far beyond the fitted runs a run lies.",
    "left_out": "What could not be used, and why.",
}
"""Of reports and what they hold: all other fields."""


def meaning(record: str, field: str, *, of_report: bool) -> str | None:
    """Say what a field means.

    Parameters
    ----------
    record, field : str
        Where a record means something of its own by a name, both together are looked up first.
    of_report : bool
        Whether a report holds the record.

    Returns
    -------
    str or None
        None where nothing is said beyond what the record says.
    """
    known = EVERYWHERE | (OF_REPORTS if of_report else {})
    return known.get(f"{record}.{field}", known.get(field))
