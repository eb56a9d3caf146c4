"""From options to runs and models; what cannot work is refused before the long work."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from bayescale.cli.options import Reading
from bayescale.cli.sampling import sample
from bayescale.errors import FitError, ModelError, RunsError, UnnamedColumnError
from bayescale.modelling.spec import ModelSpec, load_model
from bayescale.runs.reading import Table, kind_of

if TYPE_CHECKING:
    from bayescale.posterior.fit import Fit
    from bayescale.runs.table import Runs


def spec_of(model: str, group: str | None) -> ModelSpec:
    """Load a model file, with groups in another column if one is given.

    Parameters
    ----------
    model : str
        Name of a shipped model, or path of a TOML file.
    group : str or None
        Column of the groups.

    Returns
    -------
    ModelSpec
    """
    spec = load_model(model)
    return spec if group is None else spec.grouped_by(group)


def values_asked(spec: ModelSpec, flops: list[float], at: list[str]) -> list[float]:
    """Choose the sizes to answer for, refused before the long work rather than after it.

    Parameters
    ----------
    spec : ModelSpec
    flops : list of float
        Values of ``--flops``.
    at : list of str
        Entries of ``--at``: sizes, and those of `given_of`, which are left out.

    Returns
    -------
    list of float
        As `ModelSpec.size` counts them: compute, or values of the one axis.

    Raises
    ------
    ModelError
        For an option that the inputs of the law do not fit.
    RunsError
        For a value that is no positive number.
    """
    own = [text.removeprefix(f"{spec.size}=") for text in at]
    sizes = [_number(text, "--at") for text in own if "=" not in text]
    if spec.law.has_profiles and at:
        raise ModelError(f"the model {spec.name} answers for budgets of compute: use --flops")
    if flops and spec.size != "flops" and not spec.law.has_profiles:
        raise ModelError(
            f"the model {spec.name} reads {', '.join(spec.inputs)}, not compute: say which values "
            "to answer for with --at"
        )
    if sizes and spec.law.trades:
        raise ModelError(f"the model {spec.name} is not one of a single axis: use --flops")
    for value in (*flops, *sizes):
        if not 0 < value < float("inf"):
            raise RunsError(f"{value:g} is no positive number to answer for")
    return [*flops, *sizes]


def given_of(spec: ModelSpec, at: list[str]) -> dict[str, Any]:
    """Read the inputs that ``--at`` gives a value, for `bayescale.Fit.at`.

    Parameters
    ----------
    spec : ModelSpec
    at : list of str
        Entries INPUT=VALUE; of a mixture one for each part, w_web=0.7. Sizes are left out.

    Returns
    -------
    dict of str to float or dict
        Shares of a mixture by their parts.

    Raises
    ------
    ModelError
        For what the law does not read beside a size and data.
    RunsError
        For an entry that is written otherwise.
    """
    entries = [text for text in at if "=" in text and not text.startswith(f"{spec.size}=")]
    given = inputs_of(spec, entries)
    for name in given:
        if name not in spec.law.further:
            raise ModelError(
                f"--at {name}: the model {spec.name} cannot be fixed at {name}: it reads "
                + (", ".join(spec.law.further) or "nothing")
                + " beside what an allocation of compute says"
            )
    return given


def inputs_of(spec: ModelSpec, at: list[str]) -> dict[str, Any]:
    """Read values of inputs.

    Parameters
    ----------
    spec : ModelSpec
    at : list of str
        Entries INPUT=VALUE; of a mixture one for each part, w_web=0.7.

    Returns
    -------
    dict of str to float or dict
        Shares of a mixture by their parts.

    Raises
    ------
    RunsError
        For an entry that is written otherwise.
    """
    given: dict[str, Any] = {}
    for name, text in pairs_of(at, "--at").items():
        value = _number(text, f"--at {name}")
        mixed = [own for own in spec.law.role("shares") if name.startswith(f"{own}_")]
        if mixed:
            given.setdefault(mixed[0], {})[name.removeprefix(f"{mixed[0]}_")] = value
        else:
            given[name] = value
    return given


def _number(text: str, option: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise RunsError(f"{option}: {text!r} is not a number") from None


def runs_of(path: Path, reading: Reading, spec: ModelSpec) -> "Runs":
    """Read runs as the options say, and as a person at a terminal agrees to.

    Parameters
    ----------
    path : Path
    reading : Reading
    spec : ModelSpec
        The model that reads them.

    Returns
    -------
    Runs

    Raises
    ------
    RunsError
        If a unit is no number; else as `bayescale.read_runs`.
    """
    options = reading_options(reading) | _of_tasks(reading)
    kind_of(path)  # a file that is not there is refused before pandas is imported
    from bayescale.modelling.inputs import runs_for
    from bayescale.runs.tasks import ACCURACY

    odd = [*reading.of_tasks] if spec.response.column != ACCURACY else []
    of_losses = {"loss-unit": reading.loss_unit, "thin-per": reading.thin_per}
    odd += [n for n, v in of_losses.items() if v] if spec.response.column == ACCURACY else []
    if odd:
        raise RunsError(
            f"--{odd[0]}: the model {spec.name} says the {spec.response.name} of a run",
            "Leave it out, or choose another model with --model.",
        )

    def read(names: dict[str, str]) -> "Runs":
        given = {**options, "columns": names}
        if reading.sweep:
            return _floors_of(path, reading.sweep, spec, given)
        runs = runs_for(spec, path, given)
        for own in spec.reads:  # before the long work
            if own.role in ("size", "data", "compute"):
                runs.column(own.name)
        return runs

    names = options["columns"]
    try:
        return read(names)
    except UnnamedColumnError as error:
        which = ", ".join(f"{ours} is the column {name!r}" for ours, name in error.columns.items())
        if not (which and _at_a_terminal() and typer.confirm(f"{which}?", default=True, err=True)):
            raise
        return read({**names, **error.columns})


def reading_options(reading: Reading) -> dict[str, Any]:
    """Options of `bayescale.read_runs` as the command line gives them.

    Parameters
    ----------
    reading : Reading

    Returns
    -------
    dict

    Raises
    ------
    RunsError
        If a unit is no number, or an entry is written otherwise.
    """
    stated = pairs_of(reading.unit, "--unit").items()
    options: dict[str, Any] = {
        "columns": pairs_of(reading.column, "--column"),
        "where": all_of(reading.where or []),
        "units": {name: _number(text, f"--unit {name}={text}") for name, text in stated},
        "mid_schedule": _word_or_weight(reading.mid_schedule),
        "best_per": tuple(reading.best_per or ()),
        "params_are": reading.params_are,
    }
    options |= {"last_per": tuple(reading.last_per)} if reading.last_per else {}
    options |= {"only": tuple(reading.only)} if reading.only else {}
    if reading.thin_per:
        options["thin_per"] = () if reading.thin_per == ["none"] else tuple(reading.thin_per)
    return options | ({"loss_unit": reading.loss_unit} if reading.loss_unit else {})


def sweep_options(path: Path, reading: Reading) -> dict[str, Any]:
    """Read the options of a table of losses in which settings were swept.

    Parameters
    ----------
    path : Path
    reading : Reading

    Returns
    -------
    dict
        Of `bayescale.runs.sweeps.read_sweep`.

    Raises
    ------
    RunsError
        For a file that is not there, a unit that is no number, or an option of accuracies.
    """
    if odd := [*reading.of_tasks]:
        raise RunsError(f"--{odd[0]}: a sweep is of losses; leave it out")
    if reading.sweep:
        raise RunsError("--sweep: this command asks of the settings themselves; leave it out")
    kind_of(path)  # a file that is not there is refused before pandas is imported
    options = reading_options(reading)
    _require_no_thinning(options)
    return options


def _require_no_thinning(options: dict[str, Any]) -> None:
    if "thin_per" in options:
        raise RunsError(
            "--thin-per: of a sweep the last row of each run counts, --last-per; leave it out"
        )


def _floors_of(path: Path, knobs: list[str], spec: ModelSpec, options: dict[str, Any]) -> "Runs":
    """Read a sweep, and fit the bowls of its cells for their floors."""
    if spec.law.least or spec.response.column != "loss":
        raise ModelError(
            f"--sweep gives floors of losses to a law of params and tokens, not to {spec.name}; "
            f"of the settings themselves ask bayescale tune FILE --knobs {','.join(knobs)}"
        )
    _require_no_thinning(options)
    from bayescale.decisions.floors import floors
    from bayescale.modelling.tuning import sweep_model
    from bayescale.runs.sweeps import read_sweep

    swept = read_sweep(path, knobs, **options)
    return floors(sample(swept, sweep_model(swept, knobs), 1))


def _of_tasks(reading: Reading) -> dict[str, Any]:
    """Read the options of tables of accuracies: entries TASK or TASK=VALUE, or one number."""
    found = reading.of_tasks
    if "tasks" in found:
        entries = [entry if "=" in entry else f"{entry}={entry}" for entry in found["tasks"]]
        found["tasks"] = pairs_of(entries, "--tasks")
    for name in found.keys() & {"chance", "trials"}:
        found[name] = levels_of(found[name], f"--{name}")
    return found


def _at_a_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def table_of(path: Path, where: list[str] | None) -> Table:
    """Read a table of curves as the options say.

    Parameters
    ----------
    path : Path
    where : list of str or None
        Conditions that all must hold.

    Returns
    -------
    pandas.DataFrame
    """
    kind_of(path)
    from bayescale.runs.table import read_table

    return read_table(path, where=all_of(where or []))


def fit_of(path: Path) -> "Fit":
    """Read a fit.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Fit
    """
    require_fit(path)
    from bayescale.posterior.loading import load_fit

    return load_fit(path)


def require_fit(path: Path) -> None:
    """Refuse a fit that is not there before PyMC is imported, which takes seconds.

    Parameters
    ----------
    path : Path

    Raises
    ------
    FitError
        If there is no such file.
    """
    if not path.is_file():
        raise FitError(f"{path}: no such file")


def _word_or_weight(text: str) -> Literal["exclude", "keep"] | float:
    if text in ("exclude", "keep"):
        return "keep" if text == "keep" else "exclude"
    try:
        return float(text)
    except ValueError:
        raise RunsError(
            f"--mid-schedule {text}: write exclude, keep, or a weight between 0 and 1"
        ) from None


def all_of(conditions: list[str]) -> str | None:
    """Join conditions into one query that asks for all of them.

    Parameters
    ----------
    conditions : list of str

    Returns
    -------
    str or None
        None where there are none.
    """
    if len(conditions) < 2:
        return conditions[0] if conditions else None
    return " and ".join(f"({condition})" for condition in conditions)


def levels_of(entries: list[str] | None, option: str) -> float | dict[str, float] | None:
    """Read one number for all, or one by name.

    Parameters
    ----------
    entries : list of str or None
        Entries NAME=NUMBER, or a number alone.
    option : str
        Its name, for errors.

    Returns
    -------
    float, dict of str to float, or None
        None without entries.

    Raises
    ------
    RunsError
        If an entry is written otherwise.
    """
    if not entries:
        return None
    if len(entries) == 1 and "=" not in entries[0]:
        return _number(entries[0], option)
    for entry in entries:
        if "=" not in entry:
            raise RunsError(
                f"{option} {entry}: one number alone is for all; beside others write NAME=NUMBER"
            )
    named = pairs_of(entries, option).items()
    return {name: _number(text, f"{option} {name}") for name, text in named}


def pairs_of(entries: list[str] | None, option: str) -> dict[str, str]:
    """Split entries NAME=VALUE of a repeated option.

    Parameters
    ----------
    entries : list of str or None
    option : str
        Its name, for errors.

    Returns
    -------
    dict of str to str

    Raises
    ------
    RunsError
        If an entry is written otherwise, or a name stands twice.
    """
    pairs = {}
    for entry in entries or ():
        left, equals, right = entry.partition("=")
        if not (left and equals and right):
            raise RunsError(f"{option} {entry}: write it as NAME=VALUE")
        if left in pairs:
            raise RunsError(f"{option} names {left} twice")
        pairs[left] = right
    return pairs


def planned_of(params: list[float], tokens: list[float], plans: Path | None) -> Table | Path | None:
    """Take the planned runs from a table, or from pairs of params and tokens.

    Parameters
    ----------
    params, tokens : list of float
        Values of ``--params`` and ``--tokens``: as many of both, or one of them for all.
    plans : Path or None
        Of a table.

    Returns
    -------
    pandas.DataFrame, Path or None

    Raises
    ------
    RunsError
        For runs of which one of the two is missing, or that are given twice.
    """
    if plans is not None and (params or tokens):
        raise RunsError(
            "--plans has the params and tokens of runs: leave out --params and --tokens"
        )
    if plans is not None or not (params or tokens):
        return plans
    if not (params and tokens):
        raise RunsError("a planned run has both: give --params and --tokens")
    if len({len(params), len(tokens)} - {1}) > 1:
        raise RunsError(
            f"{len(params)} --params and {len(tokens)} --tokens: give as many of both, or one of "
            "them for all"
        )
    import pandas as pd

    many = max(len(params), len(tokens))
    columns = {"params": params, "tokens": tokens}
    return pd.DataFrame({n: v * (many if len(v) == 1 else 1) for n, v in columns.items()})
