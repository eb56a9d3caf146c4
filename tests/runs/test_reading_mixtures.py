"""Tables of mixtures: what is a sweep there, and what is not."""

import warnings

import pandas as pd
import pytest

from bayescale.errors import RunsError, RunsWarning
from bayescale.runs.mixtures import read_mixtures


def of_scales(rates=(1e-3,)):
    """Mixtures of two corpora at two sizes, named, with a loss on both corpora."""
    rows = []
    for share in (0.2, 0.5, 0.8):
        for params in (1e8, 1e9):
            for rate in rates:
                worse = 3 * (1e8 / params) ** 0.1 * (rate / 1e-3) ** 0.1
                row = {"run": f"run-{len(rows)}", "params": params, "tokens": 2e10}
                losses = {"loss_web": worse / (share + 1), "loss_code": worse / (2 - share)}
                rows.append({**row, "w_web": share, "w_code": 1 - share, "lr": rate, **losses})
    return pd.DataFrame(rows)


def notices(table):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunsWarning)
        return {one.name: one for one in read_mixtures(table).notices}


@pytest.mark.parametrize("lost", [[], ["loss_code"], ["run"]])
def test_mixtures_are_no_sweep(lost):
    assert "swept runs" not in notices(of_scales().drop(columns=lost))


@pytest.mark.parametrize("lost", [[], ["loss_code"], ["run"]])
def test_rates_swept_on_one_mixture_are_a_sweep(lost):
    table = of_scales(rates=(1e-3, 2e-3)).drop(columns=lost)
    found = notices(table)["swept runs"]
    assert "differ in lr" in found.message
    assert "tune" not in found.advice
    assert "swept runs" not in notices(table.query(found.advice.split("'")[1]))


def test_the_remedy_for_other_names_works():
    table = of_scales().drop(columns="run")
    table.columns = [c.replace("w_", "pct_").replace("loss_", "val_") for c in table]
    with pytest.raises(RunsError, match=r"pass --targets 'val_\*' \(in Python targets='val_\*'\)"):
        read_mixtures(table)
    with pytest.raises(RunsError, match=r"pass --weights 'pct_\*'"):
        read_mixtures(table, targets="val_*")
    assert read_mixtures(table, targets="val_*", weights="pct_*").table["target"].nunique() == 2


def test_columns_that_no_pattern_holds_are_to_be_named():
    table = of_scales().rename(columns={"loss_web": "web", "loss_code": "code"})
    with pytest.raises(RunsError, match="name them all, between commas: --targets ONE,ANOTHER"):
        read_mixtures(table)
