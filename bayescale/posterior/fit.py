"""A model fitted to runs: its draws, and what they are asked."""

import json
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from zlib import crc32

import arviz as az
import numpy as np
import pandas as pd
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from bayescale import words
from bayescale.display import Part, Shown
from bayescale.draws import CI_PROB
from bayescale.errors import BayescaleError, FitError, UnansweredError, warn
from bayescale.files import write
from bayescale.laws import Law, into_support, onto_line
from bayescale.modelling.bend import Bending, Features, features_beyond
from bayescale.modelling.build import bending_from, inputs_in
from bayescale.modelling.inputs import reference_of
from bayescale.modelling.noise import LEAST, noise_scale
from bayescale.modelling.pooling import covariates_of
from bayescale.modelling.spec import ModelSpec, slope_of
from bayescale.posterior.diagnostics import Diagnostics, diagnostics_of, together
from bayescale.posterior.leaning import Leaning, leaning_of, rest_of
from bayescale.posterior.saved import to_bytes
from bayescale.posterior.search import at_best, in_numbers
from bayescale.posterior.surface import Drawn, bent
from bayescale.runs.check import Check, doubt, doubt_record
from bayescale.runs.design import require_identifiable
from bayescale.runs.reading import to_text
from bayescale.runs.table import SHARES_WITHIN, Runs

FORMAT = 5
"""Of the file of a fit; one without a number is of format 1, whose runs were kept as CSV. Since
format 5 the digest of the file is at its end."""
_ERRORS = ("bend", "size_error")  # coefficients of smooth errors
_OF_POPULATIONS = ("population", "scale", "cluster_scale")
_DRAWS = ("chain", "draw")
_NO_NOISE = 1.5 * LEAST  # scale of noise below which there is hardly any but the least
_KNOB_BEYOND = np.sqrt(10.0)  # factor beyond the runs to which the best value is looked for
_COMPUTED = ("log_likelihood", "posterior_predictive")


