"""Fitting a model to runs and keeping the result."""

import io
import json
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

import arviz as az
import numpy as np
import pandas as pd
import xarray as xr

from bayescale import readable
from bayescale.compiling import slots_of
from bayescale.design import require_identifiable
from bayescale.doubts import Notice
from bayescale.errors import FitError, RunsWarning
from bayescale.files import replacing
from bayescale.groups import group_names
from bayescale.intervals import CI_PROB
from bayescale.laws import SUPPORT, from_line, to_line
from bayescale.model import (
    as_arrays,
    build_model,
    cells_of,
    derived,
    draw_prior,
    model_data,
    start,
    variables_of,
)
from bayescale.runs import Runs
from bayescale.sampling import (
    ATTEMPTS,
    HIERARCHICAL_ATTEMPTS,
    MEMBER_R_HAT,
    Shape,
    Target,
    compile_model,
    sample,
    sample_members,
)
from bayescale.spec import ModelSpec, load_model, parse_model
from bayescale.weighting import member_weights

MAX_R_HAT = 1.01
MIN_ESS = 400
"""Vehtari et al. (2021, doi:10.1214/20-BA1221): R-hat and effective sample size a result needs."""

_LIBRARIES = ("bayescale", "pymc", "nutpie", "arviz", "numpy", "xarray")


@dataclass(frozen=True)
class Diagnostics:
    """Whether the sampler reached the posterior, and what it cost."""

    divergences: int
    maxdepth_reached: int
    max_r_hat: float
    min_ess_bulk: float
    seconds_compile: float
    seconds_sample: float
    weighted_divergences: int = 0
    weighted_max_r_hat: float = 1.0
    weighted_min_ess_bulk: float = float("inf")

    @property
    def problems(self) -> tuple[str, ...]:
        """Reasons not to trust the draws, one sentence each; empty when the fit converged."""
        found = []
        if self.divergences:
            found.append(
                f"{self.divergences} divergent transitions: part of the posterior was missed"
            )
        if self.maxdepth_reached:
            found.append(f"{self.maxdepth_reached} draws hit the maximum tree depth")
        if not self.max_r_hat <= MAX_R_HAT:
            found.append(f"R-hat {self.max_r_hat:.3f} exceeds {MAX_R_HAT}: the chains disagree")
        if not self.min_ess_bulk >= MIN_ESS:
            found.append(f"only {self.min_ess_bulk:.0f} effective draws, {MIN_ESS} are needed")
        if self.weighted_divergences:
            found.append(f"{self.weighted_divergences} divergent transitions of the weighted fits")
        if not self.weighted_max_r_hat <= MEMBER_R_HAT:
            found.append(
                f"R-hat {self.weighted_max_r_hat:.3f} of a weighted fit exceeds {MEMBER_R_HAT}"
            )
        if not self.weighted_min_ess_bulk >= MIN_ESS:
            found.append(
                f"only {self.weighted_min_ess_bulk:.0f} effective draws of the weighted fits "
                f"together, {MIN_ESS} are needed"
            )
        return tuple(found)

    @property
    def converged(self) -> bool:
        """True when there is no problem."""
        return not self.problems


