"""Tables without responses on which calibration.py simulates runs: realistic ones, a law each.

All are fixed: nothing in them is drawn anew from one simulation to the next.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from bayescale.modelling.spec import ModelSpec

GROUPS = 4
"""Groups of a hierarchical model, where nothing about them differs but what is drawn."""

SHARE, POSITIVE = 0.5, 1.0
"""Responses before any is simulated, on either scale."""

_CEILINGS = {"transfer": 1.15, "tuning": 1.35, "tuning-pair": 1.35}
"""Losses at which runs of sweeps have diverged: about one run in eight, were the level 1."""


def crossed(**columns: object) -> pd.DataFrame:
    """Cross values of some columns; the last one varies fastest."""
    index = pd.MultiIndex.from_product(list(columns.values()), names=list(columns))
    return index.to_frame(index=False)


def table_of(spec: ModelSpec, *, seeds: int = 1) -> pd.DataFrame:
    """Make the table of a model, every response the same.

    Parameters
    ----------
    spec : ModelSpec
    seeds : int, optional
        Runs of every third configuration.

    Returns
    -------
    pandas.DataFrame
    """
    table = _BY_MODEL.get(spec.name, _BY_LAW.get(spec.law.name, _along_axis))(spec)
    if spec.group and spec.group not in table:
        names = [f"{spec.group} {number + 1}" for number in range(GROUPS)]
        table = table.merge(pd.DataFrame({spec.group: names}), how="cross")
    again = [table.iloc[::3]] * (seeds - 1)  # of all groups, which vary fastest
    table = pd.concat([part.assign(seed=seed) for seed, part in enumerate([table, *again])])
    if spec.response.scale == "share":
        table = table.assign(chance=0.25, trials=1000.0)
    if spec.name in _CEILINGS:
        table = table.assign(ceiling=_CEILINGS[spec.name])
    table = table.reset_index(drop=True).rename_axis(None)
    if "run" not in table:
        table.insert(0, "run", [f"run {row + 1}" for row in table.index])
    response = SHARE if spec.response.scale == "share" else POSITIVE
    return table.assign(**{spec.response.column: response})


def _with_flops(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(flops=6 * table["params"] * table["tokens"])


def _isoflops(spec: ModelSpec) -> pd.DataFrame:
    """Thirty runs, six sizes on each of five budgets; twenty in each group."""
    budgets, sizes = (4, 5) if spec.group else (5, 6)
    table = crossed(flops=np.geomspace(6e18, 3e21, budgets), times=np.geomspace(0.25, 4.0, sizes))
    params = np.sqrt(table["flops"] / 120) * table["times"]  # about 20 tokens per parameter
    return pd.DataFrame(
        {"params": params, "tokens": table["flops"] / (6 * params), "flops": table["flops"]}
    )


def _profiles(spec: ModelSpec) -> pd.DataFrame:
    """Five isoFLOP curves of seven sizes."""
    table = crossed(flops=np.geomspace(6e18, 3e21, 5), times=np.geomspace(0.125, 8.0, 7))
    params = np.sqrt(table["flops"] / 120) * table["times"]
    tokens = table["flops"] / (6 * params)
    return table.assign(params=params, tokens=tokens, budget=table["flops"]).drop(columns="times")


def _grid(spec: ModelSpec) -> pd.DataFrame:
    """Cross ten sizes with ten numbers of tokens."""
    return _with_flops(
        crossed(params=np.geomspace(1e8, 6e9, 10), tokens=np.geomspace(2e9, 2e11, 10))
    )


def _along_axis(spec: ModelSpec) -> pd.DataFrame:
    """Fifteen runs along an axis over three decades; ten in each group."""
    low = 1e18 if spec.axes[0] == "flops" else 1e8
    return pd.DataFrame({spec.axes[0]: np.geomspace(low, 1e3 * low, 10 if spec.group else 15)})


def _repeated(spec: ModelSpec) -> pd.DataFrame:
    """Sizes, numbers of unique tokens, and up to forty passes over them."""
    sizes, passes = (3, (1, 4, 12, 40)) if spec.group else (4, (1, 2, 4, 8, 16, 40))
    table = crossed(
        params=np.geomspace(5e7, 4e9, sizes),
        unique_tokens=np.geomspace(1e8, 1e10, 3),
        passes=np.array(passes, dtype=float),
    )
    return _with_flops(table.assign(tokens=table["unique_tokens"] * table["passes"])).drop(
        columns="passes"
    )


def _experts(spec: ModelSpec) -> pd.DataFrame:
    """Sizes by numbers of experts, and by numbers of tokens where the law reads them."""
    tokens = np.geomspace(1e10, 1.3e11, 3) if "tokens" in spec.inputs else np.array([1.3e11])
    table = crossed(
        active_params=np.geomspace(1.5e7, 1.3e9, 4 if len(tokens) > 1 else 6),
        tokens=tokens,
        experts=np.array([1.0, 4.0, 16.0, 64.0, 256.0]),
    )
    params = table["active_params"] * (1 + 0.6 * (table["experts"] - 1))
    return table.assign(params=params, flops=6 * table["active_params"] * table["tokens"])


def _bits(spec: ModelSpec) -> pd.DataFrame:
    """Sizes by tokens by bits that models are trained with."""
    sizes = 3 if spec.group else 4
    return _with_flops(
        crossed(
            params=np.geomspace(3e7, 1.7e9, sizes),
            tokens=np.geomspace(1.5e9, 2.6e10, 3),
            weight_bits=np.array([3.0, 4.0, 6.0, 8.0]),
        )
    )


def _quantised(spec: ModelSpec) -> pd.DataFrame:
    """Twelve models, each in five formats."""
    models = crossed(params=np.geomspace(3e7, 1.7e9, 4), tokens=np.geomspace(1.5e9, 2.6e10, 3))
    models = models.assign(model=[f"model {row + 1}" for row in models.index])
    return _with_flops(models.merge(crossed(bits_per_weight=np.arange(3.0, 7.5)), how="cross"))


def _mixtures(number: int, parts: int = 3) -> pd.DataFrame:
    """Shares of corpora: each alone with most of the weight, then spread over the simplex."""
    rng = np.random.default_rng(1)
    shares = np.vstack([0.1 + 0.7 * np.eye(parts), rng.dirichlet(np.ones(parts), number - parts)])
    shares /= shares.sum(axis=1, keepdims=True)
    return pd.DataFrame(shares, columns=[f"w_{part}" for part in ("web", "code", "books")[:parts]])


def _mixed(spec: ModelSpec) -> pd.DataFrame:
    """Mix three corpora, in several sizes where the law reads them; groups are three targets."""
    sized = "params" in spec.inputs
    table = _mixtures(6 if sized else 20)
    if sized:
        cells = _with_flops(
            crossed(params=np.geomspace(1e8, 1.6e9, 3), tokens=np.geomspace(2e9, 5e10, 3))
        )
        cells = cells.assign(cell=[f"cell {row + 1}" for row in cells.index])
        table = cells.merge(table, how="cross")
    table = table.assign(trained=[f"trained {row + 1}" for row in table.index])
    if not spec.group:
        return table.drop(columns=["trained", "cell"], errors="ignore")
    return table.merge(pd.DataFrame({"target": ["web", "code", "papers"]}), how="cross")


def _of_loss(spec: ModelSpec) -> pd.DataFrame:
    """Sixteen models by their loss; twelve of each task."""
    return pd.DataFrame({"bpb": np.geomspace(0.55, 1.3, 12 if spec.group else 16)})


def _tasks(spec: ModelSpec) -> pd.DataFrame:
    """Sixteen models of one recipe; nine of each group."""
    sizes = 3 if spec.group else 4
    return _with_flops(
        crossed(params=np.geomspace(1e8, 7e9, sizes), tokens=np.geomspace(2e9, 2e11, sizes))
    )


def _bowl(spec: ModelSpec) -> pd.DataFrame:
    """Nine values of the setting over two decades."""
    return pd.DataFrame({spec.axes[0]: np.geomspace(3e-4, 3e-2, 9)})


def _widths(spec: ModelSpec) -> pd.DataFrame:
    """Five widths, nine learning rates over two decades."""
    return crossed(
        width=np.array([128.0, 256.0, 512.0, 1024.0, 2048.0]),
        learning_rate=np.geomspace(3e-4, 3e-2, 9),
    )


def _cells() -> pd.DataFrame:
    """Nine cells, three sizes by three numbers of tokens."""
    table = crossed(params=np.geomspace(6e7, 1e9, 3), tokens=np.geomspace(2e9, 5e10, 3))
    sizes = [f"size {number + 1}" for number in range(3)]
    return _with_flops(table).assign(
        cell=[f"cell {row + 1}" for row in table.index], size=np.repeat(sizes, 3)
    )


def _sweep(spec: ModelSpec) -> pd.DataFrame:
    """Seven learning rates in each of nine cells."""
    return _cells().merge(crossed(learning_rate=np.geomspace(5e-4, 2e-2, 7)), how="cross")


def _sweep_of_two(spec: ModelSpec) -> pd.DataFrame:
    """Five learning rates by four batch sizes in each of nine cells."""
    settings = crossed(
        learning_rate=np.geomspace(5e-4, 2e-2, 5), batch_size_tokens=np.geomspace(3e4, 2e6, 4)
    )
    return _cells().merge(settings, how="cross")


def _batches(spec: ModelSpec) -> pd.DataFrame:
    """Ten batch sizes over three decades; six curves of models that grow, with seven each."""
    batches = crossed(batch_tokens=np.geomspace(1.6e4, 1.6e7, 7 if spec.group else 10))
    if not spec.group:
        return batches
    curves = pd.DataFrame({"params": np.geomspace(8e7, 1.2e9, 6)})
    curves = curves.assign(curve=[f"curve {row + 1}" for row in curves.index])
    return curves.merge(batches, how="cross")


def _shapes(spec: ModelSpec) -> pd.DataFrame:
    """Shapes of four sizes; with groups three checkpoints of each run."""
    table = crossed(params=np.geomspace(5e7, 1.5e9, 4), aspect_ratio=np.geomspace(8.0, 256.0, 5))
    table = table.assign(run=[f"run {row + 1}" for row in table.index])
    tokens = np.geomspace(5e9, 4e10, 3)
    if spec.group:
        return _with_flops(table.merge(pd.DataFrame({"tokens": tokens}), how="cross"))
    return _with_flops(table.assign(tokens=tokens[np.arange(len(table)) % 3]))


_BY_LAW: dict[str, Callable[[ModelSpec], pd.DataFrame]] = {
    **dict.fromkeys(("chinchilla", "coupled", "kaplan"), _isoflops),
    **dict.fromkeys(("data_constrained", "data_constrained_published"), _repeated),
    **dict.fromkeys(("experts", "experts_size"), _experts),
    **dict.fromkeys(("loss_to_accuracy", "exponential_error"), _of_loss),
    **dict.fromkeys(
        (
            *("power_sum_mixture", "mixture_joint", "mixture_exponents"),
            *("mixture_additive", "mixture_exponential", "mixture_shukor"),
        ),
        _mixed,
    ),
    "farseer": _grid,
    "isoflop_profile": _profiles,
    "kumar_precision": _bits,
    "precision": _quantised,
    "task_accuracy": _tasks,
    "bowl": _bowl,
    "response_surface": _sweep_of_two,
    "critical_batch": _batches,
    "shape_basin": _shapes,
}
_BY_MODEL = {"transfer": _widths, "tuning": _sweep}
