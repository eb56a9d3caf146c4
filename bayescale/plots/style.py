"""How every picture looks: colours, labels, axes that count as people do."""

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from inspect import getdoc, signature
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
    PercentFormatter,
)

from bayescale import words
from bayescale.arguments import typed
from bayescale.errors import FitError
from bayescale.files import PICTURES, make_room, write
from bayescale.laws import LOSS, Response

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#8a8a8a"  # Okabe and Ito (2008)

_STYLE: dict[Any, Any] = {
    "text.parse_math": False,  # names of runs, groups and columns are no formulas: $ is a letter
    "figure.dpi": 110,
    "savefig.dpi": 160,
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "legend.framealpha": 0.9,
    "legend.edgecolor": "#e6e6e6",
    "legend.fontsize": 9,
    "axes.edgecolor": "#555555",
}
LABELS = {
    "params": "parameters N",
    "tokens": "training tokens D",
    "flops": "training compute C (FLOPs)",
    "unique_tokens": "unique tokens U",
    LOSS.column: LOSS.label,
}
_DECADE = 10.0  # largest over smallest value from which on an axis of a response is logarithmic


@contextmanager
def styled() -> Iterator[None]:
    """Use our style inside, and leave the caller's as it was."""
    with mpl.rc_context():
        mpl.rcParams.update(_STYLE)
        yield
        interactive = mpl.is_interactive()
    mpl.interactive(interactive)  # which the backend of a notebook turns on with its first figure


def picture[**Given](draw: Callable[Given, Figure]) -> Callable[Given, Figure]:
    """Refuse wrong arguments; of a Dataset say what returns the right one, as the docstring does.

    Parameters
    ----------
    draw : callable
        A function that draws, whose docstring says of a Dataset "What `bayescale.x` returns".

    Returns
    -------
    callable

    Raises
    ------
    FitError
        By what is returned: for what is no Dataset, or one that answers another question.
    """
    taken, checked = signature(draw), typed(draw)
    asked = [n for n, own in taken.parameters.items() if "Dataset" in str(own.annotation)]

    @wraps(draw)
    def drawn(*args: Given.args, **options: Given.kwargs) -> Figure:
        given = taken.bind(*args, **options).arguments
        for name in asked:
            if not isinstance(given.get(name), xr.Dataset | None):
                found = f"{draw.__name__} cannot draw a {type(given[name]).__name__} as its {name}"
                raise FitError(found, _remedy(draw, name))
        try:
            return checked(*args, **options)
        except KeyError as error:
            if not asked:
                raise
            found = f"{draw.__name__} finds no {error.args[0]} in its {asked[0]}"
            raise FitError(found, _remedy(draw, asked[0])) from error

    return drawn


def _remedy(draw: Callable[..., Figure], name: str) -> str:
    """Say what returns the Dataset of a parameter, as its docstring says it."""
    said = re.search(rf"^{name} : .*\n    What `(.*?)` returns", getdoc(draw) or "", re.MULTILINE)
    assert said is not None, f"{draw.__name__} does not say where {name} is from"
    return f"Give what {said[1]} returns."


def panel(ax: Axes | None, figsize: tuple[float, float]) -> tuple[Figure, Axes]:
    """Make a figure of one panel, or take the caller's, which keeps its size and its frame.

    Parameters
    ----------
    ax : matplotlib.axes.Axes or None
    figsize : tuple of float
        Inches, of a new figure.

    Returns
    -------
    figure : matplotlib.figure.Figure
    axis : matplotlib.axes.Axes
    """
    if ax is None:
        return plt.subplots(figsize=figsize)
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure, ax