@dataclass(frozen=True)
class Fit:
    """Posterior of a model given runs.

    Parameters
    ----------
    spec : ModelSpec
    runs : Runs
    tree : xarray.DataTree
        Groups ``posterior`` and ``prior`` (dims chain, draw, and group for what differs between
        groups; the sampled coordinates, the law's natural parameters and the noise),
        ``sample_stats``, ``observed_data``, ``constant_data`` (dim obs: one a cell of replicates);
        with a weighted posterior ``weighted``, like ``posterior``, and ``weighted_members``, how it
        was sampled (dim member).
        For ArviZ; `bayescale.arviz_tree` adds the groups that LOO and predictive plots need.
    """

    spec: ModelSpec
    runs: Runs
    tree: xr.DataTree = field(repr=False)

    @property
    def posterior(self) -> xr.Dataset:
        """Posterior draws, dims (chain, draw)."""
        return self.tree["posterior"].to_dataset()

    @property
    def prior(self) -> xr.Dataset:
        """Prior draws of the same variables, dims (chain, draw)."""
        return self.tree["prior"].to_dataset()

    @property
    def natural(self) -> dict[str, xr.DataArray]:
        """Posterior draws of the law's own parameters, ready for ``law.loss``."""
        posterior = self.posterior
        return {name: posterior[name] for name in self.spec.law.parameters}

    @property
    def noise(self) -> dict[str, xr.DataArray]:
        """Posterior draws of the noise parameters; empty for constants given without noise."""
        posterior = self.posterior
        return {name: posterior[name] for name in self.spec.noise_priors if name in posterior}

    @property
    def weighted(self) -> "Fit | None":
        """The same fit by its weighted posterior, which answers beyond the runs; None without one.

        See `bayescale.fit`. Its draws are not those of the plain posterior: compare distributions.
        """
        if "weighted" not in self.tree:
            return None
        tree = self.plain.tree
        tree["posterior"] = self.tree["weighted"].to_dataset()
        if "sample_stats" in tree:  # of other draws
            del tree["sample_stats"]
        tree.attrs |= {"posterior": "weighted"}
        return replace(self, tree=tree)

    @property
    def plain(self) -> "Fit":
        """The same fit without its weighted posterior: its own draws answer everywhere."""
        tree = self.tree.copy()
        for name in ("weighted", "weighted_members"):
            if name in tree:
                del tree[name]
        return replace(self, tree=tree)

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the groups, empty for a fit without groups or of one group."""
        posterior = self.posterior
        return tuple(map(str, posterior["group"].to_numpy())) if "group" in posterior.dims else ()

    @property
    def answered_by(self) -> str:
        """Which posterior the draws are of: "plain" or "weighted"."""
        return str(self.tree.attrs.get("posterior", "plain"))

    def for_range(self, *, beyond: bool) -> "Fit":
        """Return the fit of the one posterior that answers beyond the runs, or within them."""
        return (self.weighted if beyond else None) or self.plain

    def of_group(self, name: str) -> "Fit":
        """Fit of one group: its draws and its runs, for all that a fit without groups can do.

        Raises
        ------
        FitError
            If there is no such group.
        """
        self.require_group(name)
        column = str(self.spec.group)
        table = self.runs.table
        tree = self.tree.copy()
        if "constant_data" in tree:
            index = self.tree["constant_data"]["group_index"] == self.groups.index(name)
            for node in ("observed_data", "constant_data"):
                tree[node] = tree[node].to_dataset().isel(obs=np.flatnonzero(index))
        for node in ("posterior", "prior", "constant_data", "weighted"):
            if node in tree and "group" in tree[node].dims:
                own = {"group": name} if name in tree[node]["group"] else {"group": self.groups[0]}
                tree[node] = tree[node].to_dataset().sel(own, drop=True)  # all have one prior
        tree.attrs = {**tree.attrs, "group": name}
        of_group = replace(self.runs, table=table[table[column].astype(str) == name])
        return replace(self, runs=of_group, tree=tree)

    def with_new_group(self, name: str = "new", *, typical: bool = False, seed: int = 1) -> "Fit":
        """Add a group that has no runs: each draw of it comes from that draw's population.

        With `typical` it lies in the middle of the population instead: what is left is how well the
        middle is known. Parameters that are not pooled come from their prior. The runs stay as they
        are.

        Raises
        ------
        FitError
            If the fit has no groups, or one of that name.
        """
        if not self.groups:
            raise FitError(f"the model {self.spec.name} has no groups to draw a new one from")
        if name in self.groups:
            raise FitError(f"there is a group named {name!r} already")
        # A stream of its own for every name, and none that noise is drawn from.
        posterior, rng = self.posterior, np.random.default_rng([seed, crc32(name.encode())])
        drawn = {
            n: self._new_value(n, posterior, rng, 0.0 if typical else 1.0)
            for n in self.spec.sampled
            if n in posterior
        }
        reference = tuple(
            float(self.tree["constant_data"][f"reference_{name}"]) for name in self.spec.inputs
        )
        coordinates = {name: drawn[name] for name in self.spec.priors}
        new = xr.Dataset({**self.spec.law.to_natural(coordinates, reference), **drawn})
        varying = [n for n in new.data_vars if "group" in posterior[n].dims]
        added = new[varying].expand_dims(group=[name])
        tree = self.tree.copy()
        both = xr.concat([posterior[varying], added], dim="group").transpose("chain", "draw", ...)
        fixed = posterior.drop_dims("group")
        tree["posterior"] = xr.merge([fixed, both], join="exact", compat="no_conflicts")
        if self.weighted is not None:
            weighted = self.weighted.with_new_group(name, typical=typical, seed=seed)
            tree["weighted"] = weighted.tree["posterior"].to_dataset()
        return replace(self, tree=tree)

    def _new_value(
        self, name: str, posterior: xr.Dataset, rng: np.random.Generator, spread: float
    ) -> Any:
        """Draw one parameter of a group without runs, at `spread` sds from the middle."""
        kind = self.spec.pooling.get(name, "complete")
        if kind == "complete":
            return posterior[name]
        shape = posterior.sizes["chain"], posterior.sizes["draw"]
        if kind == "none":
            own = self.prior[name].isel(group=0).to_numpy().ravel()
            return xr.DataArray(rng.choice(own, shape), dims=("chain", "draw"))
        distance = xr.DataArray(spread * rng.standard_normal(shape), dims=("chain", "draw"))
        middle = to_line(name, posterior[f"{name}_population"])
        return from_line(name, middle + distance * posterior[f"{name}_scale"])

    def require_group(self, name: str) -> None:
        """Raise FitError unless there is such a group."""
        if name not in self.groups:
            raise FitError(
                f"no group {name!r} in this fit; "
                + (
                    f"{readable.did_you_mean(name, self.groups)}. For a group without runs draw it "
                    "from the population: fit.with_new_group()"
                    if self.groups
                    else "it has no groups"
                )
            )

    @property
    def sampled(self) -> bool:
        """False for a fit made from given constants."""
        return "sample_stats" in self.tree

    @cached_property
    def diagnostics(self) -> Diagnostics:
        """Convergence of the sampler.

        Raises
        ------
        FitError
            For a fit that was made from constants and never sampled.
        """
        if self.answered_by == "weighted":
            raise FitError("ask the fit that this weighted posterior is of for its diagnostics")
        if not self.sampled:
            raise FitError("this fit holds given constants, it was never sampled: no diagnostics")
        stats, draws = self.tree["sample_stats"], self.tree["posterior"]
        divergences, r_hat, ess = 0, 1.0, float("inf")
        if "weighted_members" in self.tree:
            members = self.tree["weighted_members"]
            divergences = int(members["divergences"].sum())
            r_hat = float(members["max_r_hat"].max(skipna=False))
            ess = float(members["min_ess_bulk"].sum(skipna=False))
        return Diagnostics(
            divergences=int(stats["diverging"].sum()),
            maxdepth_reached=int(stats["maxdepth_reached"].sum()),
            max_r_hat=float(az.rhat(draws).dataset.to_array().max()),
            min_ess_bulk=float(az.ess(draws, method="bulk").dataset.to_array().min()),
            seconds_compile=float(self.tree.attrs["seconds_compile"]),
            seconds_sample=float(self.tree.attrs["seconds_sample"]),
            weighted_divergences=divergences,
            weighted_max_r_hat=r_hat,
            weighted_min_ess_bulk=ess,
        )

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What looks doubtful about the runs, read as a table and as a design for this law."""
        if len(self.runs) == 0 or self.own_group is not None:  # a group leans on the others
            return self.runs.notices
        return (*self.runs.notices, *_design(self.spec, self.runs))

    @property
    def own_group(self) -> str | None:
        """Name of the group whose fit this is, None for a fit of all runs."""
        return self.tree.attrs.get("group")

    @property
    def population(self) -> tuple[str, ...]:
        """Names of the population values and the sds between groups, of partial pooling."""
        if not self.groups:
            return ()
        return tuple(f"{n}_{part}" for n in self.spec.partial for part in ("population", "scale"))

    def summary(self) -> pd.DataFrame:
        """Mean, sd, central 90% interval, effective draws and R-hat of every parameter."""
        names = [*self.spec.law.parameters, *self.noise, *self.population]
        return az.summary(
            self.tree, var_names=names, ci_prob=CI_PROB, ci_kind="eti", round_to="none"
        )

    def save(self, path: str | Path) -> Path:
        """Write everything into one netCDF file, replacing it only when the new one is complete."""
        path = Path(path)
        tree = self.tree.copy()
        # As text: netCDF takes neither every column name nor every type that a table may have.
        tree["runs"] = xr.Dataset({"csv": self.runs.table.to_csv(index_label="index")})
        tree.attrs["runs"] = json.dumps(
            {
                "source": self.runs.source,
                "sha256": self.runs.sha256,
                "params_are": self.runs.params_are,
                "ledger": self.runs.ledger,
                "text": _text_columns(self.runs.table),
                "notices": [asdict(notice) for notice in self.runs.notices],
            }
        )
        with replacing(path) as partial:
            tree.to_netcdf(partial, engine="h5netcdf")
        return path


