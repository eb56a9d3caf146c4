"""Laws of mixtures: known answers, and the density of a model whose rows share errors."""

import numpy as np
import pandas as pd
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import stats

from bayescale import build_model, load_model
from bayescale.laws import LAWS
from bayescale.runs.mixtures import read_mixtures

SHARES = np.array([0.5, 0.3, 0.2])
WORTH, LEANING = np.array([0.3, -0.5, 0.9]), np.array([-0.3, 0.1, 0.4])
JOINT = {
    **{"level": 1.1, "reducible": 0.4, "composed": 0.3, "split": 0.6, "alpha": 0.3},
    **{"beta": 0.35, "gamma": 0.5, "worth": WORTH},
}
LEANINGS = {"t_params": np.array([0.2, 0.0, -0.1]), "t_tokens": LEANING}
SAMPLED = {
    "power_sum_mixture": {
        **{"level": 1.1, "reducible": 0.4, "slope": 0.3, "gamma": 0.5, "worth": WORTH}
    },
    "mixture_exponential": {"level": 1.1, "reducible": 0.4, "t": LEANING},
    "mixture_additive": JOINT,
    "mixture_shukor": {
        **JOINT,
        **{"gamma_A": 0.6, "gamma_B": 0.4, "worth_A": LEANING, "worth_B": WORTH},
    },
    "mixture_joint": {**JOINT, **LEANINGS, "k": 0.8},
    "mixture_exponents": {
        **{**JOINT, **LEANINGS, "k": 0.8},
        **{"s_params": 0.5 * LEANING, "s_tokens": -0.3 * WORTH},
    },
}
ONE_SCALE = ("power_sum_mixture", "mixture_exponential")
REFERENCE = {name: (SHARES,) if name in ONE_SCALE else (1e9, 2e10, SHARES) for name in SAMPLED}
each_law = pytest.mark.parametrize("law", [LAWS[n] for n in SAMPLED], ids=lambda law: law.name)


@each_law
def test_reference_run_has_the_sampled_level(law):
    natural = law.to_natural(SAMPLED[law.name], REFERENCE[law.name])
    assert set(natural) == set(law.parameters)
    said = law(*REFERENCE[law.name], **natural)
    assert np.log(said) == pytest.approx(1.1, abs=1e-12)


@each_law
def test_numbers_of_each_run_meet_their_shares_and_tensors_say_the_same(law):
    natural = law.to_natural(SAMPLED[law.name], REFERENCE[law.name])
    mixtures = np.array([[0.5, 0.3, 0.2], [0.0, 1.0, 0.0], [0.9, 0.05, 0.05], [0.1, 0.1, 0.8]]).T
    numbers = (np.array([1e8, 1e9, 1e9, 5e9]), np.array([2e9, 2e10, 1e11, 1e11]))
    at = (*numbers[: len(law.reads) - 1], mixtures)
    own = {n: v[:, None] if np.ndim(v) else v for n, v in natural.items()}
    said = law(*at, **own)
    assert said.shape == (4,)
    for run in range(4):
        one = law(*(values[..., run] for values in at), **natural)
        assert said[run] == pytest.approx(one, rel=1e-12)
    graph = law(*map(pt.as_tensor_variable, at), **{n: pt.as_tensor(v) for n, v in own.items()})
    assert pytensor.function([], graph, mode="FAST_COMPILE")() == pytest.approx(said, rel=1e-10)


def test_a_corpus_that_teaches_alone_is_a_power_law_in_its_share():
    law = LAWS["power_sum_mixture"]
    alone = {"E": 1.0, "C": np.array([2.0, 1e-30]), "gamma": 0.5, "kappa": 0.3}
    for share in (0.1, 0.4, 0.9):
        said = law(np.array([share, 1 - share]), **alone)
        assert said == pytest.approx(1 + (2 * (share + 1e-4) ** 0.5) ** -0.3, rel=1e-9)
    plain = {"E": 0.0, "C": np.array([2.0, 1.0]), "gamma": 0.5, "kappa": 1.0}
    said = law(np.array([0.4, 0.6]), **plain)
    assert said == pytest.approx(1 / (2 * 0.4001**0.5 + 0.6001**0.5), rel=1e-12)


def test_slope_is_that_of_the_log_loss_by_what_the_mean_mixture_teaches():
    law = LAWS["power_sum_mixture"]
    natural = law.to_natural(SAMPLED[law.name], (SHARES,))
    step = 1e-6
    more = law(SHARES, **{**natural, "C": natural["C"] * np.exp(step)})
    less = law(SHARES, **{**natural, "C": natural["C"] * np.exp(-step)})
    assert np.log(less / more) / (2 * step) == pytest.approx(0.3, rel=1e-6)