def legend_below(axis: Axes, *, alone: bool, ncols: int = 1) -> None:
    """Put the legend under the panel; inside it where other panels share the figure.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
    alone : bool
        Whether it is all that the figure has.
    ncols : int, optional
    """
    shown = axis.get_legend_handles_labels()
    figure = axis.get_figure(root=True)
    if alone and figure is not None:
        figure.legend(*shown, loc="outside lower center", ncols=ncols)
    else:
        axis.legend(*shown)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a picture, replacing an old one only when the new one is complete, and free it.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : Path
        Its ending says the kind of picture; PNG without one.

    Raises
    ------
    BayescaleError
        If it cannot be written, or no picture has that ending.
    """
    make_room(path, PICTURES)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix.lstrip(".").lower() or "png")
    write(path, buffer.getvalue())
    plt.close(figure)


def named(name: Any, most: int = 40) -> str:
    """Write a name of the user's so that a picture has room for it: the middle of a long one goes.

    Parameters
    ----------
    name : object
    most : int, optional
        Letters that there is room for.

    Returns
    -------
    str

    Examples
    --------
    >>> named("Llama"), named("a" * 30 + "b" * 30, 11)
    ('Llama', 'aaaaa…bbbbb')
    """
    text = " ".join(str(name).split())
    side = (most - 1) // 2
    return text if len(text) <= most else f"{text[:side]}…{text[-side:]}"


def label_of(name: str) -> str:
    """Label the axis of a column or a metric.

    Parameters
    ----------
    name : str
        Name of a column, or label of a metric with its unit.

    Returns
    -------
    str
    """
    return LABELS.get(name, named(name))


def unit_of(name: str, response: Response) -> str:
    """Say what a parameter is counted in: the irreducible part, and the scale of the noise.

    Parameters
    ----------
    name : str
        Of the parameter.
    response : Response

    Returns
    -------
    str
        Empty where it has no unit.
    """
    log = "log " if response.scale == "log" else ""
    return {"E": response.unit, "sigma": f"sd of {log}{response.name}"}.get(name, "")


def response_axis(axis: Any, response: Response, values: Any, label: str = "") -> None:
    """Scale, ticks and label for what a law says: shares from 0 to 1, quantities of decades by log.

    Parameters
    ----------
    axis : matplotlib.axis.Axis
        The x or the y axis of a panel.
    response : Response
    values : array-like
        What it must hold.
    label : str, optional
        In place of name and unit of the response.
    """
    if response.scale == "share":
        getattr(axis.axes, f"set_{axis.axis_name}lim")(-0.02, 1.02)
        axis.set_major_formatter(PercentFormatter(1.0))
    elif np.max(values) > _DECADE * np.min(values):
        log_axis(axis, values, response.name)
    elif np.max(values) >= 1e3:
        axis.set_major_formatter(FuncFormatter(lambda value, _: words.trimmed(value)))
    axis.set_label_text(label or named(response.label))


def band(axis: Axes, x: Any, summary: xr.DataArray, colour: Any, label: str | None = None) -> None:
    """Draw the median as a line and the central 90% as a band.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
    x : array-like
    summary : xarray.DataArray
        What `bayescale.summarise` returns, one value for each x.
    colour : matplotlib colour
    label : str, optional
        Of the line, for the legend.
    """
    axis.fill_between(
        x, summary.sel(summary="q05"), summary.sel(summary="q95"), color=colour, alpha=0.25, lw=0
    )
    axis.plot(x, summary.sel(summary="median"), color=colour, lw=1.5, label=label)


def sequence(number: int) -> Any:
    """Colours from dark to light, the light end left out: readable on white and in grey print.

    Parameters
    ----------
    number : int

    Returns
    -------
    ndarray
        Shape (number, 4), RGBA.
    """
    return plt.get_cmap("viridis")(np.linspace(0.0, 0.85, number))


def size_axis(axis: Axes, *, room: float) -> None:
    """Few ticks along N, and room: an interval that fills its axis looks wide whatever it is.

    On either side `room` of the log range that the lines fill, at least a factor 1.25.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
        With the lines drawn.
    room : float
        Share of the log range left free on either side.
    """
    seen: Any = np.concatenate([np.asarray(line.get_xdata(), dtype=float) for line in axis.lines])
    low, high = float(seen.min()), float(seen.max())
    margin = max((high / low) ** room, 1.25)
    log_axis(axis.xaxis, [low / margin, high * margin], "params")
    axis.set_xlim(low / margin, high * margin)
    if high / low < 4:
        axis.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: words.trimmed(value)))


def log_axis(axis: Any, values: Any, name: str) -> None:
    """Log scale, ticks at decades (1, 2, 5 in short ranges), written as people write counts.

    Parameters
    ----------
    axis : matplotlib.axis.Axis
        The x or the y axis of a panel.
    values : array-like
        What it must hold, positive.
    name : str
        Column, or label, of what is counted along it.
    """
    getattr(axis.axes, f"set_{axis.axis_name}scale")("log")
    decades = float(np.log10(np.max(values) / np.min(values)))
    axis.set_major_locator(LogLocator(subs=(1.0,) if decades > 2 else (1.0, 2.0, 5.0), numticks=12))
    axis.set_minor_locator(NullLocator() if decades > 2 else LogLocator(subs=range(2, 10)))
    axis.set_minor_formatter(NullFormatter())
    form = words.flops if name == "flops" else (lambda value: words.count(value, 1))
    axis.set_major_formatter(FuncFormatter(lambda value, _: form(value)))
    axis.set_label_text(label_of(name))
