"""Parameters, and what the numbers of a report count."""

import json

import pandas as pd

from bayescale import plots, words
from bayescale.posterior.fit import Fit
from bayescale.draws import CAPTION
from bayescale.report.section import Section
from bayescale.report.summary import (
    summarise_parameters,
)


def parameter_section(fit: Fit) -> Section:
    """List every parameter beside its prior."""
    rows = [
        {
            "parameter": name,
            "median": _digits(entry["median"]),
            "90% interval": f"{_digits(entry['q05'])} to {_digits(entry['q95'])}"
            if entry["q95"] is not None
            else f"at least {_digits(entry['q05'])} (not identified)",
            "prior": _prior(fit, name),
            "R-hat": f"{entry['r_hat']:.3f}",
            "effective draws": f"{entry['ess_bulk']:.0f}",
        }
        for name, entry in summarise_parameters(fit).items()
    ]
    return Section(
        "Parameters",
        f"{fit.spec.summary} Rounded here: decide with the draws in fit.nc, since exponents "
        "of two digits move a best size by a tenth and more.",
        pd.DataFrame(rows),
        plots.plot_parameters(fit),
        f"Grey: prior; blue: posterior with its {CAPTION}; each scaled to the same height. Where "
        "they look alike, the runs say nothing about that parameter.",
    )


def _digits(value: float | None) -> str:
    return "" if value is None else words.significant(value, 4)


def _prior(fit: Fit, label: str) -> str:
    """Say where a parameter's prior comes from."""
    name = label.partition("[")[0]
    if name.endswith("_scale"):
        return str(fit.spec.scales[name.removesuffix("_scale")])
    if name in fit.spec.partial:
        return "the population"
    name = name.removesuffix("_population")
    return str(fit.spec.sampled.get(name, "follows from the sampled coordinates"))


def conventions_section(fit: Fit) -> Section:
    """Say what the numbers on the page count and how they were made."""
    return Section(
        "Conventions",
        "What the numbers on this page count and how they were made.",
        table=_ledger(fit),
    )


def _ledger(fit: Fit) -> pd.DataFrame:
    runs, attrs = fit.runs, fit.tree.attrs
    entries = {
        "Runs": f"{len(runs)} used, from {runs.source}",
        "sha256 of the file": runs.sha256 or "none: a table in memory",
        "What was done to the table": "; ".join(runs.ledger) or "nothing",
        "N counts": f"{runs.params_are} parameters"
        if runs.params_are != "not stated"
        else "not stated (say it with --params-are: embeddings in or out moves the exponents)",
        "Compute": f"C = kND with k = {runs.flops_per_param_token:.3g}",
        "Units": "loss in nats per token, natural logarithm, compute in FLOPs",
        "Likelihood": f"{fit.spec.noise} on log loss",
        "Intervals": f"{CAPTION}, from the 5% to the 95% quantile",
        "Sampler": f"nutpie, {fit.posterior.sizes['chain']} chains of "
        f"{fit.posterior.sizes['draw']} draws, "
        f"{attrs['adaptation']} adaptation, target acceptance {attrs['target_accept']:g}, "
        f"{'' if attrs.get('thin', 1) == 1 else 'one draw in ' + str(attrs['thin']) + ' kept, '}"
        f"seed {attrs['seed']}",
        "Versions": ", ".join(
            f"{name} {number}" for name, number in json.loads(attrs["versions"]).items()
        ),
    }
    if fit.given:
        entries["Answers"] = "at " + ", ".join(f"{n} = {v:g}" for n, v in fit.given.items())
    if not (fit.spec.law.is_joint or fit.given):
        del entries["N counts"], entries["Compute"]
    return pd.DataFrame({"convention": entries.keys(), "here": entries.values()})
