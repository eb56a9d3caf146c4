"""How many experts, from the shell, with hand-made posteriors."""

import json
from dataclasses import replace

import numpy as np
import pytest
from conftest import EXPERTS, SHARE, simulated_experts

import bayescale as bs


@pytest.fixture
def experts(monkeypatch, tmp_path):
    """A table of experts; fits of it are constants, and say which model was asked for."""
    asked = []

    def sample(runs, spec, seed, **_):
        asked.append(spec.name)
        known = {**EXPERTS, "sigma": 0.002, "nu": 5.0}
        own = bs.constants_fit("experts", **{n: v * np.ones(20) for n, v in known.items()})
        return replace(own, runs=runs)

    monkeypatch.setattr("bayescale.cli.experts.sample", sample)
    simulated_experts().to_csv(tmp_path / "experts.csv", index=False)
    return asked


def test_routers_from_the_shell(run, experts, tmp_path):
    code, out, err = run(
        "experts", "experts.csv", "--group", "router", "--flops", "1e21", "--memory", "40e9",
        "--plots", "made",
    )  # fmt: skip
    assert code == 0, err
    assert "learned: best within the caps: " in out
    assert "hash: it replaces a dense model of " in out
    assert experts == ["experts-bend"] * 2
    assert (tmp_path / "made" / "experts.png").is_file()


def test_json_and_memory_in_bytes(run, experts):
    asked = ("experts", "experts.csv", "--flops", "1e22", "--experts", "1,8", "--json")
    code, out, err = run(*asked, "--memory", "2e10", "--bytes", "2")
    assert code == 0, err
    found = json.loads(out)
    assert found["caps"]["memory"] == 1e10
    (router,) = found["routers"]
    assert router["router"] == "all"
    assert [plan["experts"] for plan in router["plans"]] == [1, 8]
    assert router["plans"][1]["params"] <= 1e10 * (1 + 1e-9)
    assert router["share"]["used"] == pytest.approx(SHARE)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--bytes", "2", "--flops", "1e22"], "beside --memory in bytes"),
        (["--memory", "1e10"], "nothing bounds the model"),
        (["--flops", "1e22", "--group", "route"], "'router'"),
    ],
)
def test_what_is_refused_before_any_fit(run, experts, options, said):
    code, _, err = run("experts", "experts.csv", *options)
    assert (code, experts) == (2, [])
    assert said in err