@dataclass(frozen=True, repr=False)
class Fit(Shown):
    """Posterior of a model given runs, which answers within them and beyond.

    Parameters
    ----------
    spec : ModelSpec
    runs : Runs
    tree : xarray.DataTree
        Groups ``posterior`` and ``prior`` (dims chain, draw, and group for what differs between
        groups; the sampled coordinates, the law's natural parameters and the noise),
        ``sample_stats``, ``observed_data``, ``constant_data`` (dim obs: one a cell of replicates).
        For ArviZ, which finds ``log_likelihood`` and ``posterior_predictive`` as well: those of
        `bayescale.arviz_tree`, computed when they are read.
    given : mapping of str to float or numpy.ndarray
        Values at which `at` fixed inputs of the law: numbers, and arrays of shares.
    own_group : str, optional
        Name of the group whose fit this is, None for a fit of all runs.
    failures : mapping of str to str
        Checks that FAILed when a report was made of this fit: name to what was found.
    part_of : Fit, optional
        The fit that this one has some draws of, or one group: whether it converged is said of all.
    """

    spec: ModelSpec
    runs: Runs
    tree: xr.DataTree = field(repr=False)
    given: Mapping[str, Any] = field(default_factory=dict)
    own_group: str | None = None
    failures: Mapping[str, str] = field(default_factory=dict, repr=False)
    part_of: "Fit | None" = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.spec.law.trades and self.runs.counted != self.spec.size_column:
            runs = replace(self.runs, counted=self.spec.size_column)
            object.__setattr__(self, "runs", runs)
        object.__setattr__(self, "spec", self.spec.in_unit(self.runs.unit))
        if "observed_data" in self.tree:
            tree = self.tree.copy()  # other fits may share it, of fewer draws or other runs
            for node in _COMPUTED:
                tree[node] = _Asked(self, node).dataset()
            object.__setattr__(self, "tree", tree)

    def _parts(self) -> Iterable[Part]:
        from bayescale.posterior.describe import parts_of_fit  # which is made from fits

        return parts_of_fit(self)

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
        """Posterior draws of the parameters of `law`, each a number: ``t[web]`` of a vector."""
        posterior = self.posterior.drop_vars("member", errors="ignore")
        natural = {
            f"{name}[{part}]" if own.along else name: posterior[name].sel(
                {own.along: part} if own.along else {}, drop=True
            )
            for name, own in self.spec.law.supports.items()
            for part in (self.parts[own.along] if own.along else ("",))
        }
        if not self.bends:
            return natural
        shape = (posterior.sizes["chain"], posterior.sizes["draw"])
        number = np.arange(np.prod(shape)).reshape(shape)
        return {**natural, "bend": xr.DataArray(number, dims=("chain", "draw"))}

    @cached_property
    def parts(self) -> dict[str, tuple[str, ...]]:
        """Names of the parts of each mixture that the law reads."""
        known = self.tree["constant_data" if "constant_data" in self.tree else "posterior"].coords
        names = self.spec.law.role("shares")
        return {name: tuple(map(str, known[name].to_numpy())) for name in names if name in known}

    @property
    def bends(self) -> bool:
        """Whether answers are of a bent law."""
        return self.spec.bend is not None and "bend_beyond" in self.tree["posterior"]

    def at(self, **given: float | Mapping[str, float]) -> "Fit":
        """Fix what the law reads beside params and tokens, for all that asks about these two.

        Runs keep their own values, as do predictions that name another one.

        Parameters
        ----------
        **given : float, or mapping of str to float
            Inputs by name, e.g. ``learning_rate=1e-3``; shares of a mixture by their parts, e.g.
            ``w={"web": 0.8, "code": 0.2}``, those left out are 0.

        Returns
        -------
        Fit

        Raises
        ------
        FitError
            For another input, a value that it cannot have, or a law that bends.

        Warns
        -----
        RunsWarning
            If a value lies outside of those of the runs.
        """
        fixed = {}
        for name, value in given.items():
            if name not in self.spec.law.further:
                raise FitError(
                    f"the law {self.spec.law.name} cannot be fixed at {name}: it reads "
                    + (", ".join(self.spec.law.further) or "nothing")
                    + " beside what an allocation of compute says"
                )
            fixed[name] = self._fixed(name, value)
        if given and self.bends:
            raise FitError(
                f"the law of the model {self.spec.name} may bend along {', '.join(given)} too; fix "
                "it for a law that is taken as exact: fit(runs, spec.exact).at(...)"
            )
        self._doubt(fixed)
        return replace(self, given={**self.given, **fixed})

    def _doubt(self, fixed: Mapping[str, Any]) -> None:
        """Warn of values outside of those that the runs have."""
        for name, value in fixed.items():
            if name not in self.runs.table or len(self.runs) == 0:
                continue
            low, high = float(self.runs.table[name].min()), float(self.runs.table[name].max())
            if not low <= value <= high:
                warn(f"{name} = {value:g} lies outside of the runs, which have {low:g} to {high:g}")

    def _fixed(self, name: str, value: Any) -> float | np.ndarray:
        """Check a value at which an input of the law is fixed."""
        own = self.spec.law.input(name)
        if own.scale == "shares":
            return self.shares(name, value)
        numeric = isinstance(value, int | float | np.integer | np.floating)
        if isinstance(value, bool) or not (numeric and np.isfinite(value) and own.allows(value)):
            raise FitError(f"{name} must be one {own.allowed}, got {value!r}")
        return float(value)

    def shares(self, name: str, given: Any) -> np.ndarray:
        """Read the shares of a mixture, in the order of the parts of the runs.

        Parameters
        ----------
        name : str
            Of the input.
        given : mapping of str to float
            Shares by part; those left out are 0.

        Returns
        -------
        numpy.ndarray, shape (parts,)

        Raises
        ------
        FitError
            If a part is unknown, a share is negative, or they do not sum to 1 within 2%.
        """
        parts = self.parts[name]
        if not isinstance(given, Mapping):
            example = ", ".join(f"{part!r}: {1 / len(parts):.2g}" for part in parts)
            raise FitError(f"give the shares of {name} by their parts, e.g. {name}={{{example}}}")
        for part in given:
            if part not in parts:
                raise FitError(f"{name} has no part {part!r}; {words.did_you_mean(part, parts)}")
        found = np.array([float(given.get(part, 0.0)) for part in parts])
        if not (found >= 0).all() or abs(found.sum() - 1) > SHARES_WITHIN:
            raise FitError(
                f"shares of {name} must be at least 0 and sum to 1, got {found.tolist()}, "
                f"which sum to {found.sum():.4g}"
            )
        return found / found.sum()

    def require_given(self) -> None:
        """Refuse a law that reads more than params and tokens where no value is given.

        A knob is at its best value where none is given.

        Raises
        ------
        FitError
            The message says what to give.
        """
        known = (*self._given, *self.spec.law.role("knob"))
        if further := [name for name in self.spec.law.further if name not in known]:
            values = ", ".join(f"{name}=..." for name in further)
            raise FitError(
                f"the law {self.spec.law.name} reads {', '.join(further)} beside params and "
                f"tokens: say at which value, with fit.at({values}) (--at {further[0]}=VALUE)"
            )

    def require_joint(self) -> None:
        """Refuse a law that does not trade params against tokens, all else being given.

        Raises
        ------
        FitError
            For such a law.
        """
        if self.spec.law.trades and self.spec.response.better != "lower":
            raise FitError(
                f"the law {self.spec.law.name} says the {self.spec.response.name} of a run; "
                "compute is allocated by a loss, of which lower is better; ask what a score takes "
                "with answer_targets (bayescale targets), or fit a law of the loss"
            )
        if self.spec.law.has_profiles:
            raise FitError(
                "isoFLOP profiles say the best size for a budget and no more than that: ask for it "
                "with compute_optimal (bayescale optima), or fit a joint law such as chinchilla"
            )
        self.require_given()
        if not self.law.is_joint:
            raise FitError(
                f"the law {self.law.name} does not trade params against tokens: it has no "
                "compute-optimal model; ask what loss a budget reaches with bayescale report "
                "RUNS --model MODEL --flops C, or fit a joint law such as chinchilla"
            )

    @property
    def law(self) -> Law:
        """The law of the answers: that of the model, bent where it may, at what is `given`.

        Knobs for which no value is given are at the best one of each draw.
        """
        law = self.whole_law.at(self._given)
        if law.further and not self.bends:
            for name in law.role("knob"):
                law = at_best(law, name, self.ends_of(name))
        return law.as_counted()

    @property
    def _given(self) -> dict[str, Any]:
        """Values of inputs for all questions: fixed, or by the model file those of all runs."""
        common = self.spec.constants.items()
        of_all = {n: v for n, v in common if n in self.spec.inputs and n not in self.runs.table}
        return {**of_all, **self.given}

    def ends_of(self, name: str) -> tuple[float, float]:
        """Return the values between which the best one of a knob is looked for.

        Half a decade beyond the runs on both sides; on a linear scale a quarter of their range.

        Parameters
        ----------
        name : str

        Returns
        -------
        tuple of float

        Raises
        ------
        FitError
            If there are no runs that say where to look.
        """
        if len(self.runs) == 0:
            raise FitError(f"these are given constants: no run says which {name} is possible")
        own = self.spec.law.input(name)
        values = self.runs.table[name].to_numpy(dtype=float)
        low, high = float(values.min()), float(values.max())
        if own.scale == "log":
            return low / _KNOB_BEYOND, high * _KNOB_BEYOND
        return low - (high - low) / 4, high + (high - low) / 4

    @cached_property
    def whole_law(self) -> Law:
        """The law of all its inputs: that of the model, bent where the model lets it bend."""
        if not self.bends:
            return in_numbers(self.spec.law, self.parts)
        found = []
        for own in self.members:
            bending, everywhere = own.bending
            posterior = own.posterior
            among = posterior["bend"].isel(basis=slice(len(bending.features.points))).to_numpy()
            beyond = posterior["bend_beyond"].to_numpy()[..., : points_beyond(bending, everywhere)]
            flat = np.concatenate([among, beyond], axis=-1).reshape(-1, len(everywhere.points))
            found.append(Drawn(bending, everywhere, flat))
        return bent(found, self.spec.law)

    @property
    def data(self) -> dict[str, np.ndarray]:
        """Data of the model, as `bayescale.modelling.build.model_data` gives them."""
        kept = self.tree["constant_data"].to_dataset()
        return {str(name): values.to_numpy() for name, values in kept.items()}

    @cached_property
    def bending(self) -> tuple[Bending, Features]:
        """How the law may bend, and features of places among the runs and beyond."""
        data = self.data
        bending = bending_from(self.spec, data)
        inputs = tuple(inputs_in(self.spec, data).values())
        return bending, features_beyond(bending.features, inputs)

    @cached_property
    def leanings(self) -> dict[str, Leaning]:
        """How the law leans away beyond the runs, by column of the cells whose errors say it."""
        drawn = [column for column in self.spec.smooth if leaning_of(column) in self.posterior]
        return {column: Leaning(self.spec, column, self.data) for column in drawn}

    @property
    def knows_sizes(self) -> bool:
        """Whether runs of nearly one size share an error."""
        return self.spec.size_error is not None and "size_error" in self.tree["posterior"]

    def size_error_of_cells(self, part: slice) -> xr.DataArray | float:
        """Error on log loss of some cells of the runs that those of nearly one size share.

        Parameters
        ----------
        part : slice
            Of the cells.

        Returns
        -------
        xarray.DataArray or float
            Dims (chain, draw, obs); 0 for a model without.
        """
        if not self.knows_sizes:
            return 0.0
        parts = [
            own.posterior["size_error"].to_numpy()
            @ own.tree["constant_data"]["size_error_basis"].to_numpy()[part].T
            for own in self.members
        ]
        return xr.DataArray(np.concatenate(parts), dims=("chain", "draw", "obs"))

    @cached_property
    def members(self) -> tuple["Fit", ...]:
        """Fit of each member of a pool; this one alone where it is none.

        Of all draws that the fit still has, in their order.
        """
        if not self.spec.members or "member" not in self.posterior.coords:
            return (self,)
        return tuple(self._member(number) for number in range(len(self.spec.members)))

    def _member(self, number: int) -> "Fit":
        tree = self.tree.copy()
        chains = np.flatnonzero(self.posterior["member"] == number)
        for node in ("posterior", "sample_stats"):
            if node in tree:
                own = tree[node].to_dataset().isel(chain=chains)
                tree[node] = own.drop_vars("member", errors="ignore")
        for node in ("prior", "constant_data"):
            if node in tree and "member" in tree[node].dims:
                tree[node] = tree[node].to_dataset().isel(member=number)
        return replace(self, spec=self.spec.each_member[number], tree=tree)

    @property
    def noise(self) -> dict[str, xr.DataArray]:
        """Posterior draws of the noise parameters; empty for constants given without noise."""
        posterior = self.posterior.drop_vars("member", errors="ignore")
        return {name: posterior[name] for name in self.spec.noise_priors if name in posterior}

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the groups, empty for a fit without groups or of one group."""
        posterior = self.posterior
        return tuple(map(str, posterior["group"].to_numpy())) if "group" in posterior.dims else ()

    def of_group(self, name: str) -> "Fit":
        """Fit of one group: its draws and its runs, for all that a fit without groups can do.

        Parameters
        ----------
        name : str

        Returns
        -------
        Fit

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
        for node in ("posterior", "prior", "constant_data"):
            if node in tree and "group" in tree[node].dims:
                own = {"group": name} if name in tree[node]["group"] else {"group": self.groups[0]}
                tree[node] = tree[node].to_dataset().sel(own, drop=True)  # all have one prior
        of_group = replace(self.runs, table=table[table[column].astype(str) == name])
        return replace(self, runs=of_group, tree=tree, own_group=name, part_of=self.part_of or self)

    def with_new_group(
        self,
        name: str = "new",
        *,
        typical: bool = False,
        seed: int = 1,
        along: Mapping[str, float] | None = None,
        cluster: str | None = None,
    ) -> "Fit":
        """Add a group that has no runs: each draw of it comes from that draw's population.

        With `typical` it lies in the middle of the population instead: what is left is how well the
        middle is known. Parameters that are not pooled come from their prior. Where groups lie in
        clusters it is in a new one, unless `cluster` is named; where each has its own reference
        run, that of the new one is the geometric mean of theirs. The runs stay as they are.

        Parameters
        ----------
        name : str, optional
        typical : bool, optional
        seed : int, optional
        along : mapping of str to float, optional
            Where it lies along the columns that the model has trends in.
        cluster : str, optional
            One of the clusters of the fit.

        Returns
        -------
        Fit

        Raises
        ------
        FitError
            If the fit has no groups, or one of that name, or it is not said where it lies.
        """
        if not self.groups:
            raise FitError(f"the model {self.spec.name} has no groups to draw a new one from")
        if name in self.groups:
            raise FitError(f"there is a group named {name!r} already")
        # A stream of its own for every name, and none that noise is drawn from.
        posterior, rng = self.posterior, np.random.default_rng([seed, crc32(name.encode())])
        expected = self._expected_of_new(along or {}, cluster)
        drawn = {
            n: self._new_value(n, posterior, rng, 0.0 if typical else 1.0, expected, cluster)
            for n in self.spec.sampled
            if n in posterior
        }
        reference = tuple(self._reference_of_new(name) for name in self.spec.inputs)
        coordinates = {name: drawn[name] for name in self.spec.priors}
        new = xr.Dataset({**self.spec.law.to_natural(coordinates, reference), **drawn})
        varying = [n for n in new.data_vars if "group" in posterior[n].dims]
        added = new[varying].expand_dims(group=[name])
        tree = self.tree.copy()
        both = xr.concat([posterior[varying], added], dim="group").transpose("chain", "draw", ...)
        fixed = posterior.drop_dims("group")
        tree["posterior"] = xr.merge([fixed, both], join="exact", compat="no_conflicts")
        return replace(self, tree=tree)

    @property
    def middle(self) -> dict[str, float]:
        """Where the middle of the groups lies along the columns that the model has trends in."""
        return covariates_of(self.spec, self.runs)[1]

    def _reference_of_new(self, name: str) -> xr.DataArray:
        """Value of an input at the reference run of a group without runs."""
        known = self.tree["constant_data"].to_dataset()[f"reference_{name}"]
        if "group" not in known.dims:
            return known
        return xr.DataArray(reference_of(self.spec.law.input(name), known.to_numpy()))

    def _expected_of_new(
        self, along: Mapping[str, float], cluster: str | None
    ) -> dict[str, xr.DataArray]:
        """How far parameters of a group without runs are expected from the population's middle."""
        posterior, spec, found = self.posterior, self.spec, dict[str, Any]()
        middles = self.middle
        for column in spec.covariates:
            value = along.get(column, np.nan)
            if not 0 < value < np.inf:
                raise FitError(
                    f"say where the new group lies along {column}, a positive number, got "
                    f"{value:g}: with_new_group(along={{{column!r}: {middles[column]:.3g}}})"
                )
        for name, trend in spec.trends.items():
            found[name] = sum(
                posterior[slope_of(name, column)] * np.log10(along[column] / middles[column])
                for column in trend
            )
        if cluster is None:
            return found
        known = posterior["cluster"].to_numpy().tolist() if "cluster" in posterior.dims else []
        if cluster not in known:
            raise FitError(
                f"no cluster {cluster!r} in this fit; {words.did_you_mean(cluster, known)}"
            )
        for name in spec.cluster_scales:
            own = posterior[f"{name}_cluster_offset"].sel(cluster=cluster, drop=True)
            found[name] = found.get(name, 0.0) + own * posterior[f"{name}_cluster_scale"]
        return found

    def _new_value(
        self,
        name: str,
        posterior: xr.Dataset,
        rng: np.random.Generator,
        spread: float,
        expected: Mapping[str, xr.DataArray],
        cluster: str | None,
    ) -> Any:
        """Draw one parameter of a group without runs, at `spread` sds from what is expected."""
        kind = self.spec.pooling.get(name, "complete")
        if kind == "complete":
            return posterior[name]
        shape = posterior.sizes["chain"], posterior.sizes["draw"]
        support = self.spec.supports[name]
        if kind == "none":
            own = self.prior[name].stack(sample=("chain", "draw", "group"))
            chosen = xr.DataArray(rng.integers(own.sizes["sample"], size=shape), dims=_DRAWS)
            return own.drop_vars(("sample", *_DRAWS, "group")).isel(sample=chosen)
        middle = onto_line(support, posterior[f"{name}_population"])
        distance = middle.copy(data=spread * rng.standard_normal(middle.shape))
        scale = posterior[f"{name}_scale"]
        if name in self.spec.cluster_scales and cluster is None:  # no one knows its cluster
            scale = (scale**2 + posterior[f"{name}_cluster_scale"] ** 2) ** 0.5
        return into_support(support, middle + expected.get(name, 0.0) + distance * scale)

    def require_group(self, name: str) -> None:
        """Refuse a name that is none of a group.

        Parameters
        ----------
        name : str

        Raises
        ------
        FitError
            If there is no such group.
        """
        if name not in self.groups:
            raise FitError(
                f"no group {name!r} in this fit; "
                + (
                    f"{words.did_you_mean(name, self.groups)}. For a group without runs draw it "
                    "from the population: fit.with_new_group()"
                    if self.groups
                    else "it has no groups: fit a hierarchical model, such as "
                    "--model chinchilla-hierarchical --group COLUMN"
                )
            )

    @property
    def lengths(self) -> tuple[int, int]:
        """Draws and chains that `fit` was asked for: each member of a pool has all the chains."""
        sizes, members = self.posterior.sizes, len(self.spec.each_member)
        return sizes["draw"] * members, sizes["chain"] // members

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
        if not self.sampled:
            raise FitError("this fit holds given constants, it was never sampled: no diagnostics")
        if len(self.members) > 1:
            return together([own.diagnostics for own in self.members])
        # Dozens of short independent chains of coefficients disagree by chance: that all of them
        # have effective draws says more.
        return diagnostics_of(self.tree, self._told, _ERRORS)

    @property
    def problems(self) -> tuple[str, ...]:
        """Reasons not to trust the draws, with those of the whole fit; empty for constants."""
        whole = self if self.part_of is None else self.part_of
        return whole.diagnostics.problems if whole.sampled else ()

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Ask a question that draws which did not converge may leave without an answer.

        Raises
        ------
        UnansweredError
            If draws are no finite numbers, or if asking fails and the fit did not converge.
        """
        if not all(np.isfinite(draws).all() for draws in self.posterior.data_vars.values()):
            raise UnansweredError("draws are NaN or infinite")
        if not self.sampled or self.diagnostics.converged:
            yield
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it did not converge says more
            try:
                yield
            except (ArithmeticError, BayescaleError, ValueError) as error:
                raise UnansweredError(str(error)) from error

    @property
    def _told(self) -> xr.Dataset:
        """Draws of what runs have a say in: features that no run has are drawn from their prior."""
        drawn = [f(column) for column in self.spec.smooth for f in (leaning_of, rest_of)]
        named = [*self.spec.fixed, "bend_beyond", *drawn]
        draws = self.posterior.drop_vars(named, errors="ignore")
        for name, error in zip(("basis", "size_basis"), _ERRORS, strict=True):
            if name in draws.dims:
                told = (self.tree["constant_data"][f"{error}_basis"] != 0).any("obs")
                draws = draws.isel({name: np.flatnonzero(told)})
        return draws

    @property
    def notices(self) -> tuple[Check, ...]:
        """What looks doubtful about the runs: as a table, as a design for this law, as measured."""
        if len(self.runs) == 0 or self.own_group is not None:  # a group leans on the others
            return self.runs.notices
        return (*self.runs.notices, *design_of(self.spec, self.runs), *self._computed)

    @cached_property
    def noiseless(self) -> bool:
        """Whether runs scatter about the law by no more than the least noise that any has."""
        if "sigma" not in self.noise:
            return False
        # Few runs of a law that may bend leave its noise open: there the law itself says it.
        nearest = min(map(_misfit, self.members)) if self.bends else np.inf
        return bool(np.nanmedian(noise_scale(self.noise)) < _NO_NOISE or nearest < LEAST)

    @property
    def _computed(self) -> tuple[Check, ...]:
        """Doubt that what a law says to all digits was measured."""
        if not self.noiseless:
            return ()
        name = self.spec.response.name
        return (
            doubt(
                "computed, not measured",
                f"the law says the {name} of the runs to within {LEAST:.2%}, as if a formula had "
                "made it and no training",
                "Take the intervals for those of a formula: measured runs scatter.",
            ),
        )

    @property
    def population(self) -> tuple[str, ...]:
        """Names of the population values and the sds between groups, of partial pooling."""
        if not self.groups:
            return ()
        known = [f"{n}_{part}" for n in self.spec.partial for part in _OF_POPULATIONS]
        return tuple(name for name in known if name in self.posterior)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of what is estimated: of the law, of the noise, of the population of groups."""
        law = [name for name in self.spec.law.parameters if name not in self.spec.fixed]
        return (*law, *self.noise, *self.population)

    def with_failures(self, failures: Mapping[str, str]) -> "Fit":
        """Keep with the fit which checks FAILed, so that whoever asks it for an answer hears it.

        Parameters
        ----------
        failures : mapping of str to str
            Names of checks, and what they found.

        Returns
        -------
        Fit
        """
        return replace(self, failures=dict(failures))

    def summary(self) -> pd.DataFrame:
        """Median, mean, sd, central 90% interval, effective draws and R-hat of every parameter.

        Amplitudes have tails so long that their mean may lie above their interval. Of a pool the
        effective draws of all members and their worst R-hat: members may differ, and that is no
        failure of the sampler.
        """
        medians = az.summary(
            self.tree, var_names=list(self.parameters), kind="stats_median", round_to="none"
        )
        table = self._summary.copy()
        table.insert(0, "median", medians["median"])
        return table

    @cached_property
    def _summary(self) -> pd.DataFrame:
        table = az.summary(
            self.tree,
            var_names=list(self.parameters),
            ci_prob=CI_PROB,
            ci_kind="eti",
            round_to="none",
        )
        if len(self.members) == 1:
            return table
        each = pd.concat([own._summary for own in self.members]).groupby(level=0)
        table["r_hat"] = each["r_hat"].max()
        for column in ("ess_bulk", "ess_tail"):
            table[column] = each[column].sum()
        return table.drop(columns=["mcse_mean", "mcse_sd"])

    def save(self, path: str | Path) -> Path:
        """Write everything into one netCDF file, replacing it only when the new one is complete.

        Parameters
        ----------
        path : path

        Returns
        -------
        Path

        Raises
        ------
        BayescaleError
            If it cannot be written; an old file is as it was.
        """
        path = Path(path)
        write(path, self.to_bytes())
        return path

    def to_bytes(self) -> bytes:
        """Return what `save` writes.

        Returns
        -------
        bytes
        """
        tree = self.tree.drop_nodes(_COMPUTED, errors="ignore")
        facts = {
            "source": self.runs.source,
            "sha256": self.runs.sha256,
            "params_are": self.runs.params_are,
            "unit": self.runs.unit,
            "ledger": self.runs.ledger,
            "settings": self.runs.settings,
            "notices": [doubt_record(notice) for notice in self.runs.notices],
        }
        # As text: netCDF takes neither every column name nor every type that a table may have.
        tree["runs"] = xr.Dataset({"table": to_text(self.runs.table), "facts": json.dumps(facts)})
        tree.attrs |= {
            "format": FORMAT,
            "given": json.dumps({n: np.asarray(v).tolist() for n, v in self.given.items()}),
            "failures": json.dumps(dict(self.failures)),
            **({} if self.own_group is None else {"group": self.own_group}),
        }
        return to_bytes(tree)


