"""Pictures of bits per weight show rows, the law and the best bits."""

from dataclasses import replace

import numpy as np
import pandas as pd
from conftest import known_fit

import bayescale as bs


def test_rows_lie_on_the_law_and_the_best_bits_at_nothing():
    bits = np.linspace(2.5, 8.0, 8)
    own = bs.constants_fit("precision", c=-14.0, b=1.386, gamma_D=0.5, gamma_N=0.3)
    added = bs.loss_added(own, bits.tolist(), 7e9, 2e12).squeeze().to_numpy()
    table = {"model": "a", "params": 7e9, "tokens": 2e12, "bits_per_weight": bits}
    runs = bs.read_quantised(pd.DataFrame({**table, "loss_increase": added}))
    fit = replace(own, runs=runs)
    found = bs.best_precision(known_fit(20), fit, 4e9, tokens=2e12, bits=[3.0, 4.0, 8.0])
    left, right = bs.plot_precision(fit, found).axes
    law, rows = left.lines
    seen = np.interp(rows.get_xdata(), law.get_xdata(), np.log(law.get_ydata()))
    np.testing.assert_allclose(seen, np.log(rows.get_ydata()), atol=1e-6)
    points = next(line for line in right.lines if line.get_marker() == "o")
    best = int(np.argmin(found["loss"].median(("chain", "draw")).to_numpy()))
    assert points.get_ydata()[best] == 0
    sizes = [label.get_text() for label in right.get_xticklabels()]
    assert sizes == ["3\n10.7B", "4\n8B", "8\n4B"]
    assert len(bs.plot_precision(fit).axes) == 1
