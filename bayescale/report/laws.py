"""The law and its runs, its groups, and what other approaches say."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import xarray as xr

from bayescale import plots, words
from bayescale.report.answers import count_of, loss_of
from bayescale.decisions.approaches import parabola_bias
from bayescale.posterior.fit import Fit
from bayescale.draws import CAPTION, numbers
from bayescale.decisions.allocation import compute_optimal
from bayescale.report.section import MOST_GROUPS_SHOWN, Section
from bayescale.report.summary import (
    Companions,
    beside_exact,
    multipliers,
    value_of,
)


def law_sections(fit: Fit, budgets: Sequence[float], exact: Fit | None) -> Iterator[Section]:
    """Show the law and its runs, for each group alone where there are few."""
    for name in fit.groups[:MOST_GROUPS_SHOWN] or (None,):
        own = fit if name is None else fit.of_group(name)
        if fit.law.is_joint:
            parts = _allocation_sections(own, compute_optimal(own, list(budgets)))
        else:
            parts = iter([_curve_section(own, max(budgets))])
        for part in (*parts, *_beyond_sections(own, budgets, exact)):
            yield part if name is None else replace(part, title=f"{part.title}: {name}")


def _beyond_sections(fit: Fit, budgets: Sequence[float], exact: Fit | None) -> Iterator[Section]:
    """Set the law that may bend beside the exact one, where they answer beyond the runs."""
    if exact is None:
        return
    entries = [entry for entry in beside_exact(fit, budgets, exact) if entry["decades_beyond"]]
    if not entries:
        return
    yield Section(
        "Beyond the runs",
        "Taken as exact, every run narrows the law, however far the answer lies from the runs. "
        "This page answers by a law that may bend: it follows the runs where they bend, and the "
        "farther from them the less is known of how it goes on.",
        pd.DataFrame([row for entry in entries for row in _beyond_rows(entry)]),
        plots.plot_beyond(fit, exact, max(budgets)),
        f"Lines: medians; bands: {CAPTION}s of the law, without run-to-run noise.",
    )


def _beyond_rows(entry: dict[str, Any]) -> Iterator[dict[str, str]]:
    """One row a quantity: by the law that may bend, and by the exact one."""
    axis, value = ("flops", entry["flops"]) if "flops" in entry else (entry["axis"], entry["value"])
    place = f"at {value_of(axis, value)} {'FLOPs' if axis == 'flops' else axis}"
    writers: dict[str, tuple[str, Callable[[dict[str, float]], str]]] = {
        "params": ("N*", count_of),
        "tokens": ("D*", count_of),
        "loss": ("loss", loss_of),
        "loss_new_run": ("loss of a new run", loss_of),
    }
    for name, (label, write) in writers.items():
        if name in entry:
            yield {
                "quantity": f"{label} {place}",
                "law may bend (used)": write(entry[name]),
                "law exact": write(entry["exact"][name]),
                "decades beyond": words.significant(entry["decades_beyond"], 2),
            }


def _curve_section(fit: Fit, value: float) -> Section:
    return Section(
        "The law",
        "The runs, the fitted law and where new runs would fall.",
        figure=plots.plot_curve(fit, value),
        caption=f"Bands: {CAPTION}s.",
    )


def _allocation_sections(fit: Fit, optima: xr.Dataset) -> Iterator[Section]:
    yield Section(
        "Compute-optimal models",
        "How the best size and number of tokens move with compute.",
        figure=plots.plot_allocation(fit, optima),
        caption=f"Bands (of about 1,000 draws) and bars: {CAPTION}s. Shaded: compute of the runs.",
    )
    yield Section(
        "How much the choice matters",
        "IsoFLOP curves are flat at the bottom: a range of sizes "
        "is nearly as good as the best one.",
        figure=plots.plot_basin(fit, optima),
        caption=f"Loss above the optimum at the same compute; band: {CAPTION}. Green: sizes "
        "that waste at most 1% or 10% of the compute, 95% sure at either end.",
    )
    yield Section(
        "The runs and the law",
        "Runs of equal compute, with the fitted isoFLOP curves.",
        figure=plots.plot_isoflop(fit),
        caption=f"Coloured: runs on an isoFLOP curve; grey: the others; bands: {CAPTION}s of the "
        "law, without run-to-run noise.",
    )


def group_sections(fit: Fit, beside: Companions) -> Iterator[Section]:
    """Show what differs between groups, what pooling does, and the compute each needs."""
    if any("group" in value.dims for value in fit.natural.values()):
        yield Section(
            "What differs between groups",
            f"Parameters of each {fit.spec.group}. A new group is what the population of groups "
            "leads one to expect where there are no runs yet; with few groups that is mostly the "
            "prior. A model with groups takes its law as exact, also beyond the runs.",
            figure=plots.plot_forest(fit),
            caption=f"Medians and {CAPTION}s; arrows and numbers: ends outside the panel.",
        )
    if beside.unpooled is not None:
        yield Section(
            "What pooling does",
            "Estimates of groups with few or noisy runs are drawn to the others; those with many "
            "stay where their runs put them.",
            figure=plots.plot_shrinkage(fit, beside.unpooled),
            caption=f"Medians and {CAPTION}s, each group alone and with the others.",
        )
    yield from _multiplier_sections(fit, beside.same_validation)


def _multiplier_sections(fit: Fit, same_validation: bool | None) -> Iterator[Section]:
    found = multipliers(fit, same_validation)
    for reason in dict.fromkeys(reason for reason in found if isinstance(reason, str)):
        yield Section("Compute multiplier", f"Not shown: {reason}.")
    for multiplier in [one for one in found if not isinstance(one, str)][:MOST_GROUPS_SHOWN]:
        group, reference = multiplier.attrs["group"], multiplier.attrs["reference"]
        yield Section(
            f"Compute multiplier: {group} against {reference}",
            "How many times the compute one group needs for the loss of the other, both "
            "compute-optimal. A flat line would be a constant factor.",
            figure=plots.plot_multiplier(multiplier),
            caption=f"Line: median; band: {CAPTION}. Grey: losses outside the runs of one group, "
            "where the curve is the law's word alone.",
        )


def approach_sections(fit: Fit, profiles: Fit, approaches: xr.Dataset) -> Iterator[Section]:
    """Set the three approaches to compute-optimal models side by side."""
    left_out = str(approaches.attrs["left_out"])
    path = approaches if approaches.sizes["flops"] > 1 else None  # one budget makes no line
    yield Section(
        "IsoFLOP profiles",
        "A curve for every budget, each with a minimum of its own, tied by a power law in compute "
        "with scatter (Approach 2 of Hoffmann et al. 2022, without the bias of a parabola).",
        figure=plots.plot_minima(profiles, path),
        caption=f"Bars and bands: {CAPTION}s.",
    )
    yield Section(
        "Three approaches",
        "The lower envelope of the runs, the isoFLOP profiles and the joint law, side by side. "
        f"Where they disagree, the law is the first suspect. {_parabola(fit, approaches)}"
        + (f" Left out: {left_out}" if left_out else ""),
        figure=plots.plot_approaches(approaches),
        caption=f"Medians and {CAPTION}s of N* and of its exponent in compute.",
    )


def _parabola(fit: Fit, approaches: xr.Dataset) -> str:
    """Say what a parabola for each budget would get wrong on the grid of these runs."""
    flops = float(approaches["flops"].max())
    error = numbers(parabola_bias(fit, flops)["tokens_error"].squeeze("flops"))
    return (
        "As published, Approach 2 fits parabolas: on the sizes of these runs they would miss D* at "
        f"{words.flops(flops)} FLOPs by {error['median']:+.1%} ({error['q05']:+.1%} to "
        f"{error['q95']:+.1%}), were the joint law true."
    )