def fit(
    runs: Runs,
    model: str | Path | ModelSpec = "chinchilla",
    *,
    group: str | None = None,
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    target_accept: float | None = None,
    weights: np.ndarray | None = None,
    extrapolate: Literal["plain", "weighted"] | None = None,
    seed: int = 1,
    progress: bool | None = None,
) -> Fit:
    """Sample the posterior of a model given runs.

    A law that is only approximately right is overconfident beyond its runs: its intervals shrink
    with every run, while its error stays. With ``extrapolate="weighted"`` a second posterior is
    sampled, in which each run's likelihood has a weight that grows with its compute (or with where
    it lies on the axis of a single-axis law), and all weights together count as `n0` runs
    (`bayescale.weighting`). What lies within the runs is answered by the plain posterior, what lies
    beyond them by the weighted one, and every answer says by which.

    Parameters
    ----------
    runs : Runs
    model : str, path or ModelSpec
        Name of a shipped model, a TOML file, or a specification.
    group : str, optional
        Column whose values are the groups of a hierarchical model, in place of the model file's.
    draws, tune, chains : int
        Kept draws and discarded warm-up draws of each chain.
    target_accept : float, optional
        Target acceptance statistic of NUTS. By default 0.9 (0.95 with groups); a fit that does not
        converge is sampled again with smaller steps and then with another mass matrix (with groups:
        three times as long, then with smaller steps as well).
    weights : numpy.ndarray, shape (runs,), optional
        Exponent of each run's likelihood; by default the runs' column ``weight``, or 1.
    extrapolate : {"plain", "weighted"}, optional
        Which posterior answers beyond the runs; by default what the model file says.
    seed : int
        Same seed, same machine: same draws.
    progress : bool, optional
        Show a progress bar; by default when stderr is a terminal.

    Returns
    -------
    Fit
        Look at ``diagnostics.problems`` before believing it.

    Raises
    ------
    RunsError
        If the runs cannot identify the law, or their groups.
    ModelError
        If a group is given for a model without groups, or a weighted posterior is asked of a law
        that has none.
    FitError
        If the sampler could not start, or the weights are not one non-negative number a run.

    Warns
    -----
    RunsWarning
        If the design is weak: a collinear one, a single budget, a narrow range, few runs.
    """
    spec = model if isinstance(model, ModelSpec) else load_model(model)
    spec = spec if group is None else spec.grouped_by(group)
    by = spec.answers_beyond(extrapolate)
    if weights is not None:
        _require_weights(weights, len(runs))
        runs = replace(runs, table=runs.table.assign(weight=np.asarray(weights, dtype=float)))
    names = group_names(spec, runs)
    for notice in _design(spec, runs):
        warnings.warn(str(notice), RunsWarning, stacklevel=2)
    began = time.perf_counter()
    target = _target(spec, runs)
    compiled_at = time.perf_counter()
    settings = {"draws": draws, "tune": tune, "chains": chains, "seed": seed}
    settings["progress_bar"] = sys.stderr.isatty() if progress is None else progress
    attempts: Sequence[dict[str, Any]] = HIERARCHICAL_ATTEMPTS if spec.partial else ATTEMPTS
    settings = {**attempts[0], **settings}
    if target_accept is not None:
        attempts = ({"target_accept": target_accept},)
    beside = _beside(spec, target.data, seed)
    if by == "weighted":
        weights_of = _member_weights(spec, runs, target.data)
        pooled, members = sample_members(target, weights_of, attempts, settings)
        beside |= {"weighted": pooled, "weighted_members": members}
    sampled_from = time.perf_counter()
    for attempt in attempts:
        tree = sample(target, {**settings, **attempt})
        for name, dataset in {"posterior": tree["posterior"].to_dataset(), **beside}.items():
            tree[name] = dataset.assign_coords(group=list(names)) if spec.group else dataset
        tree.attrs |= {
            **_identity(spec),
            "seed": seed,
            "seconds_compile": compiled_at - began,
            "seconds_weighted": sampled_from - compiled_at,
            "seconds_sample": time.perf_counter() - sampled_from,
        }
        result = Fit(spec, runs, tree)
        if result.diagnostics.converged:
            break
    return result