class _Asked(BackendArray):
    """One array of `bayescale.arviz_tree`, computed when it is first read, as one of a file is.

    It is as large as draws times cells, and most fits are never asked for it.
    """

    dtype = np.dtype(float)

    def __init__(self, own: Fit, node: str) -> None:
        self.own, self.node = own, node
        sizes = own.tree["posterior"].sizes
        self.shape = sizes["chain"], sizes["draw"], own.tree["observed_data"].sizes["obs"]

    def dataset(self) -> xr.Dataset:
        """Return the group that holds it."""
        values = indexing.LazilyIndexedArray(self)
        draws = self.own.tree["posterior"].coords
        return xr.Dataset(
            {self.own.spec.response.variable: ((*_DRAWS, "obs"), values)},
            coords={name: draws[name] for name in _DRAWS if name in draws},
        )

    @cached_property
    def _values(self) -> np.ndarray:
        from bayescale.posterior.prediction import arviz_tree  # which is made from fits

        return arviz_tree(self.own)[self.node][self.own.spec.response.variable].to_numpy()

    def __deepcopy__(self, memo: Any) -> "_Asked":
        return self  # whose fit holds the tree that is copied

    def __reduce__(self) -> Any:
        return indexing.NumpyIndexingAdapter, (self._values,)  # a law cannot be pickled

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
        basic = indexing.IndexingSupport.BASIC
        return indexing.explicit_indexing_adapter(
            key, self.shape, basic, lambda place: self._values[place]
        )


def points_beyond(bending: Bending, everywhere: Features) -> int:
    """Count the points of a smooth error that lie beyond the runs.

    Parameters
    ----------
    bending : Bending
    everywhere : Features
        See `Fit.bending`.

    Returns
    -------
    int
    """
    return len(everywhere.points) - len(bending.features.points)


def _misfit(own: Fit) -> float:
    """Root mean square of what the best-fitting law leaves of the cells, were it exact."""
    data = own.data
    bending, _ = own.bending
    said = bending.log_law(tuple(inputs_in(own.spec, data).values()), bending.line)
    return float(np.sqrt(((said - data["observed"]) ** 2).mean()))


def design_of(spec: ModelSpec, runs: Runs) -> tuple[Check, ...]:
    """Judge runs as a design for a model.

    Parameters
    ----------
    spec : ModelSpec
    runs : Runs

    Returns
    -------
    tuple of Check
        What is doubtful.

    Raises
    ------
    RunsError
        If they cannot identify the law.
    """
    return require_identifiable(
        runs,
        spec.designed,
        len(spec.priors),
        group=spec.group,
        held=spec.may_hold,
        bowl=bool(spec.law.least),
    )
