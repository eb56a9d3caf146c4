"""What a user's program does, with the types that it may rely on.

mypy checks it as strictly as it can, and a test runs it: a public name without a type, or of
another one than the user would write, is an error here.
"""

from typing import assert_type

import xarray as xr

import bayescale as bs


def runs_of(path: str) -> bs.Runs:
    """Read a table under its own names."""
    return bs.read_runs(path, {"params": "N"}, where="loss < 6", units={"params": 1})


def budgets(fit: bs.Fit, flops: list[float]) -> bs.Answer:
    """Ask for the best models of some budgets."""
    best: xr.Dataset = bs.compute_optimal(fit, flops)
    assert_type(bs.summarise(best["params"]), xr.DataArray)
    return bs.answer_optima(fit, flops)


def failed(checks: list[bs.Check]) -> list[str]:
    """Name the checks that failed."""
    return [one.name for one in checks if one.status is bs.Status.FAIL]


def study(path: str, out: str) -> bs.Many:
    """Make many fits, and write a report of one."""
    jobs = [bs.Job(path, "chinchilla", seed=seed) for seed in (1, 2)]
    found: bs.Many = bs.fit_many(jobs, workers=1)
    assert_type(found[0], bs.FitRecord)
    assert_type(found[:1], tuple[bs.FitRecord, ...])
    bs.write_report(bs.fit(path, "chinchilla"), out, flops=[1e21])
    return found


if __name__ == "__main__":
    known = bs.constants_fit("chinchilla", E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
    answer = budgets(known, [1e21])
    sentence: str = answer.sentences[0]
    predicted: xr.DataArray = bs.predict(known, {"params": 70e9, "tokens": 1.4e12})
    law: bs.Law = bs.LAWS["chinchilla"]
    print(sentence, round(predicted.item(), 2), law.name, bs.available_models()["joint"])
