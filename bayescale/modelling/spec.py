"""Model specifications, from a TOML file: a law, priors on its coordinates, pooling and noise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import module_from_spec, spec_from_file_location
from itertools import chain
from math import inf
from pathlib import Path
from typing import Any

from bayescale import words
from bayescale.arguments import typed
from bayescale.errors import ModelError, UnknownLawError
from bayescale.files import from_toml
from bayescale.laws import LAWS, Input, Law, Response
from bayescale.modelling.noise import NOISE, SEED, Noise
from bayescale.modelling.priors import DISTRIBUTIONS, NORMAL_ON, Prior

POOLING = ("complete", "partial", "none")
"""One value for all groups; one each, drawn from a population that is learned; one each, apart."""

REFERENCES = ("runs", "group")
"""Whose geometric mean is the reference run: one of all runs, or each group has its own."""

_MEANT = ("run", "weight")  # columns whose meaning is given: `bayescale.read_runs`
_OF_RUNS = ("observed", "replicates", "fitted", "residual", "predicted_q05", "predicted_q95")
_ANSWERS = (
    *_OF_RUNS,
    *("group", "chain", "draw", "member", "summary", "chosen", "inside"),
    *("q05", "q10", "q25", "q50", "q75", "q90", "q95", "inside50", "inside80", "inside90"),
    *("error", "pit", "crps", "log_score", "cut", "converged", "law", "decades", "block"),
)
"""Columns and dims of answers, beside which a column that the law reads stands under its name."""

_VARIABLES = (
    *("obs", "group", "chain", "draw", "member", "basis", "size_basis", "beyond"),
    *("bend", "bend_beyond", "size_error", "bend_basis", "size_error_basis", "group_index"),
    *("cluster", "cluster_index"),
    *("observed", "observed_count", "observed_sd", "weight", "weighting", "replicates"),
    *("seeds", "seed_squares", "seed_freedom"),
)
"""Variables, data and dims of every model: no parameter of a law may have their name."""

_COMMON = ("trials", "chance")
"""What [response] may say of all runs, where it is a share: items of a task, and of guessing."""

_MOST_LETTERS = 100  # of the name of a law

_SMOOTH = ("axes", "sd", "length")
"""What [effects] says of errors that are smooth, beside the prior of their sd."""

_NUMBERS = {1: "one axis", 2: "two axes"}

_KEYS = (
    "summary",
    "law",
    "axis",
    "response",
    "group",
    "reference",
    "cluster",
    "bend",
    "size_error",
    "members",
    "pooling",
    "priors",
    "scales",
    "cluster_scales",
    "trends",
    "effects",
    "noise",
)


@dataclass(frozen=True)
class Bend:
    """Scale of a smooth error: of a law (`bayescale.modelling.bend`), or of runs of one size.

    Parameters
    ----------
    sd : float
        Of log loss.
    length : float
        Decades over which the error changes.
    along : tuple of bool
        Whether it changes along each input of the law; empty: along all.
    """

    sd: float
    length: float
    along: tuple[bool, ...] = ()


@dataclass(frozen=True)
class Smooth:
    """Which part of the errors of cells is smooth (`bayescale.posterior.leaning`).

    Parameters
    ----------
    axes : tuple of str
        Inputs of the law along whose logarithms it changes.
    sd : float
        Of log loss, before what the law can draw is taken off.
    length : float
        Decades over which it changes.
    """

    axes: tuple[str, ...]
    sd: float
    length: float


@dataclass(frozen=True)
class ModelSpec:
    """What is fitted: everything but the data.

    Parameters
    ----------
    name : str
    summary : str
        One line for lists of models.
    law : Law
    response : Response
        What the law says of a run: the law's own, with the column and unit of the model file.
    constants : mapping of str to float
        What the model file gives for all runs, by the column that it stands for: trials, chance.
    axes : tuple of str
        Columns of the runs that a law of any axes reads.
    group : str or None
        Column of the runs whose values are the groups of a hierarchical model.
    reference : str
        One of `REFERENCES`. Where each group has its own, a level that is not pooled lies about the
        log losses of its own group.
    cluster : str or None
        Column of the runs that says which cluster a group lies in.
    pooling : mapping of str to str
        "partial" or "none" for the coordinates and noise parameters that differ between groups;
        all others are completely pooled.
    priors : mapping of str to Prior
        One for each coordinate of the law: of its value, or of the population's where it is
        partially pooled. As the file states them: `bayescale.modelling.build.placed` gives those
        of some runs.
    scales : mapping of str to Prior
        Of the sd between groups of each partially pooled parameter: on its own scale for the level
        (a log loss), on the logit scale for shares, on the log scale for all others. Where clusters
        count, between groups of one cluster.
    cluster_scales : mapping of str to Prior
        Of the sd between clusters, for partially pooled parameters of the law that have an effect
        of the cluster.
    trends : mapping of str to mapping of str to Prior
        Columns along which the middle of a partially pooled parameter moves from group to group,
        with the prior of its change per decade of the column, on the scale of `scales`.
    effects : mapping of str to Prior
        Columns of the runs of which rows with one value share an error, with the prior of its sd
        on log loss (`bayescale.modelling.effects`).
    smooth : mapping of str to Smooth
        Those of the columns whose errors are smooth along inputs of the law.
    bend : Bend or None
        How far the law may bend; None where it is taken as exact.
    size_error : Bend or None
        Error that runs of nearly one size share; None where errors of runs are independent.
    members : tuple of mapping
        Of a pool of posteriors: how each member differs from the rest of the file
        (`each_member`). Empty for a single posterior.
    fixed : mapping of str to float
        Coordinates of the law that are given and not sampled, of a member of a pool.
    noise : str
        Kind of noise, one of `bayescale.modelling.noise.NOISE`.
    noise_priors : mapping of str to Prior
    source : str
        The TOML text, kept in every fit.
    """

    name: str
    summary: str = field(repr=False)
    law: Law = field(repr=False)
    response: Response = field(repr=False)
    constants: Mapping[str, float] = field(repr=False)
    axes: tuple[str, ...] = field(repr=False)
    group: str | None = field(repr=False)
    reference: str = field(repr=False)
    cluster: str | None = field(repr=False)
    pooling: Mapping[str, str] = field(repr=False)
    priors: Mapping[str, Prior] = field(repr=False)
    scales: Mapping[str, Prior] = field(repr=False)
    cluster_scales: Mapping[str, Prior] = field(repr=False)
    trends: Mapping[str, Mapping[str, Prior]] = field(repr=False)
    effects: Mapping[str, Prior] = field(repr=False)
    smooth: Mapping[str, Smooth] = field(repr=False)
    bend: Bend | None = field(repr=False)
    size_error: Bend | None = field(repr=False)
    members: tuple[Mapping[str, float], ...] = field(repr=False)
    noise: str = field(repr=False)
    noise_priors: Mapping[str, Prior] = field(repr=False)
    source: str = field(repr=False)
    fixed: Mapping[str, float] = field(repr=False, default_factory=dict)

    @property
    def axis(self) -> str | None:
        """Column of the runs that a law of one axis reads."""
        return self.axes[0] if len(self.axes) == 1 else None

    @property
    def each_member(self) -> tuple["ModelSpec", ...]:
        """The models whose draws are pooled: this one alone, unless it is a pool."""
        return tuple(self._member(given) for given in self.members) or (self,)

    @property
    def is_exact(self) -> bool:
        """Whether the law is taken as exact: it may not bend, and sizes share no error."""
        return self.bend is None and self.size_error is None and not self.members

    @property
    def exact(self) -> "ModelSpec":
        """The same model with its law taken as exact; of a pool the first member."""
        if self.is_exact:
            return self
        return replace(self.each_member[0], bend=None, size_error=None)

    def _member(self, given: Mapping[str, float]) -> "ModelSpec":
        fixed = {name: value for name, value in given.items() if name in self.priors}
        length = given.get("length")
        bend = replace(self.bend, length=length) if self.bend and length else self.bend
        return replace(
            self,
            members=(),
            fixed=fixed,
            bend=bend,
            priors={name: prior for name, prior in self.priors.items() if name not in fixed},
        )

    @property
    def reads(self) -> tuple[Input, ...]:
        """What the law reads."""
        return self.law.reads

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of what the law reads: columns of the runs, or of shares what theirs begin with."""
        return tuple(own.name for own in self.reads)

    @property
    def designed(self) -> tuple[str, ...]:
        """Columns along which runs must differ for the law to be learned."""
        return tuple(own.name for own in self.reads if own.scale == "log")

    @property
    def may_hold(self) -> bool:
        """Whether one of several inputs may be the same in all runs.

        A share has a scale of its own, on which priors say how much may be due to that input, and
        some laws have priors that do; of a loss it cannot be told from the irreducible part.
        """
        return self.response.scale == "share" or self.law.may_hold

    @property
    def columns(self) -> tuple[str, ...]:
        """What the model reads of a table of runs: inputs of the law, and the group."""
        group = [self.group] if self.group else []
        return tuple(dict.fromkeys((*self.inputs, *group, *self.effects)))

    @property
    def size(self) -> str:
        """Column of the runs that says how near a run is to what lies beyond all of them.

        Compute of a law that trades params against tokens, else the first input that has a size;
        empty of a law that reads a mixture alone.
        """
        if self.law.trades:
            return "flops"
        sized = (own.name for own in self.reads if own.scale == "log")
        other = (own.name for own in self.reads if own.role != "shares")
        return next(chain(sized, other), "")

    @property
    def size_column(self) -> str:
        """Column of the runs along which an error is shared by runs of nearly one size."""
        return next((own.name for own in self.reads if own.role == "size"), self.inputs[0])

    @property
    def supports(self) -> dict[str, str]:
        """Where everything that is sampled may lie: real, positive or unit (0 to 1)."""
        law = {name: own.support for name, own in self.law.coordinates.supports.items()}
        return {**law, **self.noise_model.parameters, SEED: "positive"}

    def along(self, name: str) -> str:
        """Name of the shares for each of which a coordinate has an entry; empty for a number.

        Parameters
        ----------
        name : str
            Of a coordinate or a parameter.

        Returns
        -------
        str
        """
        own = self.law.coordinates.supports.get(name) or self.law.supports.get(name)
        return own.along if own else ""

    @property
    def noise_model(self) -> Noise:
        """What the kind of noise computes."""
        return NOISE[self.noise]

    @property
    def sampled(self) -> dict[str, Prior]:
        """Priors of everything that is sampled: the law's coordinates, then the noise."""
        return {**self.priors, **self.noise_priors}

    @property
    def partial(self) -> tuple[str, ...]:
        """Names of the partially pooled parameters."""
        return tuple(name for name, kind in self.pooling.items() if kind == "partial")

    @property
    def between(self) -> dict[str, Prior]:
        """Priors of what tells groups apart, by the name of the variable.

        Sds between groups and between clusters, and slopes of trends.
        """
        groups = {f"{name}_scale": prior for name, prior in self.scales.items()}
        clusters = {f"{name}_cluster_scale": own for name, own in self.cluster_scales.items()}
        return {**groups, **clusters, **self.slopes}

    @property
    def slopes(self) -> dict[str, Prior]:
        """Priors of the slopes of trends, by the name of the variable."""
        return {
            slope_of(name, column): prior
            for name, trend in self.trends.items()
            for column, prior in trend.items()
        }

    @property
    def covariates(self) -> tuple[str, ...]:
        """Columns of the runs along which groups have trends."""
        return tuple(dict.fromkeys(column for own in self.trends.values() for column in own))

    @property
    def shape(self) -> tuple[Any, ...]:
        """What decides the compiled code: everything but the numbers in the priors."""
        priors = {**self.sampled, **self.between, **self.effects}
        return (
            self.law,
            self.inputs,
            self.response.scale,
            self.noise,
            self.bend is not None,
            self.size_error is not None,
            self.reference,
            tuple(sorted(self.fixed.items())),
            tuple(sorted(self.pooling.items())),
            tuple(self.effects),
            tuple((name, prior.dist) for name, prior in sorted(priors.items())),
        )

    def grouped_by(self, column: str) -> "ModelSpec":
        """Return the same model with another column as its groups.

        Parameters
        ----------
        column : str
            Of the runs.

        Returns
        -------
        ModelSpec

        Raises
        ------
        ModelError
            If the model is not a hierarchical one.
        """
        if self.group is None:
            raise ModelError(
                f"model {self.name} pools everything: it has no groups; take a hierarchical model, "
                "such as chinchilla-hierarchical (--model chinchilla-hierarchical), or add group "
                "and [pooling] to a model file"
            )
        import tomlkit  # keeps comments and layout; only what edits a model file needs it

        text = tomlkit.parse(self.source)
        text["group"] = column
        return parse_model(tomlkit.dumps(text), self.name)

    def along_axes(self, *axes: str) -> "ModelSpec":
        """Return the same model along other columns of the runs.

        Parameters
        ----------
        *axes : str
            One for each axis of the law.

        Returns
        -------
        ModelSpec

        Raises
        ------
        ModelError
            If the law reads another number of axes, or a column has a name that is taken.
        """
        import tomlkit

        text: Any = tomlkit.parse(self.source)
        text["axis"] = axes[0] if len(axes) == 1 else list(axes)
        return parse_model(tomlkit.dumps(text), self.name)

    def with_trends_along(self, column: str) -> "ModelSpec":
        """Return the same model with the trends of its one column along another one.

        Parameters
        ----------
        column : str
            Numeric, of the runs.

        Returns
        -------
        ModelSpec

        Raises
        ------
        ModelError
            If the model has no trends, or trends along several columns.
        """
        if len(self.covariates) != 1:
            found = " and ".join(self.covariates) or "nothing"
            raise ModelError(
                f"model {self.name} has trends along {found}, and one column is to be replaced; "
                "edit a copy of its file"
            )
        import tomlkit

        text: Any = tomlkit.parse(self.source)
        for name, trend in list(text["trends"].items()):
            (prior,) = trend.values()
            text["trends"][name] = {column: prior}
        return parse_model(tomlkit.dumps(text), self.name)

    def with_trends(self, trends: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> "ModelSpec":
        """Return the same model with other trends.

        Parameters
        ----------
        trends : mapping of str to mapping of str to mapping
            As [trends] of a model file has them: for each parameter by column a prior, such as
            ``{"dist": "Normal", "mu": 0.0, "sigma": 0.5}``. Empty for none.

        Returns
        -------
        ModelSpec

        Raises
        ------
        ModelError
            For a parameter that is not partially pooled, or what is no prior.
        """
        import tomlkit

        text: Any = tomlkit.parse(self.source)
        text.pop("trends", None)
        if trends:
            text["trends"] = {name: dict(own) for name, own in trends.items()}
        return parse_model(tomlkit.dumps(text), self.name)

    def in_unit(self, unit: str) -> "ModelSpec":
        """Return the same model of losses in another unit.

        Parameters
        ----------
        unit : str
            Empty for that of the model.

        Returns
        -------
        ModelSpec
        """
        if unit in ("", self.response.unit) or self.response.column != "loss":
            return self
        return replace(self, response=replace(self.response, unit=unit))

    def unpooled(self) -> "ModelSpec":
        """Return the same model with every partially pooled parameter estimated group by group."""
        import tomlkit

        text: Any = tomlkit.parse(self.source)
        for name in self.partial:
            text["pooling"][name] = "none"
        return parse_model(tomlkit.dumps(text), f"{self.name}-unpooled")


def available_models() -> dict[str, str]:
    """Shipped model specifications: name to one-line summary."""
    return {name: load_model(name).summary for name in _packaged()}


def is_shipped(name: str) -> bool:
    """Whether a model of that name comes with the package.

    Parameters
    ----------
    name : str

    Returns
    -------
    bool
    """
    return name in _packaged()


@typed
def load_model(model: str | Path) -> ModelSpec:
    """Load a model specification by its name, or from a TOML file of your own.

    A law of your own is found in a file of its name, ``<law>.py``, beside the model file, unless it
    is imported already.

    Parameters
    ----------
    model : str or path

    Returns
    -------
    ModelSpec

    Raises
    ------
    ModelError
        For an unknown name, an unreadable file, or a specification that is not complete and valid.
    """
    packaged = _packaged()
    if str(model) in packaged:
        return parse_model(packaged[str(model)].read_text("utf-8"), str(model))
    path = Path(model)
    if path.suffix != ".toml":
        raise ModelError(
            f"unknown model {words.quoted(str(model))}; "
            f"{words.did_you_mean(str(model), list(packaged))}; or a path to a .toml"
        )
    try:
        return parse_model(path.read_text("utf-8"), path.stem, laws=(path.parent,))
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ModelError(f"{path}: cannot be read, it is not UTF-8 text") from error


@typed
def parse_model(text: str, name: str, *, laws: Sequence[Path] = ()) -> ModelSpec:
    """Parse and check the TOML text of a model specification.

    Parameters
    ----------
    text, name : str
    laws : sequence of Path
        Folders in which the file of an unknown law, ``<law>.py``, is looked for.

    Returns
    -------
    ModelSpec

    Raises
    ------
    ModelError
        Naming the key, what is wrong with it, and the valid choices.
    """
    try:
        entries = from_toml(text)
    except ValueError as error:
        raise ModelError(f"model {name}: not valid TOML ({error})") from error
    _only(entries, _KEYS, f"model {name}")
    for key in ("law", "priors", "noise"):
        if key not in entries:
            raise ModelError(f"model {name}: the key {key!r} is missing")
    law = _law(entries["law"], laws, f"model {name}")
    noise, noise_priors = _noise(entries["noise"], law.response, f"model {name} [noise]")
    response, constants = _response(entries, law, name)
    _require_own_names(law, response, noise_priors, name)
    axes = _axes(entries, law, response, name)
    law = law.along(*axes)
    supports = {key: own.support for key, own in law.coordinates.supports.items()}
    priors = _priors(entries["priors"], supports, f"model {name} [priors]")
    supports |= {**NOISE[noise].parameters, SEED: "positive"}
    pooling = _pooling(entries, {**priors, **noise_priors}, supports, response, name)
    scales = _scales(entries.get("scales", {}), pooling, (*priors, *noise_priors), name)
    return ModelSpec(
        name=name,
        summary=str(entries.get("summary", law.summary)),
        law=law,
        response=response,
        constants=constants,
        axes=axes,
        group=entries.get("group"),
        reference=_reference(entries, law, name),
        cluster=_cluster(entries, response, name),
        pooling=pooling,
        priors=priors,
        scales=scales,
        cluster_scales=_cluster_scales(entries, scales, tuple(priors), name),
        trends=_trends(entries, scales, tuple(priors), name),
        effects=_effects(entries, response, name),
        smooth=_smooth(entries, law, name),
        bend=(bend := _bend(entries, law, name)),
        size_error=_size_error(entries, bend, name),
        members=_members(entries, priors, supports, bend, name),
        noise=noise,
        noise_priors=noise_priors,
        source=text,
    )


def _law(name: Any, folders: Sequence[Path], where: str) -> Law:
    """Find a law by its name, importing the file that holds it if need be."""
    # A path may lead to any folder, and a name of thousands of letters is no file's.
    plain = isinstance(name, str) and name.isidentifier() and len(name) < _MOST_LETTERS
    files = [folder / f"{name}.py" for folder in folders if plain]
    file = next((file for file in files if file.is_file()), None)
    if file is not None and name not in LAWS:
        found = spec_from_file_location(f"law_of_{name}", file)
        if found is not None and found.loader is not None:
            found.loader.exec_module(module_from_spec(found))
    if not isinstance(name, str) or name not in LAWS:
        beside = f"; {file} holds none of that name" if file else ""
        said = str(name)[:_MOST_LETTERS]
        raise UnknownLawError(
            f"{where}: unknown law {words.quoted(said)}{beside}; "
            f"{words.did_you_mean(said, list(LAWS))}; or, "
            f"for a law of your own, put its file {said}.py beside the model file or the fit, or "
            "import it first"
        )
    return LAWS[name]


def _packaged() -> dict[str, Traversable]:
    folder: Traversable = files("bayescale") / "models"
    if not folder.is_dir():  # an editable install or a raw checkout: the files lie at the top level
        folder = Path(__file__).parents[2] / "models"
    return {
        item.name.removesuffix(".toml"): item
        for item in sorted(folder.iterdir(), key=lambda item: item.name)
        if item.name.endswith(".toml")
    }


def _only(entries: Mapping[str, Any], valid: tuple[str, ...], where: str) -> None:
    for key in entries:
        if key not in valid:
            raise ModelError(
                f"{where}: unknown key {words.quoted(key)}; {words.did_you_mean(key, valid)}"
            )


def _require_own_names(
    law: Law, response: Response, noise: Mapping[str, Prior], model: str
) -> None:
    """Refuse a law whose inputs or parameters have names that mean something else already."""
    for column in law.inputs:
        taken = (*_MEANT, response.column, *_ANSWERS)
        _require_free(column, taken, f"model {model}: the law {law.name}'s input")
    for parameter in (*law.coordinates.names, *law.parameters):
        if parameter in (*noise, response.variable, *_VARIABLES):
            raise ModelError(
                f"model {model}: the law {law.name} has a parameter {parameter!r}, which is the "
                "name of something else in its model; rename the parameter in the law"
            )


def _require_free(column: str, taken: tuple[str, ...], what: str) -> None:
    """Refuse a column under whose name tables or answers hold something else."""
    if column in taken:
        raise ModelError(
            f"{what} {words.quoted(column)} has a name that bayescale uses itself; give the column "
            f"another one, e.g. --column own_{column}={column} "
            f"(in Python columns={{'own_{column}': '{column}'}}), and name that"
        )


def _require_plain(column: str, what: str) -> None:
    """Refuse a column whose name no variable can have: trees of draws are paths of names."""
    if "/" in column:
        plain = column.rpartition("/")[2] or "own"
        raise ModelError(
            f"{what} {words.quoted(column)} has a / in its name; give the column another one, e.g. "
            f"--column {plain}={column} (in Python columns={{{plain!r}: {column!r}}}), and name "
            "that"
        )


def _response(
    entries: Mapping[str, Any], law: Law, model: str
) -> tuple[Response, dict[str, float]]:
    """Read which column holds the response, its unit, and what all runs have in common."""
    where, given = f"model {model} [response]", entries.get("response", {})
    if not isinstance(given, Mapping):
        raise ModelError(f'{where}: must be a table, e.g. column = "{law.response.column}"')
    known = ("column", "unit", *(_COMMON if law.response.scale == "share" else ()))
    _only(given, known, where)
    named = {key: given[key] for key in ("column", "unit") if key in given}
    for key, value in named.items():
        if not isinstance(value, str) or (key == "column" and value in ("", *_MEANT)):
            raise ModelError(
                f"{where} {key}: must name a column of the runs, got {words.quoted(value)}"
            )
    constants = {key: _common(given[key], key, where) for key in _COMMON if key in given}
    own = law.response
    name = own.name if named.get("column", own.column) == own.column else named["column"]
    return replace(own, **named, name=name.replace("_", " ")), constants


def _common(value: Any, key: str, where: str) -> float:
    if key == "chance" and value == 0 and not isinstance(value, bool):
        return 0.0
    found = _positive(value, f"{where} {key}")
    if found >= 1 if key == "chance" else found != round(found):
        valid = "0 or more and less than 1" if key == "chance" else "a whole number"
        raise ModelError(f"{where} {key}: must be {valid}, got {words.quoted(value)}")
    return found


def _axes(entries: Mapping[str, Any], law: Law, response: Response, name: str) -> tuple[str, ...]:
    """Read the columns of the runs for the axes of a law that may read any."""
    wanted, given = law.role("axis"), entries.get("axis")
    if not wanted and given is not None:
        raise ModelError(
            f"model {name}: the law {law.name} reads {', '.join(law.inputs)}; remove the key 'axis'"
        )
    axes = tuple(given) if isinstance(given, list) else () if given is None else (given,)
    ours = all(isinstance(axis, str) and axis not in ("", response.column) for axis in axes)
    if len(axes) != len(wanted) or not ours or len(set(axes)) < len(axes):
        example = '"tokens"' if len(wanted) == 1 else '["learning_rate", "batch_size"]'
        raise ModelError(
            f"model {name}: the law {law.name} reads {_NUMBERS[len(wanted)]}; name "
            f"{'a column' if len(wanted) == 1 else 'a column for each'} of the runs, "
            f"e.g. axis = {example}"
        )
    for axis in axes:
        _require_free(axis, (*_MEANT, response.column, *_ANSWERS), f"model {name}: the axis")
        _require_plain(axis, f"model {name}: the axis")
    return axes


def _bend(entries: Mapping[str, Any], law: Law, model: str) -> Bend | None:
    """Read how a law may bend."""
    found, where = _smooth_error(entries, "bend", ("axes",), model), f"model {model} [bend] axes"
    if found is not None and any(own.scale != "log" for own in law.reads):
        raise ModelError(
            f"model {model} [bend]: a law bends along logarithms of its inputs, and {law.name} "
            "reads one that is no logarithm; leave [bend] out"
        )
    if found is not None and law.response.scale != "log":
        raise ModelError(
            f"model {model} [bend]: a law of {law.response.name} cannot bend; leave [bend] out"
        )
    if found is None or "axes" not in entries["bend"]:
        return found
    axes = _axes_of(entries["bend"]["axes"], law, where)
    return replace(found, along=tuple(name in axes for name in law.inputs))


def _axes_of(axes: Any, law: Law, where: str) -> tuple[str, ...]:
    """Read names of inputs of a law."""
    if not isinstance(axes, list) or not axes or not all(isinstance(one, str) for one in axes):
        raise ModelError(f"{where}: must name inputs of the law, e.g. {list(law.inputs)}")
    for name in axes:
        if name not in law.inputs:
            raise ModelError(
                f"{where}: {words.quoted(name)}; {words.did_you_mean(name, list(law.inputs))}"
            )
    return tuple(axes)


def _smooth_error(
    entries: Mapping[str, Any], key: str, more: tuple[str, ...], model: str
) -> Bend | None:
    """Read the scale of a smooth error: of the law, or of runs of one size."""
    if key not in entries:
        return None
    where, given = f"model {model} [{key}]", entries[key]
    if not isinstance(given, Mapping):
        raise ModelError(f"{where}: must be a table with sd (of log loss) and length (decades)")
    _only(given, ("sd", "length", *more), where)
    sd, length = (_positive(given.get(name), f"{where} {name}") for name in ("sd", "length"))
    if "group" in entries:
        raise ModelError(f"{where}: a model with groups takes its law as exact; leave [{key}] out")
    return Bend(sd, length)


def _size_error(entries: Mapping[str, Any], bend: Bend | None, model: str) -> Bend | None:
    found = _smooth_error(entries, "size_error", (), model)
    if found is not None and bend is None:
        raise ModelError(f"model {model}: [size_error] goes with [bend]; add it, or leave both out")
    return found


def _members(
    entries: Mapping[str, Any],
    priors: Mapping[str, Prior],
    supports: Mapping[str, str],
    bend: Bend | None,
    model: str,
) -> tuple[Mapping[str, float], ...]:
    """Read how the members of a pool differ: coordinates that are given, lengths of the bend."""
    where, given = f"model {model} [[members]]", entries.get("members", [])
    if not isinstance(given, list) or not all(isinstance(own, Mapping) for own in given):
        raise ModelError(f"{where}: must be an array of tables, one for each member of the pool")
    if given and "group" in entries:
        raise ModelError(f"{where}: a model with groups is one posterior; leave members out")
    for own in given:
        _only(own, (*priors, *(["length"] if bend else [])), where)
        for name, value in own.items():
            if _positive(value, f"{where} {name}") >= 1 and supports.get(name) == "unit":
                raise ModelError(f"{where} {name}: must be less than 1, got {words.quoted(value)}")
    return tuple({name: float(value) for name, value in own.items()} for own in given)


def _positive(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < inf:
        raise ModelError(f"{where}: must be a positive number, got {words.quoted(value)}")
    return float(value)


def _pooling(
    entries: Mapping[str, Any],
    priors: Mapping[str, Prior],
    supports: Mapping[str, str],
    response: Response,
    model: str,
) -> dict[str, str]:
    """Read what differs between groups; completely pooled parameters are left out."""
    where, pooling, group = f"model {model} [pooling]", entries.get("pooling", {}), "group"
    no_group = ("", response.column)
    if group in entries and (not isinstance(entries[group], str) or entries[group] in no_group):
        raise ModelError(
            f'model {model}: group must name a column of the runs, e.g. group = "family"'
        )
    if group in entries:
        taken = (response.column, "weight", *_OF_RUNS)
        _require_free(entries[group], taken, f"model {model}: the group")
    if not isinstance(pooling, Mapping):
        raise ModelError(f'{where}: must be a table such as level = "partial"')
    _only(pooling, tuple(priors), where)
    for name, kind in pooling.items():
        if kind not in POOLING:
            raise ModelError(
                f"{where} {name}: {words.quoted(kind)}; "
                f"{words.did_you_mean(str(kind), list(POOLING))}"
            )
        support = supports[name]
        if kind == "partial" and not priors[name].normal_on(support):
            raise ModelError(
                f"{where} {name}: groups are Normal about a population whose prior must be Normal "
                f"on the same line; use {NORMAL_ON[support]}, not {priors[name].dist}"
            )
    if SEED in pooling and pooling[SEED] != "complete":
        raise ModelError(f"{where} {SEED}: the seeds of all groups are pooled; leave it out")
    varying = {name: kind for name, kind in pooling.items() if kind != "complete"}
    if varying and group not in entries:
        raise ModelError(
            f"{where}: {', '.join(varying)} differ between groups, but the key 'group' is missing; "
            'name a column of the runs, e.g. group = "family"'
        )
    if group in entries and not varying:
        raise ModelError(
            f"model {model}: group is given, but nothing differs between the groups; add [pooling] "
            'with, e.g., level = "partial"'
        )
    return varying


def _scales(
    entries: Any, pooling: Mapping[str, str], names: tuple[str, ...], model: str
) -> dict[str, Prior]:
    """Read the priors of the sd between groups; those of parameters not pooled now are unused."""
    where = f"model {model} [scales]"
    if not isinstance(entries, Mapping):
        raise ModelError(f"{where}: must be a table of priors")
    _only(entries, names, where)
    partial = [name for name, kind in pooling.items() if kind == "partial"]
    missing = [name for name in partial if name not in entries]
    if missing:
        raise ModelError(
            f"{where}: no prior for the sd between groups of {', '.join(missing)}; write, e.g., "
            f'{missing[0]} = {{ dist = "HalfNormal", sigma = 0.3 }}'
        )
    scales = _sds(entries, where)
    return {name: scales[name] for name in partial}


def _sds(entries: Mapping[str, Any], where: str) -> dict[str, Prior]:
    """Read priors of sds."""
    scales = {name: Prior.parse(entry, f"{where} {name}") for name, entry in entries.items()}
    for name, prior in scales.items():
        if not prior.within("positive"):
            raise ModelError(f"{where} {name}: {prior.dist} can be negative, an sd cannot")
    return scales


def _reference(entries: Mapping[str, Any], law: Law, model: str) -> str:
    """Read whose reference run it is: that of all runs, or each group's own."""
    found, where = entries.get("reference", "runs"), f"model {model}: reference"
    if found not in REFERENCES:
        raise ModelError(
            f"{where} is {words.quoted(found)}; {words.did_you_mean(str(found), REFERENCES)}"
        )
    if found == "group" and "group" not in entries:
        raise ModelError(
            f"{where} is \"group\", but the key 'group' is missing; name a column of the runs, "
            'e.g. group = "family"'
        )
    if found == "group" and law.role("shares"):
        raise ModelError(
            f"{where}: the law {law.name} reads a mixture, whose middle is that of all runs; leave "
            "reference out"
        )
    return str(found)


def _cluster(entries: Mapping[str, Any], response: Response, model: str) -> str | None:
    """Read the column that says which cluster a group lies in."""
    given, where = entries.get("cluster"), f"model {model}: cluster"
    if given is None and "cluster_scales" in entries:
        raise ModelError(
            f"model {model} [cluster_scales]: the key 'cluster' is missing; name the column of the "
            'runs that says which cluster a group lies in, e.g. cluster = "task"'
        )
    if given is None:
        return None
    if "group" not in entries:
        raise ModelError(f"{where}: clusters are of groups, and the key 'group' is missing; add it")
    if not isinstance(given, str) or given in ("", response.column, entries["group"]):
        raise ModelError(
            f"{where} must name a column of the runs other than the group's, e.g. "
            f'cluster = "task", got {words.quoted(given)}'
        )
    if "cluster_scales" not in entries:
        raise ModelError(
            f"{where}: no prior for an sd between clusters; add [cluster_scales] with, e.g., "
            'alpha = { dist = "HalfNormal", sigma = 0.3 }'
        )
    return given


def _cluster_scales(
    entries: Mapping[str, Any], scales: Mapping[str, Prior], names: tuple[str, ...], model: str
) -> dict[str, Prior]:
    """Read the priors of the sd between clusters; those of parameters not pooled are unused."""
    where, given = f"model {model} [cluster_scales]", entries.get("cluster_scales", {})
    if not isinstance(given, Mapping):
        raise ModelError(f"{where}: must be a table of priors")
    _only(given, names, where)
    return {name: prior for name, prior in _sds(given, where).items() if name in scales}


def _trends(
    entries: Mapping[str, Any], scales: Mapping[str, Prior], names: tuple[str, ...], model: str
) -> dict[str, dict[str, Prior]]:
    """Read along which columns parameters move; trends of what is not pooled are unused."""
    where, given = f"model {model} [trends]", entries.get("trends", {})
    form = 'place = { params = { dist = "Normal", mu = 0.0, sigma = 0.5 } }'
    if not isinstance(given, Mapping) or not all(
        isinstance(own, Mapping) for own in given.values()
    ):
        raise ModelError(f"{where}: must say a prior for each parameter and column, e.g. {form}")
    _only(given, names, where)
    if given and "group" not in entries:
        raise ModelError(f"{where}: trends are of groups, and the key 'group' is missing; add it")
    found = {}
    for name, trend in given.items():
        for column in trend:
            _require_plain(column, f"{where} {name}: the column")
        found[name] = {
            column: _prior(entry, column, "real", f"{where} {name} {column}")
            for column, entry in trend.items()
        }
    return {name: trend for name, trend in found.items() if name in scales}


def _effects(entries: Mapping[str, Any], response: Response, model: str) -> dict[str, Prior]:
    """Read of which columns rows with one value share an error."""
    where, given = f"model {model} [effects]", entries.get("effects", {})
    if not isinstance(given, Mapping):
        raise ModelError(f"{where}: must be a table of priors of an sd, one for each column")
    if given and response.scale != "log":
        raise ModelError(
            f"{where}: shared errors are relative ones, and {response.name} has none; leave "
            "[effects] out"
        )
    for column in given:
        _require_plain(column, f"{where}: the column")
        _require_free(column, (response.column, *_ANSWERS), f"{where}: the column")
    priors = {
        column: {k: v for k, v in own.items() if k not in _SMOOTH}
        if isinstance(own, Mapping)
        else own
        for column, own in given.items()
    }
    return _sds(priors, where)


def _smooth(entries: Mapping[str, Any], law: Law, model: str) -> dict[str, Smooth]:
    """Read which shared errors are smooth, and along what."""
    found = {}
    for column, own in entries.get("effects", {}).items():
        where = f"model {model} [effects] {column}"
        given = [key for key in _SMOOTH if key in own]
        if not given:
            continue
        if len(given) < len(_SMOOTH):
            raise ModelError(
                f"{where}: errors that are smooth have axes, an sd (of log loss) and a length "
                "(decades)"
            )
        axes = _axes_of(own["axes"], law, f"{where} axes")
        for read in law.reads:
            if read.name in axes and read.scale != "log":
                raise ModelError(f"{where} axes: {read.name} has no logarithm; leave it out")
        sd, length = (_positive(own[name], f"{where} {name}") for name in ("sd", "length"))
        found[column] = Smooth(axes, sd, length)
    return found


def slope_of(name: str, column: str) -> str:
    """Name the variable that says how a parameter moves along a column.

    Parameters
    ----------
    name, column : str

    Returns
    -------
    str
    """
    return f"{name}_along_{column}"


def _priors(entries: Any, names: Mapping[str, str], where: str) -> dict[str, Prior]:
    """Read a prior for each name; `names` says where it may lie."""
    if not isinstance(entries, Mapping):
        raise ModelError(f"{where}: must be a table of priors, one for each of {', '.join(names)}")
    _only(entries, tuple(names), where)
    missing = [name for name in names if name not in entries]
    if missing:
        raise ModelError(f"{where}: no prior for {', '.join(missing)}")
    return {
        name: _prior(entries[name], name, support, f"{where} {name}")
        for name, support in names.items()
    }


def _prior(entry: Any, name: str, support: str, where: str) -> Prior:
    prior = Prior.parse(entry, where)
    if not prior.within(support):
        raise ModelError(
            f"{where}: {prior.dist} can leave the range of {name} ({support}); use "
            f"{' or '.join(dist for dist in DISTRIBUTIONS if Prior(dist, ()).within(support))}"
        )
    if prior.about_runs and name != "level":
        raise ModelError(
            f"{where}: only the level lies about the log losses of the runs; leave about out"
        )
    return prior


def _noise(entries: Any, response: Response, where: str) -> tuple[str, dict[str, Prior]]:
    kinds = [name for name, kind in NOISE.items() if kind.scale == response.scale]
    if not isinstance(entries, Mapping) or str(entries.get("dist")) not in kinds:
        given = entries.get("dist") if isinstance(entries, Mapping) else entries
        raise ModelError(
            f"{where}: dist is {words.quoted(given)}, which is no noise of a {response.name}; "
            f"{words.did_you_mean(str(given), kinds)}"
            if str(given) in NOISE
            else f"{where}: dist is {words.quoted(given)}; {words.did_you_mean(str(given), kinds)}"
        )
    names = dict(NOISE[entries["dist"]].parameters)
    priors = {key: value for key, value in entries.items() if key != "dist"}
    seeds = {SEED: "positive"} if SEED in priors and response.scale == "log" else {}
    return entries["dist"], _priors(priors, {**names, **seeds}, where)
