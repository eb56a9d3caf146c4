"""The power law after a plateau, fitted along an axis that only its table has."""

import warnings

import numpy as np
import pandas as pd
import pytest

import bayescale as bs
from bayescale.laws import plateau_power_law

TRUTH = {"E": 0.3, "U": 2.3, "x_bend": 3e4, "alpha": 0.4, "width": 0.7}


def runs():
    examples = np.geomspace(1e3, 1e8, 25)
    noise = np.exp(0.008 * np.random.default_rng(0).standard_normal(25))
    loss = plateau_power_law(examples, **TRUTH) * noise
    return bs.read_runs(pd.DataFrame({"examples": examples, "loss": loss}))


@pytest.mark.slow
def test_plateau_law_is_fitted_predicted_checked_and_reported_along_any_axis(tmp_path):
    source = bs.load_model("plateau-power-law").source
    spec = bs.parse_model(source.replace('axis = "flops"', 'axis = "examples"'), "own")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # doubts about few runs
        fitted = bs.fit(runs(), spec, draws=500, tune=500, progress=False)
        assert not fitted.diagnostics.problems
        for name, value in TRUTH.items():
            draws = fitted.posterior[name]
            assert abs(draws.mean() - value) < 4 * draws.std()
        ahead = bs.predict(fitted, {"examples": [1e9]})
        low, high = np.quantile(ahead, [0.01, 0.99])
        assert low < plateau_power_law(1e9, **TRUTH) < high < 1.05 * low
        assert not [check for check in bs.check_fit(fitted) if check.status is bs.Status.FAIL]
        bs.write_report(fitted, tmp_path / "page")
    assert "plateau" in (tmp_path / "page" / "report.html").read_text("utf-8").lower()
    assert bs.load_fit(tmp_path / "page" / "fit.nc").spec.law == fitted.spec.law
