from urllib.parse import unquote
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np

from bayescale.report.figures import images

SVG = "data:image/svg+xml,"
TEXT = "{http://www.w3.org/2000/svg}text"


def words(image) -> list[str]:
    """Texts of a vector image, which must be one."""
    assert image.source.startswith(SVG)
    root = ElementTree.fromstring(unquote(image.source.removeprefix(SVG)))
    return ["".join(one.itertext()) for one in root.iter(TEXT)]


def test_a_panel_is_one_image_whose_text_is_text():
    figure, axis = plt.subplots()
    axis.set_title('the model\'s "best" <size> & 100%')
    axis.plot([1, 2], [3, 4])
    [image] = images(figure)
    assert 'the model\'s "best" <size> & 100%' in words(image)
    assert image.width == round(96 * 6.4)
    assert not plt.get_fignums()


def test_panels_stack_each_with_its_labels_and_the_legend_last():
    figure, (left, right) = plt.subplots(1, 2, sharey=True, figsize=(8, 3), layout="constrained")
    left.plot([1, 2], [3, 4], label="law")
    right.plot([5, 6], [3, 4])
    left.set(title="left", ylabel="loss")
    right.set_title("right")
    figure.legend(loc="outside lower center")
    first, second, legend = images(figure)
    assert "left" in words(first)
    assert "right" not in words(first)
    assert {"right", "loss", "3.0"} <= set(words(second))  # labels it shared with the other panel
    assert words(legend) == ["law"]
    assert first.width < 0.6 * 96 * 8


def test_many_points_become_pixels():
    figure, axis = plt.subplots()
    axis.plot(*np.random.default_rng(0).normal(size=(2, 5000)), "o")
    [image] = images(figure)
    assert image.source.startswith("data:image/png;base64,")
    assert len(image.source) < 300_000


def test_of_very_many_points_only_these_become_pixels():
    """A picture of each point as a mark of its own would grow with the runs."""
    figure, axis = plt.subplots()
    axis.plot(*np.random.default_rng(0).normal(size=(2, 20_000)), "o")
    axis.plot([0, 1], [0, 1], label="law")
    axis.set_title("runs")
    figure.canvas.draw()
    dots, line = axis.lines
    [image] = images(figure)
    assert dots.get_rasterized()
    assert not line.get_rasterized()
    assert len(image.source) < 300_000