def _target(spec: ModelSpec, runs: Runs) -> Target:
    """Compile the model of a specification, for these runs."""
    data = model_data(spec, runs)
    arrays, variables = as_arrays(data), variables_of(spec, data)
    positive = (*spec.inputs, *(f"reference_{name}" for name in spec.inputs))
    slots = slots_of(data, positive)
    # A law from elsewhere may change without this package's code changing: its name says nothing.
    ours = spec.law.loss.__module__.startswith("bayescale.")
    shape = Shape(
        (*spec.shape, variables, slots),
        variables,
        slots,
        lambda: build_model(spec, runs),
        repr((spec.law.name, *spec.shape[1:])) if ours else None,
    )
    return Target(
        compile_model(shape), data, start(spec, data), lambda free: derived(spec, free, arrays)
    )


def _beside(spec: ModelSpec, data: Mapping[str, np.ndarray], seed: int) -> dict[str, xr.Dataset]:
    """Collect what a fit keeps beside its posterior."""
    return {
        "prior": draw_prior(spec, data, seed=seed),
        "observed_data": xr.Dataset({"log_loss": ("obs", data["observed_log_loss"])}),
        "constant_data": xr.Dataset(as_arrays(data)),
    }


def _member_weights(
    spec: ModelSpec, runs: Runs, data: Mapping[str, np.ndarray]
) -> dict[tuple[float, float], np.ndarray]:
    size = cells_of(spec, runs).table[spec.size].to_numpy(dtype=float)
    return member_weights(size, data["weight"], data.get("group_index"))


