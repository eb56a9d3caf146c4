"""Model specifications, from a TOML file: a law, priors on its coordinates, pooling and noise."""

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal

from bayescale import readable
from bayescale.errors import ModelError
from bayescale.laws import LAWS, SUPPORT, Law
from bayescale.noise import NOISE, SEED, Noise
from bayescale.priors import DISTRIBUTIONS, NORMAL_ON, Prior

POOLING = ("complete", "partial", "none")
"""One value for all groups; one each, drawn from a population that is learned; one each, apart."""

EXTRAPOLATE = ("plain", "weighted")
"""Which posterior answers beyond the runs: the law taken as exact, or as nearly right."""

_KEYS = ("summary", "law", "axis", "group", "extrapolate", "pooling", "priors", "scales", "noise")


@dataclass(frozen=True)
class ModelSpec:
    """What is fitted: everything but the data.

    Parameters
    ----------
    name : str
    summary : str
        One line for lists of models.
    law : Law
    axis : str or None
        Column of the runs that a single-axis law reads.
    group : str or None
        Column of the runs whose values are the groups of a hierarchical model.
    extrapolate : str
        Which posterior answers beyond the runs, one of `EXTRAPOLATE`.
    pooling : mapping of str to str
        "partial" or "none" for the coordinates and noise parameters that differ between groups;
        all others are completely pooled.
    priors : mapping of str to Prior
        One for each coordinate of the law: of its value, or of the population's where it is
        partially pooled.
    scales : mapping of str to Prior
        Of the sd between groups of each partially pooled parameter: on its own scale for the level
        (a log loss), on the logit scale for shares, on the log scale for all others.
    noise : str
        Kind of noise, one of `bayescale.noise.NOISE`.
    noise_priors : mapping of str to Prior
    source : str
        The TOML text, kept in every fit.
    """

    name: str
    summary: str = field(repr=False)
    law: Law = field(repr=False)
    axis: str | None = field(repr=False)
    group: str | None = field(repr=False)
    extrapolate: Literal["plain", "weighted"] = field(repr=False)
    pooling: Mapping[str, str] = field(repr=False)
    priors: Mapping[str, Prior] = field(repr=False)
    scales: Mapping[str, Prior] = field(repr=False)
    noise: str = field(repr=False)
    noise_priors: Mapping[str, Prior] = field(repr=False)
    source: str = field(repr=False)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Columns of the runs table that the law reads."""
        return tuple(self.axis or name if name == "x" else name for name in self.law.inputs)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the runs table that the model reads: inputs of the law, and the group."""
        return (*self.inputs, *([self.group] if self.group else []))

    @property
    def size(self) -> str:
        """Column of the runs that says how near a run is to what lies beyond all of them."""
        return "flops" if self.law.is_joint else self.inputs[0]

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
    def shape(self) -> tuple[Any, ...]:
        """What decides the compiled code: everything but the numbers in the priors."""
        priors = {**self.sampled, **{f"{name}_scale": p for name, p in self.scales.items()}}
        return (
            self.law,
            self.inputs,
            self.noise,
            tuple(sorted(self.pooling.items())),
            tuple((name, prior.dist) for name, prior in sorted(priors.items())),
        )

    def grouped_by(self, column: str) -> "ModelSpec":
        """Return the same model with another column as its groups.

        Raises
        ------
        ModelError
            If the model is not a hierarchical one.
        """
        if self.group is None:
            raise ModelError(
                f"model {self.name} pools everything: it has no groups; take a hierarchical model, "
                "such as chinchilla-hierarchical, or add group and [pooling] to a model file"
            )
        line = f"group = {json.dumps(column)}"
        text = re.sub(r"""(?m)^[ \t]*["']?group["']?[ \t]*=.*$""", lambda _: line, self.source)
        return parse_model(text, self.name)

    @property
    def weightable(self) -> bool:
        """Whether a weighted posterior makes sense for the law."""
        joint = self.law.is_joint and "unique_tokens" not in self.law.inputs
        return joint or len(self.inputs) == 1

    def answers_beyond(self, extrapolate: str | None) -> Literal["plain", "weighted"]:
        """Return the posterior that answers beyond the runs: as asked, else as the model says.

        Raises
        ------
        ModelError
            If there is no such posterior, or the law has none.
        """
        by = self.extrapolate if extrapolate is None else _posterior(extrapolate)
        if by == "weighted" and not self.weightable:
            raise ModelError(
                f"the model {self.name} has no weighted posterior: that is for laws of one axis or "
                f"of params and tokens, this law reads {', '.join(self.inputs)}; "
                'fit it with extrapolate = "plain"'
            )
        return by

    def unpooled(self) -> "ModelSpec":
        """Return the same model with every partially pooled parameter estimated group by group."""
        text = re.sub(r"""(=[ \t]*)(["'])partial\2""", r'\1"none"', self.source)
        return parse_model(text, f"{self.name}-unpooled")


def available_models() -> dict[str, str]:
    """Shipped model specifications: name to one-line summary."""
    return {name: load_model(name).summary for name in _packaged()}


