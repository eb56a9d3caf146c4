"""Figures to images of a page: one a panel, so that they stack on a narrow screen."""

import base64
import io
import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import quote

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

_MOST_BYTES = 60_000  # of a vector image that is taken unseen; many points are smaller as pixels
_MANY = 5000  # points that no vector image has one by one
_PLAIN = " :/;=,().-_!*@+?"  # what an address of text need not escape
_MARGIN = 0.06  # inches around a panel
_PIXELS = 96.0  # CSS pixels of an inch


class Image(NamedTuple):
    """One image of a page: its data address, and the width in CSS pixels that it is drawn for."""

    source: str
    width: int


def images(figure: Figure) -> list[Image]:
    """Draw every panel of a figure, its common title and its legends as images, and free it.

    Parameters
    ----------
    figure : matplotlib.figure.Figure

    Returns
    -------
    list of Image
        In reading order; one for a figure of a single panel.
    """
    for axis in figure.axes:
        for line in axis.lines:
            if np.size(line.get_xdata()) > _MANY:
                line.set_rasterized(True)
    figure.canvas.draw()  # the layout of the whole decides sizes; then it is frozen
    figure.set_layout_engine("none")
    panels = [axis for axis in figure.axes if axis.axison and not _is_colorbar(axis)]
    try:
        if len(panels) < 2:
            return [_image(figure, None)]
        return [_image(figure, box) for box in _apart(figure, panels)]
    finally:
        plt.close(figure)


def _apart(figure: Figure, panels: list[Axes]) -> Iterator[Bbox]:
    """Show one panel after the other, then legends; give the place of each in inches."""
    titles = list(figure.texts)
    legends = list(figure.legends)
    for artist in (*figure.axes, *legends, *titles):
        artist.set_visible(False)
    for artist in (*titles, *panels, *legends):
        if isinstance(artist, Axes):
            _label_alone(artist)
        artist.set_visible(True)
        yield _box(figure, artist)
        artist.set_visible(False)


def _label_alone(axis: Axes) -> None:
    """Write labels of an axis that shares them with a panel that is drawn elsewhere."""
    sides = (
        (axis.get_shared_y_axes(), "yaxis", {"labelleft": True}),
        (axis.get_shared_x_axes(), "xaxis", {"labelbottom": True}),
    )
    for grouper, name, labels in sides:
        shared = [getattr(one, name) for one in grouper.get_siblings(axis)]
        if len(shared) > 1:
            own = getattr(axis, name)
            own.set_tick_params(**labels)
            said = (one.get_label_text() for one in (own, *shared))
            own.set_label_text(next(filter(None, said), ""))


def _box(figure: Figure, artist: Artist) -> Bbox:
    box = artist.get_tightbbox()
    assert box is not None  # the artist was made visible
    return box.transformed(figure.dpi_scale_trans.inverted()).padded(_MARGIN)


def _is_colorbar(axis: Axes) -> bool:
    return axis.get_label() == "<colorbar>"


def _image(figure: Figure, box: Bbox | None) -> Image:
    width = figure.get_figwidth() if box is None else box.width
    source = _vector(_drawn(figure, box, "svg").decode("utf-8"))
    if len(source) > _MOST_BYTES:
        pixels = base64.b64encode(_drawn(figure, box, "png")).decode("ascii")
        source = min(source, f"data:image/png;base64,{pixels}", key=len)
    return Image(source, round(width * _PIXELS))


def _drawn(figure: Figure, box: Bbox | None, kind: str) -> bytes:
    buffer = io.BytesIO()
    stable = {"svg": {"Date": None}}  # the same page for the same draws
    # Text stays text: letters as outlines, in every image anew, would be half of a page.
    with mpl.rc_context({"svg.hashsalt": "bayescale", "svg.fonttype": "none"}):
        figure.savefig(buffer, format=kind, bbox_inches=box, metadata=stable.get(kind))
    return buffer.getvalue()


def _vector(svg: str) -> str:
    """Address of a vector image: lines to a hundredth of a point, as text."""
    svg = re.sub(r'd="M[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), svg)
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    return "data:image/svg+xml," + quote(" ".join(svg.split()), safe=_PLAIN)
