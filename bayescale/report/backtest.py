"""The part of a report that says how far its intervals were tested."""

import pandas as pd

from bayescale import plots, words
from bayescale.evaluation.backtest import SCORED, describe_backtest
from bayescale.evaluation.backtest import Backtest
from bayescale.report.section import Section


def backtest_section(found: Backtest) -> Section:
    """Show what the intervals of earlier fits held of the runs that came later."""
    rows = [
        {
            "decades beyond": distance,
            "law": SCORED[law],
            "predictions": f"{row['predictions']:.0f} from {row['cuts']:.0f} "
            f"cut{'s' if row['cuts'] > 1 else ''}",
            "inside 90%": f"{row['coverage90']:.0%}",
            "80%": f"{row['coverage80']:.0%}",
            "50%": f"{row['coverage50']:.0%}",
            "width of 90%": f"{row['width90']:.1%}",
            "typical error": f"{row['rmsle']:.1%}",
            "CRPS": words.significant(row["crps"], 2),
        }
        for (law, distance), row in found.summary.iterrows()
    ]
    return Section(
        "How far the intervals were tested",
        " ".join(describe_backtest(found)),
        pd.DataFrame(rows),
        plots.plot_backtest(found),
        "Each fit saw only the runs up to its cut and predicted the later ones, noise included. "
        "CRPS on log loss (about relative error, smaller is better); next block: up to the next "
        "cut, so that every run counts once.",
    )
