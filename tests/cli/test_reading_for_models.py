"""What the model reads was not swept, whichever way the runs come to it."""

import warnings

import numpy as np
import pandas as pd
import pytest
from conftest import simulated_table

import bayescale as bs
from bayescale.cli import comparison
from bayescale.cli.options import Reading
from bayescale.cli.reading import runs_of
from bayescale.evaluation import backtest
from bayescale.posterior import fitting


class Read(Exception):
    """The runs are read: what comes after takes long."""


def stop(*_, **__):
    raise Read


def by_command(path, model):
    runs_of(path, Reading(), bs.load_model(model))


def by_fit(path, model):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "completed", stop)
        with pytest.raises(Read):
            bs.fit(path, model)


def by_backtest(path, model):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backtest, "plan_cuts", stop)
        with pytest.raises(Read):
            bs.backtest(path, model)


@pytest.fixture
def of_few_bits(tmp_path):
    """Models trained with weights of few bits, and twice with two learning rates."""

    def write(rates):
        grid = pd.MultiIndex.from_product([[1e8, 1e9], [20, 60], [2, 4, 8], rates])
        params, ratio, bits, rate = grid.to_frame().to_numpy(dtype=float).T
        loss = 2 + 40 / (params * (1 - np.exp(-bits / 2.7))) ** 0.15 + 0.1 * np.log(rate / 1e-3)
        counts = {"params": params, "tokens": ratio * params, "weight_bits": bits}
        path = tmp_path / "runs.csv"
        pd.DataFrame({**counts, "learning_rate": rate, "loss": loss}).to_csv(path, index=False)
        return path

    return write


@pytest.mark.parametrize("read", [by_command, by_fit, by_backtest])
def test_bits_that_the_law_reads_were_not_swept_and_rates_were(of_few_bits, read):
    for rates, model, swept in (
        ([1e-3], "kumar-precision", False),
        ([1e-3], "chinchilla", True),  # which does not read the bits
        ([1e-3, 4e-3], "kumar-precision", True),
    ):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", bs.RunsWarning)
            read(of_few_bits(rates), model)
        assert any("swept runs" in str(one.message) for one in told) is swept


def test_what_a_second_model_lacks_is_said_before_the_first_is_sampled(run, monkeypatch):
    monkeypatch.setattr(comparison, "sample", stop)
    simulated_table().to_csv("runs.csv", index=False)
    code, _, err = run("compare", "runs.csv", "--models", "chinchilla,data-constrained")
    assert (code, "unique_tokens" in err) == (2, True)
