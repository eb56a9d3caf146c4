"""Bayesian neural scaling laws: from a table of training runs to a posterior over the next run.

Read a table with `read_runs` and ask `check_runs` of it; fit a law with `fit` and ask `check_fit`;
then ask for what you decide: `answer_optima`, `predict`, `cheapest`, `rank_plans`, `suggest_runs`,
`compare`, `backtest`, `write_report`. All of them show themselves in a notebook, and what begins
with plot_ draws them.

>>> import bayescale as bs
>>> fit = bs.constants_fit("chinchilla", E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
>>> optima = bs.compute_optimal(fit, [1e21, 1e24])
>>> bs.summarise(optima["params"]).sel(summary="median").round(-9).values
array([2.0e+09, 5.4e+10])
>>> bs.predict(fit, {"params": 70e9, "tokens": 1.4e12}).round(2).item()
1.93

The public names are those of ``__init__.pyi``. They live in the modules beside this one and are
loaded when first used, because importing PyMC takes seconds and reading runs or listing models does
not need it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