def load_fit(path: str | Path) -> Fit:
    """Read a fit written by `Fit.save`.

    Raises
    ------
    FitError
        If the file does not exist or was not written by bayescale.
    """
    path = Path(path)
    if not path.is_file():
        raise FitError(f"{path}: no such file")
    try:
        with xr.open_datatree(path, engine="h5netcdf") as opened:
            tree = opened.load()
    except (OSError, ValueError) as error:
        raise FitError(f"{path}: not a netCDF file ({str(error).splitlines()[0]})") from error
    if "model_spec" not in tree.attrs or "runs" not in tree:
        raise FitError(f"{path}: a netCDF file, but not one written by bayescale")
    facts = json.loads(tree.attrs.pop("runs"))
    notices = tuple(Notice(n["name"], n["message"], tuple(n["rows"])) for n in facts["notices"])
    text = io.StringIO(tree["runs"]["csv"].item())
    del tree["runs"]
    # As they were: the groups "01" and "NA" are neither a number nor missing.
    types = dict.fromkeys(facts["text"], str)
    table = pd.read_csv(text, index_col="index", dtype=types, keep_default_na=False, na_values=[""])
    runs = Runs(
        table,
        facts["source"],
        facts["sha256"],
        facts["params_are"],
        tuple(facts["ledger"]),
        notices,
    )
    return Fit(parse_model(tree.attrs["model_spec"], tree.attrs["model"]), runs, tree)