def load_model(model: str | Path) -> ModelSpec:
    """Load a model specification by its name, or from a TOML file of your own.

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
            f"unknown model {str(model)!r}; "
            f"{readable.did_you_mean(str(model), list(packaged))}; or a path to a .toml"
        )
    try:
        return parse_model(path.read_text("utf-8"), path.stem)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ModelError(f"{path}: cannot be read, it is not UTF-8 text") from error


def parse_model(text: str, name: str) -> ModelSpec:
    """Parse and check the TOML text of a model specification.

    Raises
    ------
    ModelError
        Naming the key, what is wrong with it, and the valid choices.
    """
    try:
        entries = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ModelError(f"model {name}: not valid TOML ({error})") from error
    _only(entries, _KEYS, f"model {name}")
    for key in ("law", "priors", "noise"):
        if key not in entries:
            raise ModelError(f"model {name}: the key {key!r} is missing")
    law = LAWS.get(entries["law"]) if isinstance(entries["law"], str) else None
    if law is None:
        raise ModelError(
            f"model {name}: unknown law {entries['law']!r}; "
            f"{readable.did_you_mean(str(entries['law']), list(LAWS))}"
        )
    noise, noise_priors = _noise(entries["noise"], f"model {name} [noise]")
    priors = _priors(entries["priors"], law.coordinates.names, f"model {name} [priors]")
    pooling = _pooling(entries, {**priors, **noise_priors}, name)
    return ModelSpec(
        name=name,
        summary=str(entries.get("summary", law.summary)),
        law=law,
        axis=_axis(entries, law, name),
        group=entries.get("group"),
        extrapolate=_posterior(entries.get("extrapolate", "plain"), f"model {name}: "),
        pooling=pooling,
        priors=priors,
        scales=_scales(entries.get("scales", {}), pooling, (*priors, *noise_priors), name),
        noise=noise,
        noise_priors=noise_priors,
        source=text,
    )


def _packaged() -> dict[str, Traversable]:
    folder: Traversable = files("bayescale") / "models"
    if not folder.is_dir():  # an editable install or a raw checkout: the files lie at the top level
        folder = Path(__file__).parents[1] / "models"
    return {
        item.name.removesuffix(".toml"): item
        for item in sorted(folder.iterdir(), key=lambda item: item.name)
        if item.name.endswith(".toml")
    }


def _only(entries: Mapping[str, Any], valid: tuple[str, ...], where: str) -> None:
    for key in entries:
        if key not in valid:
            raise ModelError(f"{where}: unknown key {key!r}; {readable.did_you_mean(key, valid)}")


def _axis(entries: Mapping[str, Any], law: Law, name: str) -> str | None:
    axis = entries.get("axis")
    if "x" in law.inputs and (not isinstance(axis, str) or axis in ("", "loss")):
        raise ModelError(
            f"model {name}: the law {law.name} reads one axis; name a column of the runs, "
            'e.g. axis = "tokens"'
        )
    if "x" not in law.inputs and axis is not None:
        raise ModelError(
            f"model {name}: the law {law.name} reads {', '.join(law.inputs)}; remove the key 'axis'"
        )
    return axis


def _posterior(given: Any, where: str = "") -> Literal["plain", "weighted"]:
    """Return the name of a posterior, or refuse it."""
    if given not in EXTRAPOLATE:
        raise ModelError(
            f"{where}extrapolate is {given!r}; "
            f"{readable.did_you_mean(str(given), list(EXTRAPOLATE))}"
        )
    return "weighted" if given == "weighted" else "plain"


def _pooling(entries: Mapping[str, Any], priors: Mapping[str, Prior], model: str) -> dict[str, str]:
    """Read what differs between groups; completely pooled parameters are left out."""
    where, pooling, group = f"model {model} [pooling]", entries.get("pooling", {}), "group"
    if group in entries and (not isinstance(entries[group], str) or entries[group] in ("", "loss")):
        raise ModelError(
            f'model {model}: group must name a column of the runs, e.g. group = "family"'
        )
    if not isinstance(pooling, Mapping):
        raise ModelError(f'{where}: must be a table such as level = "partial"')
    _only(pooling, tuple(priors), where)
    for name, kind in pooling.items():
        if kind not in POOLING:
            raise ModelError(
                f"{where} {name}: {kind!r}; {readable.did_you_mean(str(kind), list(POOLING))}"
            )
        support = SUPPORT.get(name, "positive")
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
    scales = {name: Prior.parse(entry, f"{where} {name}") for name, entry in entries.items()}
    for name, prior in scales.items():
        if not prior.within("positive"):
            raise ModelError(f"{where} {name}: {prior.dist} can be negative, an sd cannot")
    return {name: scales[name] for name in partial}


def _priors(entries: Any, names: tuple[str, ...], where: str) -> dict[str, Prior]:
    if not isinstance(entries, Mapping):
        raise ModelError(f"{where}: must be a table of priors, one for each of {', '.join(names)}")
    _only(entries, names, where)
    missing = [name for name in names if name not in entries]
    if missing:
        raise ModelError(f"{where}: no prior for {', '.join(missing)}")
    return {name: _prior(entries[name], name, f"{where} {name}") for name in names}


def _prior(entry: Any, name: str, where: str) -> Prior:
    prior, support = Prior.parse(entry, where), SUPPORT.get(name, "positive")
    if not prior.within(support):
        raise ModelError(
            f"{where}: {prior.dist} can leave the range of {name} ({support}); use "
            f"{' or '.join(dist for dist in DISTRIBUTIONS if Prior(dist, ()).within(support))}"
        )
    return prior


def _noise(entries: Any, where: str) -> tuple[str, dict[str, Prior]]:
    if not isinstance(entries, Mapping) or str(entries.get("dist")) not in NOISE:
        given = entries.get("dist") if isinstance(entries, Mapping) else entries
        raise ModelError(
            f"{where}: dist is {given!r}; {readable.did_you_mean(str(given), list(NOISE))}"
        )
    names = NOISE[entries["dist"]].parameters
    priors = {key: value for key, value in entries.items() if key != "dist"}
    optional = (SEED,) if SEED in priors else ()
    return entries["dist"], _priors(priors, (*names, *optional), where)