def test_mixtures_move_amplitudes_and_no_exponent():
    law = LAWS["mixture_joint"]
    natural = law.to_natural(SAMPLED["mixture_joint"], REFERENCE["mixture_joint"])
    for shares in (SHARES, np.array([0.0, 0.1, 0.9])):
        endless = law(1e9, 1e40, shares, **natural) - law(1e40, 1e40, shares, **natural)
        fewer = law(1e8, 1e40, shares, **natural) - law(1e40, 1e40, shares, **natural)
        assert np.log10(fewer / endless) == pytest.approx(0.3, abs=1e-6)


def test_leaning_exponents_change_nothing_at_the_reference_run_and_slopes_beyond_it():
    law, joint = LAWS["mixture_exponents"], LAWS["mixture_joint"]
    sampled = SAMPLED["mixture_exponents"]
    own = law.to_natural(sampled, REFERENCE["mixture_exponents"])
    none = law.to_natural(
        {**sampled, **dict.fromkeys(("s_params", "s_tokens"), 0 * WORTH)},
        REFERENCE["mixture_exponents"],
    )
    kept = joint.to_natural(sampled, REFERENCE["mixture_joint"])
    other = np.array([0.1, 0.1, 0.8])
    assert law(1e10, 1e11, other, **none) == pytest.approx(joint(1e10, 1e11, other, **kept))
    for shares in (SHARES, other):
        alpha = 0.3 * np.exp((sampled["s_params"] * (shares - SHARES)).sum())
        endless = [law(n, 1e60, shares, **own) - law(1e90, 1e60, shares, **own) for n in (1e8, 1e9)]
        assert np.log10(endless[0] / endless[1]) == pytest.approx(alpha, abs=1e-5)
    # Amplitudes there lean as those of the joint law, also far from the mean mixture.
    at = (1e9, 2e10, other)
    assert law(*at, **own) == pytest.approx(joint(*at, **kept), rel=1e-12)


def mixed_runs() -> pd.DataFrame:
    rng, rows = np.random.default_rng(1), []
    for number in range(6):
        shares = rng.dirichlet([2.0, 2.0, 2.0])
        rows.append(
            {
                **{"run": f"m{number}", "params": 1e8 * (1 + number % 2), "tokens": 2e9},
                **dict(zip(("w_web", "w_code", "w_books"), shares, strict=True)),
                "loss_web": 3.0 + 0.1 * number,
                "loss_code": 2.0 + 0.1 * number,
            }
        )
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    "name",
    [
        "mixture-hierarchical",
        pytest.param("mixture-joint-hierarchical", marks=pytest.mark.slow),
        "mixture-exponents-hierarchical",
        pytest.param("mixture-shukor-hierarchical", marks=pytest.mark.slow),
    ],
)
def test_likelihood_equals_the_law_in_numpy_with_errors_that_rows_share(name):
    spec, runs = load_model(name), read_mixtures(mixed_runs())
    model = build_model(spec, runs)
    rng = np.random.default_rng(2)
    place = {
        k: v + 0.1 * rng.standard_normal(np.shape(v)) for k, v in model.initial_point().items()
    }
    graphs = [*model.logp(vars=[model["log_loss"]], sum=False)]
    values = [*model.free_RVs, *model.deterministics]
    graphs += model.replace_rvs_by_values(values)
    compiled = pytensor.function(model.value_vars, graphs, mode="FAST_COMPILE")
    density, *rest = compiled(**place)
    found = {value.name: known for value, known in zip(values, rest, strict=True)}
    table, targets = runs.table, ["code", "web"]
    trained = sorted(table["trained"].unique())
    for row, (_, run) in enumerate(table.iterrows()):
        group = targets.index(run["target"])
        natural = {
            n: found[n][group] if np.ndim(found[n]) > bool(spec.along(n)) else found[n]
            for n in spec.law.parameters
        }
        shares = run[["w_web", "w_code", "w_books"]].to_numpy(dtype=float)
        at = (*(run[n] for n in spec.inputs[:-1]), shares)
        centre = np.log(spec.law(*at, **natural))
        centre += found["trained_effect"][trained.index(run["trained"])]
        if "cell" in spec.effects:
            cells = sorted(table["cell"].unique())
            centre += found["cell_effect"][cells.index(run["cell"])]
        scale = np.sqrt(found["sigma"][group] ** 2 + 1e-8)
        expected = stats.t(found["nu"], centre, scale).logpdf(np.log(run["loss"]))
        assert density[row] == pytest.approx(expected, rel=1e-8)


def test_a_table_becomes_a_row_a_run_and_target():
    runs = read_mixtures(mixed_runs())
    assert len(runs.table) == 12
    assert set(runs.table["target"]) == {"web", "code"}
    assert runs.table.groupby("trained").size().eq(2).all()
    assert set(runs.table["cell"]) == {
        f"{target} {size} 2e+09" for target in ("web", "code") for size in ("1e+08", "2e+08")
    }