def constants_fit(model: str, **parameters: Any) -> Fit:
    """Turn given constants into a fit of one draw, for what-if questions about published laws.

    Parameters
    ----------
    model : str
        Name of a shipped model, for its law and axis.
    **parameters : float or numpy.ndarray
        The law's natural parameters, and the noise's (``sigma``, ``nu``) if predictions shall have
        noise. Arrays of equal length are taken as that many draws.

    Raises
    ------
    FitError
        For a missing or unknown parameter, one that is not positive, or arrays of other lengths.

    Examples
    --------
    >>> fit = constants_fit("chinchilla", E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
    >>> fit.posterior.sizes["draw"]
    1
    """
    spec = load_model(model)
    expected = spec.law.parameters
    missing = [name for name in expected if name not in parameters]
    unknown = [name for name in parameters if name not in (*expected, *spec.noise_priors)]
    if missing or unknown:
        raise FitError(
            f"the law {spec.law.name} has the parameters {', '.join(expected)}"
            + (f"; missing: {', '.join(missing)}" if missing else "")
            + (f"; unknown: {', '.join(unknown)}" if unknown else "")
        )
    try:
        draws = dict(zip(parameters, np.broadcast_arrays(*parameters.values()), strict=True))
    except ValueError:
        raise FitError("the parameters are arrays of different lengths: one entry a draw") from None
    for name, value in draws.items():
        support = SUPPORT.get(name, "positive")
        inside = np.isfinite(value) & ((support == "real") | (value > 0))
        if not (inside & ((support != "unit") | (value < 1))).all():
            kind = {"real": "", "positive": "positive and ", "unit": "between 0 and 1 and "}[
                support
            ]
            raise FitError(f"{name} must be {kind}finite, got {np.min(value):g}")
    table = pd.DataFrame(columns=["run", *spec.inputs, "loss"])
    tree = az.from_dict(
        {"posterior": {name: np.atleast_1d(value)[None] * 1.0 for name, value in draws.items()}}
    )
    tree.attrs = _identity(spec)
    return Fit(spec, Runs(table, "given constants"), tree)


def _text_columns(table: pd.DataFrame) -> list[str]:
    return [n for n in table if pd.api.types.infer_dtype(table[n], skipna=True) == "string"]


def _identity(spec: ModelSpec) -> dict[str, str]:
    """Say what a saved fit must know to be read again, and which versions made it."""
    versions = {name: version(name) for name in _LIBRARIES}
    return {"model": spec.name, "model_spec": spec.source, "versions": json.dumps(versions)}


def _require_weights(weights: np.ndarray, runs: int) -> None:
    values = np.asarray(weights, dtype=float)
    if values.shape != (runs,) or not (np.isfinite(values) & (values >= 0)).all():
        raise FitError(f"weights must be {runs} finite numbers of at least 0, one for each run")


def _design(spec: ModelSpec, runs: Runs) -> tuple[Notice, ...]:
    return require_identifiable(runs, spec.inputs, len(spec.priors), group=spec.group)
