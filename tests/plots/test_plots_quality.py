"""Pictures of corpora show passes, worth and filters as they were found."""

import numpy as np

import bayescale as bs

FIT = {"E": 1.87, "A": 521.0, "B": 1488.0, "alpha": 0.35, "beta": 0.36, "R_N": 5.3, "R_D": 15.4}
TOKENS = np.geomspace(1e11, 1e14, 9).tolist()


def test_lines_are_the_medians():
    fit = bs.constants_fit("data-constrained", **FIT, r_N=np.zeros(20))
    corpora = [bs.Corpus("web", 1e12, 1.0), bs.Corpus("other", 4e12, 0.5)]
    found = bs.best_corpora(fit, corpora, 7e9, TOKENS)
    left, right = bs.plot_corpora(found).axes
    lines = {line.get_label(): line for line in left.lines}
    for name in ("web", "other"):
        middle = found["epochs"].sel(corpus=name).median(("chain", "draw"))
        np.testing.assert_allclose(lines[name].get_ydata(), middle)
    np.testing.assert_allclose(right.lines[0].get_ydata(), found["worth"].isel(chain=0, draw=0))
    filtered = bs.best_filter(fit, [0.1, 1.0], [1.0, 0.6], 5e12, 7e9, TOKENS)
    left, right = bs.plot_filters(filtered).axes
    total = sum(line.get_ydata() for line in left.lines)
    np.testing.assert_allclose(total, 1.0)
    assert min(line.get_ydata().min() for line in right.lines) == 0
