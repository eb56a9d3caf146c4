"""The shape check on published curves: double descent, inverse scaling, learning curves.

Nothing was tuned to these tables. A visible second descent is an interior peak of the running mean
of three points that stands at least 2% above the lowest point before it and 2% above the lowest
after it. Trends of the inverse-scaling curves are last less first value in units of their standard
error, and weighted least-squares slopes in log x; positive is worse. Questions are double_descent,
inverse, language.

    BAYESCALE_DATA=FOLDER uv run python benchmarks/real_curves.py [QUESTION]...
"""

import argparse
import time

import numpy as np
import pandas as pd

from bayescale import classify_curves, curve_table, fit_curves, load_dataset
from bayescale.curves.points import Metric

UNSIGNED = ["saturated", "insufficient_range"]


def has_second_descent(values: np.ndarray, room: float = 0.02) -> bool:
    """Whether a curve in order of x falls, rises to a peak and falls again, visibly."""
    smooth = np.convolve(values, np.full(3, 1 / 3), "valid")
    before, after = np.minimum.accumulate(smooth), np.minimum.accumulate(smooth[::-1])[::-1]
    return bool(((smooth > (1 + room) * before) & (smooth > (1 + room) * after)).any())


def double_descent() -> None:
    """Print whether second descents are seen, and what is said of training losses."""
    table = load_dataset("double_descent").sort_values(["curve", "metric", "x"], kind="stable")
    labels = classify_curves(table, ["curve", "metric"], "x", "value").set_index("curve")
    names = table["curve"] + " | " + table["metric"]
    values = table.groupby(names, sort=False)["value"]
    labels["second_descent"] = values.agg(lambda v: has_second_descent(v.to_numpy()))
    labels["last_over_first"] = values.agg(lambda v: v.iloc[-1] / v.iloc[0])
    print(labels[["label", "second_descent", "last_over_first", "p_up_top"]].to_string())
    seen = labels[labels["second_descent"]]
    print(
        f"with a visible second descent: {len(seen)}, labels {dict(seen['label'].value_counts())}"
    )


def inverse_labels() -> pd.DataFrame:
    """Label of every inverse-scaling curve beside its trend."""
    rows = []
    table = load_dataset("inverse_scaling")
    curves = fit_curves(
        table,
        "curve",
        "x",
        "value",
        stderr="stderr",
        trials="n_examples",
        higher_is_better="higher_is_better",
    )
    for one, row in zip(curves, curve_table(curves).to_dict("records"), strict=True):
        own = table[table["curve"] == one.name].sort_values("x")
        row |= trends(own, -1 if one.metric is Metric.SHARE else 1)
        rows.append(row | {"p_worse": np.nan if one.shape is None else one.shape.p_worse})
    return pd.DataFrame(rows)


def trends(curve: pd.DataFrame, worse: int) -> dict[str, object]:
    """End-to-end and least-squares trends in standard errors, positive if worse with x."""
    floor = np.sqrt(0.25 / 1000 / 1000)  # values of exactly 0 or 1 come with no error: 1000 trials
    value, se = curve["value"].to_numpy(), np.maximum(curve["stderr"].to_numpy(), floor)
    weight, z = se**-2.0, np.log10(curve["x"].to_numpy())
    z = z - (weight * z).sum() / weight.sum()
    return {
        "source": curve["source"].iloc[0],
        "x_kind": curve["x_kind"].iloc[0],
        "ends": worse * (value[-1] - value[0]) / np.hypot(se[-1], se[0]),
        "slope_z": worse * (weight * z * value).sum() / np.sqrt((weight * z**2).sum()),
    }


def inverse() -> None:
    """Print whether labels agree with clear trends, and keep quiet where there is none."""
    labels = inverse_labels()
    print(f"{len(labels)} curves\n{labels['label'].value_counts().to_string()}")
    for kind, own in (("all", labels), ("params", labels[labels["x_kind"] == "params"])):
        for trend in ("ends", "slope_z"):
            print(f"\n{kind} curves by {trend}")
            agreement(own["label"], own["p_worse"], own[trend])
    surprising = (labels["ends"] > 3) & (labels["label"] != "inverse")
    print(labels.loc[surprising, ["curve", "n", "ends", "label", "message"]].to_string())


def agreement(label: pd.Series, p_worse: pd.Series, z: pd.Series) -> None:
    """Print labels by trend, how often a label with a sign has the trend's, how many have none.

    Better are the laws that fall, worse is inverse; a non_monotone curve has the sign that its
    message states, of its ends. Labels without a sign are saturated and insufficient_range.
    """
    group = pd.cut(z, [-np.inf, -3, -1, 1, 3, np.inf])
    print(pd.crosstab(group, label).to_string())
    inverse, mixed = label == "inverse", label == "non_monotone"
    worse, signed = inverse | (mixed & (p_worse > 0.5)), ~label.isin(UNSIGNED)
    for name, clear in (("|z| > 3", z.abs() > 3), ("z > 3", z > 3), ("z < -3", z < -3)):
        asked = clear & signed
        right = (worse == (z > 0))[asked]
        pure = right[~mixed[asked]]
        print(
            f"{name}: {right.sum()} of {len(right)} labels with a sign have the trend's, "
            f"{right.mean():.1%} (without non_monotone {pure.sum()} of {len(pure)}); "
            f"no sign {(clear & ~signed).sum()} of {clear.sum()}, {(~signed)[clear].mean():.1%}; "
            f"inverse {inverse[clear].sum()}"
        )
    print(f"|z| < 1: inverse {inverse[z.abs() < 1].mean():.1%} of {(z.abs() < 1).sum()}")


def language() -> None:
    """Labels of the learning curves and the reasons."""
    labels = classify_curves(load_dataset("learning_curves_language"), "curve", "x", "loss")
    print(labels[["curve", "label", "message"]].to_string(max_colwidth=130))
    print(labels["label"].value_counts().to_string())


QUESTIONS = {"double_descent": double_descent, "inverse": inverse, "language": language}


def main() -> None:
    """Answer the questions asked, by default all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("questions", nargs="*", help=", ".join(QUESTIONS))
    asked = parser.parse_args().questions or list(QUESTIONS)
    if unknown := set(asked) - set(QUESTIONS):
        parser.error(f"no question {', '.join(unknown)}; there are {', '.join(QUESTIONS)}")
    for name in asked:
        start, cpu = time.perf_counter(), time.process_time()
        print(f"\n== {name}")
        QUESTIONS[name]()
        print(f"{time.perf_counter() - start:.1f} s, {time.process_time() - cpu:.1f} s of CPU")


if __name__ == "__main__":
    main()
