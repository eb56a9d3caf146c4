"""From options to runs and models; what cannot work is refused before the long work."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bayescale.errors import FitError, ModelError, RunsError
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


def values_asked(spec: ModelSpec, flops: list[float], at: list[float]) -> list[float]:
    """Choose the values to answer for, refused before the long work rather than after it.

    Parameters
    ----------
    spec : ModelSpec
    flops : list of float
        Values of ``--flops``.
    at : list of float
        Values of ``--at``.

    Returns
    -------
    list of float
        Compute for a joint law, else values of the one axis.

    Raises
    ------
    ModelError
        For a law that has no report, or an option that its inputs do not fit.
    RunsError
        For a value that is no positive number.
    """
    if len(spec.inputs) > 1 and not spec.law.is_joint:
        raise ModelError(
            f"the model {spec.name} has no report of its own: fit a joint law with --approaches"
        )
    by_compute = spec.law.is_joint or spec.inputs == ("flops",)
    if flops and not by_compute:
        raise ModelError(
            f"the model {spec.name} reads {', '.join(spec.inputs)}, not compute: say which values "
            "to answer for with --at"
        )
    if at and len(spec.inputs) > 1:
        raise ModelError(f"the model {spec.name} is not one of a single axis: use --flops")
    for value in (*flops, *at):
        if not 0 < value < float("inf"):
            raise RunsError(f"{value:g} is no positive number to answer for")
    return [*flops, *at]


def runs_of(
    path: Path,
    where: list[str] | None,
    columns: list[str] | None,
    units: list[str] | None,
    mid_schedule: str,
    best_per: str | None,
    params_are: str,
) -> "Runs":
    """Read runs as the options say.

    Parameters
    ----------
    path : Path
    where : list of str or None
        Conditions that all must hold.
    columns : list of str or None
        Entries OURS=YOURS.
    units : list of str or None
        Entries COLUMN=NUMBER.
    mid_schedule : str
        "exclude", "keep", or a weight.
    best_per : str or None
        Columns, by comma.
    params_are : str

    Returns
    -------
    Runs

    Raises
    ------
    RunsError
        If a unit is no number; else as `bayescale.read_runs`.
    """
    sizes = {}
    for name, text in pairs_of(units, "--unit").items():
        try:
            sizes[name] = float(text)
        except ValueError:
            raise RunsError(f"--unit {name}={text}: {text!r} is not a number") from None
    names, unfinished = pairs_of(columns, "--column"), _word_or_weight(mid_schedule)
    kind_of(path)  # a file that is not there is refused before pandas is imported
    from bayescale.runs.table import read_runs

    return read_runs(
        path,
        names,
        where=_all_of(where or []),
        units=sizes,
        mid_schedule=unfinished,
        best_per=tuple(best_per.split(",")) if best_per else (),
        params_are=params_are,
    )


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

    return read_table(path, where=_all_of(where or []))


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
    from bayescale.posterior.fit import load_fit

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


def _all_of(conditions: list[str]) -> str | None:
    """Join conditions into one query that asks for all of them."""
    if len(conditions) < 2:
        return conditions[0] if conditions else None
    return " and ".join(f"({condition})" for condition in conditions)


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
