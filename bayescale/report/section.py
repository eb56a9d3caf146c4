"""What one part of a report consists of."""

from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

MOST_GROUPS_SHOWN = 4
"""Groups whose own pictures a report shows; tables and summary.json have all."""


@dataclass(frozen=True)
class Section:
    """One part of the report."""

    title: str
    text: str
    table: pd.DataFrame | None = None
    figure: Figure | None = None
    caption: str = ""
    code: str = ""
