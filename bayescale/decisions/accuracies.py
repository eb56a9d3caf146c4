r"""Accuracies of tasks that runs nobody has made would reach, by one law or by two.

The direct law says the accuracy of a task of N and D. The chain says it in two steps: one fit the
loss of N and D, another, the link, the accuracy of the loss,

.. math:: p(a \mid N, D) = \int p(a \mid L) \, p(L \mid N, D) \, dL,

draw by draw: what is not known of either fit is carried to the accuracy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayescale import words
from bayescale.arguments import numbers_of, typed
from bayescale.decisions.prices import require_positive
from bayescale.errors import FitError
from bayescale.modelling.inputs import TRIALS
from bayescale.posterior.fit import Fit
from bayescale.posterior.posterior import Posterior
from bayescale.posterior.prediction import predict, predict_runs
from bayescale.runs.table import Runs

_CHANCE = "chance"
_NOTHING = 1e-60  # params and tokens of which every term of a law is without bound
_ROUNDED = 1e-5  # by how much chance levels of one task may differ: 1/3 and 0.333333
_STREAM = 13  # of the noise of the loss, apart from that of the items


@dataclass(frozen=True)
class Accuracies:
    """Accuracies of tasks, of params and tokens, per draw.

    Made by `direct` and `chain`; whoever asks need not know which of them.

    Parameters
    ----------
    tasks : tuple of str
        Their names.
    fit : Fit
        Whose response is the accuracy: the direct law, or the link.
    loss : Fit or None
        Of the loss that the link reads, draw for draw; None for a direct law.
    chance, trials : mapping of str to float
        Accuracy of guessing and number of items by task, as far as anything says them; infinite
        where the noise needs no number of items and none is known.

    Examples
    --------
    >>> from bayescale import constants_fit
    >>> step_1 = {"E": 0.5, "A": 10.0, "B": 40.0, "alpha": 0.2, "beta": 0.2}
    >>> loss = constants_fit("task-loss-hierarchical", **step_1)
    >>> link = constants_fit("exponential-error", eps=0.75, k=2.0, gamma=3.0)
    >>> Accuracies.chain(loss, link).at([1e9, 7e9], 1e11).round(2).values.tolist()
    [[[[0.38, 0.4]]]]
    """

    tasks: tuple[str, ...]
    fit: Fit
    loss: Fit | None
    chance: Mapping[str, float]
    trials: Mapping[str, float]

    @classmethod
    @typed
    def direct(cls, fit: Fit) -> "Accuracies":
        """Take the accuracies that a fit of accuracies says of params and tokens.

        Chance levels and numbers of items are those of its runs, or of its model file.

        Parameters
        ----------
        fit : Fit
            Of a law of an accuracy that reads params and tokens, or one axis of params, tokens and
            flops; its groups are the tasks. Of one group, or without groups, it is of one task.

        Returns
        -------
        Accuracies

        Raises
        ------
        FitError
            For a law of another response, one that reads something else, or a task whose runs
            differ in their chance level.
        """
        _require_share(fit, "a direct law of params and tokens, such as task-accuracy")
        _counts(fit, 1.0, 1.0)  # refuses a law that reads something else
        return cls(tasks_of(fit), fit, None, *_of_items(fit))

    @classmethod
    @typed
    def chain(cls, loss_fit: Fit, link_fit: Fit, *, seed: int = 1) -> "Accuracies":
        """Let the draws of a loss feed those of a link from the loss to accuracies.

        Both have as many draws as the longer has: those of the other are taken again. Which belong
        together is drawn at random, as the two fits know nothing of each other.

        Parameters
        ----------
        loss_fit : Fit
            Of any loss of params and tokens: one validation loss for all tasks, or, with the tasks
            as its groups, the loss of each.
        link_fit : Fit
            Of the accuracy along that loss, such as of the model loss-to-accuracy-hierarchical; its
            groups are the tasks.
        seed : int, optional
            Of which draws belong together.

        Returns
        -------
        Accuracies

        Raises
        ------
        FitError
            If the link reads another column than the response of the loss, or knows a task that the
            loss does not.
        """
        _require_share(link_fit, "a link from a loss, such as loss-to-accuracy-hierarchical")
        _require_linked(loss_fit, link_fit)
        _counts(loss_fit, 1.0, 1.0)
        loss, link = _paired(loss_fit, link_fit, np.random.default_rng(seed))
        return cls(tasks_of(link_fit), link, loss, *_of_items(link_fit))

    @typed
    def at(self, params: Any, tokens: Any) -> xr.DataArray:
        """Accuracy that the law gives, without the noise of a run and of its items.

        Parameters
        ----------
        params, tokens : float or array
            N and D of one plan, or of several.

        Returns
        -------
        xarray.DataArray
            Dims (chain, draw, task, plan), coordinate ``task``.

        Raises
        ------
        FitError
            For counts that are not positive.
        """
        return self._shaped(predict(self.fit, self._asked(params, tokens)))

    @typed
    def new(self, params: Any, tokens: Any, *, seed: int = 1) -> xr.DataArray:
        """Accuracy that would be measured of new runs, with all noise.

        That of the chain is the noise of the run's loss, carried through the link, and that of the
        link. Each task has its own: what a run's tasks share beyond the law is not known.

        Parameters
        ----------
        params, tokens : float or array
            As of `at`.
        seed : int, optional
            Of the noise.

        Returns
        -------
        xarray.DataArray
            As of `at`.

        Raises
        ------
        FitError
            For counts that are not positive, constants given without noise, or a fit without runs
            that does not know the number of items.
        """
        asked = self._asked(params, tokens, seed)
        asked[TRIALS.name] = self._by_task(TRIALS.name, self.trials)
        return self._shaped(predict_runs(self.fit, asked, seed=seed))

    def of(self, tasks: Sequence[str]) -> "Accuracies":
        """Take some of the tasks, in the order given.

        Parameters
        ----------
        tasks : sequence of str

        Returns
        -------
        Accuracies

        Raises
        ------
        FitError
            For a task that the fit does not know.
        """
        for name in tasks:
            require_task(name, self.tasks)
        return replace(self, tasks=tuple(tasks))

    @property
    def fits(self) -> tuple[Fit, ...]:
        """What was fitted: the law of the loss, where there is one, and that of the accuracy."""
        return (self.fit,) if self.loss is None else (self.loss, self.fit)

    @property
    def runs(self) -> Runs:
        """Runs whose params and tokens taught the law; those of all tasks."""
        return self.fits[0].runs

    @property
    def k(self) -> float:
        """FLOPs per parameter and token, C = k N D, as these runs say it."""
        return self.runs.flops_per_param_token

    @property
    def measures(self) -> bool:
        """Whether what is measured of a new run is known: noise, and the number of items."""
        known = all(set(own.spec.noise_model.parameters) <= set(own.noise) for own in self.fits)
        return known and set(self.tasks) <= set(self.trials)

    def guessing(self) -> xr.DataArray:
        """Accuracy of a model that knows nothing: what the law tends to where nothing is trained.

        Returns
        -------
        xarray.DataArray
            Dims (chain, draw, task).
        """
        return self.at(_NOTHING, _NOTHING).squeeze("plan")

    @typed
    def along(self, flops: xr.DataArray, ratio: float | None = None) -> xr.DataArray:
        """Accuracy that the law gives at some compute, which may differ between draws and tasks.

        Parameters
        ----------
        flops : xarray.DataArray
            C, of any dims among chain, draw and task, and others.
        ratio : float, optional
            Tokens per parameter; by default the run is compute-optimal for each task.

        Returns
        -------
        xarray.DataArray
            Dims chain, draw, task, and those of `flops`.

        Raises
        ------
        FitError
            Without a ratio for a law that has no compute-optimal run, or for one that is not
            positive.
        """
        if ratio is not None:
            require_positive("ratio", ratio)
        params = self.optimum(flops) if ratio is None else (flops / (self.k * ratio)) ** 0.5
        found = predict(self.fit, self._asked(params, flops / (self.k * params)))
        if "task" not in found.dims:  # of a fit of one task
            found = found.expand_dims(task=1)
        return found.assign_coords(task=list(self.tasks))

    @typed
    def optimum(self, flops: xr.DataArray) -> xr.DataArray:
        """Compute-optimal N of each task.

        Parameters
        ----------
        flops : xarray.DataArray
            As of `along`.

        Returns
        -------
        xarray.DataArray
            Dims as of `along`.

        Raises
        ------
        FitError
            For a law that does not trade params against tokens.
        """
        law = self.fits[0].spec.law
        if not law.trades:
            raise FitError(
                f"the law {law.name} does not trade params against tokens: say how many tokens a "
                "parameter gets, e.g. ratio=20 (--ratio 20)"
            )
        found = [
            own.optimum(flops.sel(task=task, drop=True) if "task" in flops.dims else flops)
            for task, own in self._posteriors.items()
        ]
        return xr.concat(found, dim=xr.DataArray(list(self.tasks), dims="task", name="task"))

    @cached_property
    def _posteriors(self) -> dict[str, Posterior]:
        """Give the law of params and tokens of each task."""
        found = {}
        for task in self.tasks:
            own = self.fits[0]
            own = own.of_group(task) if own.groups else own
            if self.loss is None and _CHANCE in own.spec.law.further:
                own = own.at(chance=float(self._by_task(_CHANCE, self.chance).sel(task=task)))
            found[task] = Posterior.of(own, self.k)
        return found

    def _asked(self, params: Any, tokens: Any, seed: int | None = None) -> dict[str, Any]:
        """Name the inputs of the law of the accuracy; the loss is noisy where a seed is given."""
        if self.loss is None:
            inputs = self._with_tasks(self.fit, _counts(self.fit, params, tokens))
        else:
            loss = self._losses(self.loss, params, tokens, seed)
            inputs = self._with_tasks(self.fit, {str(self.fit.spec.axis): loss})
        if _CHANCE in self.fit.spec.inputs:
            inputs[_CHANCE] = self._by_task(_CHANCE, self.chance)
        return inputs

    def _losses(self, loss: Fit, params: Any, tokens: Any, seed: int | None) -> xr.DataArray:
        inputs = self._with_tasks(loss, _counts(loss, params, tokens))
        if seed is None:
            return predict(loss, inputs)
        own = int(np.random.default_rng([seed, _STREAM]).integers(2**31))
        return predict_runs(loss, inputs, seed=own)

    def _with_tasks(self, fit: Fit, inputs: dict[str, Any]) -> dict[str, Any]:
        """Add the groups of a fit that are asked for, where it has groups."""
        if not fit.groups:
            return inputs
        labels = np.asarray(self.tasks, dtype=object)
        return {**inputs, str(fit.spec.group): xr.DataArray(labels, dims="task")}

    def _by_task(self, name: str, values: Mapping[str, float]) -> xr.DataArray:
        for task in self.tasks:
            if task not in values:
                raise FitError(
                    f"nothing says the {name} of the task {task}: give it in [response] of the "
                    f"model file, e.g. {name} = {0.25 if name == _CHANCE else 1000}"
                )
        levels = [values[task] for task in self.tasks]
        return xr.DataArray(levels, dims="task", coords={"task": list(self.tasks)})

    def _shaped(self, found: xr.DataArray) -> xr.DataArray:
        for dim, size in (("task", len(self.tasks)), ("plan", 1)):
            if dim not in found.dims:
                found = found.expand_dims({dim: size})
        return found.assign_coords(task=list(self.tasks)).transpose("chain", "draw", "task", "plan")


def _require_share(fit: Fit, example: str) -> None:
    response = fit.spec.response
    if response.scale != "share":
        raise FitError(
            f"the model {fit.spec.name} says the {response.name} of a run, not the accuracy of a "
            f"task; give a fit of {example}"
        )


def _require_linked(loss: Fit, link: Fit) -> None:
    """Refuse a loss that is not what the link reads, of each task that the link knows."""
    column, axis, tasks = loss.spec.response.column, link.spec.axis, tasks_of(link)
    if loss.spec.response.scale != "log":
        raise FitError(
            f"the model {loss.spec.name} says the accuracy of a task already: ask it with "
            "Accuracies.direct(fit), or give a fit of the loss first and of the link second"
        )
    if axis != column:
        raise FitError(
            f"the link {link.spec.name} reads {axis or ', '.join(link.spec.inputs)}, and the model "
            f"{loss.spec.name} says {column}: copy the link's model file (bayescale models copy), "
            f'write axis = "{column}" in it, and fit it again'
        )
    if loss.groups and loss.spec.group != link.spec.group:
        raise FitError(
            f"the fit of the loss has groups by {loss.spec.group}, the link by "
            f"{link.spec.group or 'none'}: take the loss of one group, e.g. "
            f"loss_fit.of_group({loss.groups[0]!r})"
        )
    known = loss.groups or ((loss.own_group,) if loss.own_group else ())
    of_tasks = bool(known) and loss.spec.group == link.spec.group
    if of_tasks and (missing := [name for name in tasks if name not in known]):
        raise FitError(
            f"the link knows the task {missing[0]}, of which the fit of the loss says nothing: fit "
            f"the loss of {', '.join(missing)} too, or leave them out of the link's runs"
        )


def tasks_of(fit: Fit) -> tuple[str, ...]:
    """Name the tasks of a fit of accuracies.

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    tuple of str
        Its groups; without groups that which it is of, or "accuracy".
    """
    return fit.groups or (fit.own_group or fit.spec.response.name,)


def rows_of(fit: Fit, task: str) -> pd.DataFrame:
    """Take the runs of a task.

    Parameters
    ----------
    fit : Fit
        Of accuracies.
    task : str

    Returns
    -------
    pandas.DataFrame
        Rows of the fit's runs; all of them where it is of one task.
    """
    table = fit.runs.table
    return table[table[str(fit.spec.group)].astype(str) == task] if fit.groups else table


def require_task(name: str, tasks: Sequence[str]) -> None:
    """Refuse a task that is not known.

    Parameters
    ----------
    name : str
    tasks : sequence of str
        All that are known.

    Raises
    ------
    FitError
        For such a name.
    """
    if name not in tasks:
        raise FitError(f"no task {name!r}; {words.did_you_mean(name, list(tasks))}")


def _counts(fit: Fit, params: Any, tokens: Any) -> dict[str, xr.DataArray]:
    """Name what a law of params, tokens or compute reads of plans, dim ``plan``."""
    try:
        values = dict(zip(("params", "tokens"), _plans(params, tokens), strict=True))
    except ValueError:
        raise FitError("params and tokens have different lengths: give one entry a plan") from None
    values["flops"] = fit.runs.flops_per_param_token * values["params"] * values["tokens"]
    counted = {"size": "params", "data": "tokens"}
    found = {}
    for own in fit.spec.reads:
        name = counted.get(own.role, own.name)
        if name in values:
            found[own.name] = values[name]
        elif own.role in ("axis", "compute"):
            raise FitError(
                f"the model {fit.spec.name} reads {own.name}, which params and tokens of a plan do "
                "not say; fit a law of params, tokens or flops, or give a fit of the loss first "
                "and this one as link: Accuracies.chain(loss_fit, link_fit), "
                "bayescale targets LOSS --link LINK"
            )
    return found


def _plans(*given: Any) -> tuple[xr.DataArray, ...]:
    """Give params and tokens of plans their dim; what differs between draws has its own."""
    if all(isinstance(values, xr.DataArray) for values in given):
        return given
    arrays = map(numbers_of, ("params", "tokens"), given)
    return tuple(
        xr.DataArray(np.atleast_1d(values), dims="plan") for values in np.broadcast_arrays(*arrays)
    )


def _of_items(fit: Fit) -> tuple[dict[str, float], dict[str, float]]:
    """Chance level and number of items of each task, as far as anything says them."""
    return _each(fit, _CHANCE), _each(fit, TRIALS.name)


def _each(fit: Fit, name: str) -> dict[str, float]:
    """Read what the runs of each task have in common; numbers of items may differ: the largest."""
    table, common = fit.runs.table, {**fit.spec.constants, **fit.given}
    empty = name not in table or len(table) == 0
    if name in fit.given or (name in common and empty):
        return dict.fromkeys(tasks_of(fit), float(common[name]))
    uncounted = name == TRIALS.name and not fit.spec.noise_model.counts
    found = dict.fromkeys(tasks_of(fit), np.inf) if uncounted else {}
    if empty:
        return found
    for task in tasks_of(fit):
        values = np.unique(rows_of(fit, task)[name].dropna().to_numpy(dtype=float))
        if name == _CHANCE and len(values) and np.ptp(values) > _ROUNDED:
            raise FitError(
                f"the runs of the task {task} have the chance levels {values[0]:g} to "
                f"{values[-1]:g}; a new run has one: give the task's own in every row"
            )
        if len(values):
            found[task] = float(values[-1])
    return found


def _paired(loss: Fit, link: Fit, rng: np.random.Generator) -> tuple[Fit, Fit]:
    """Give both fits as many draws, those of the link in random rounds.

    Those of the loss stay in their chains, which may be of members of a pool.
    """
    sizes, other = loss.posterior.sizes, link.posterior.sizes
    chains, each, number = sizes["chain"], sizes["draw"], other["chain"] * other["draw"]
    draws = max(each, -(-number // chains))
    rounds = [rng.permutation(number) for _ in range(-(-chains * draws // number))]
    chosen = np.concatenate(rounds)[: chains * draws].reshape(chains, draws)
    chain, draw = (
        xr.DataArray(place, dims=("chain", "draw")) for place in np.divmod(chosen, other["draw"])
    )
    bare = link.posterior.drop_vars(["chain", "draw", "member"], errors="ignore")
    again = loss.posterior.drop_vars("draw", errors="ignore").isel(draw=np.arange(draws) % each)
    return _with_draws(loss, again), _with_draws(link, bare.isel(chain=chain, draw=draw))


def _with_draws(fit: Fit, draws: xr.Dataset) -> Fit:
    tree = fit.tree.copy()
    tree["posterior"] = draws
    return replace(fit, tree=tree, part_of=fit.part_of or fit)
