"""What a scaling law is: one plain function, what it reads, what it says, and its coordinates.

A law's function takes inputs by position and parameters by keyword. The same function builds the
PyTensor graph and evaluates NumPy arrays and xarray posteriors, so it uses only ``+ - * / **`` and
``np.exp, np.log, np.log1p, np.expm1, np.sqrt, np.tanh``, which stay symbolic; `positive_part` gives
it minima and bounds, `total` sums over the shares of a mixture.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial, wraps
from typing import Any

import numpy as np

Values = Mapping[str, Any]
"""Names to floats, arrays, DataArrays or tensors."""

Function = Callable[..., Any]


@dataclass(frozen=True)
class Response:
    """What a law says of a run.

    Parameters
    ----------
    name : str
        What sentences and pictures call it.
    column : str
        Column of the runs that holds it; a model file may name another one.
    unit : str
        Empty where it has none.
    scale : str
        Where errors add up: "log" for what is positive, so that they are relative, or "share" for
        numbers of successes among a number of trials.
    better : str
        "lower", "higher", or "" where neither is.
    """

    name: str
    column: str
    unit: str = ""
    scale: str = "log"
    better: str = ""

    @property
    def label(self) -> str:
        """Name and unit, for the axis of a picture."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    @property
    def variable(self) -> str:
        """Name of the observed variable of a model: of what errors add up on."""
        return f"log_{self.column}" if self.scale == "log" else self.column

    @property
    def sign(self) -> float:
        """What to multiply by so that lower is better."""
        return -1.0 if self.better == "higher" else 1.0

    def onto(self, value: Any) -> Any:
        """Map a value to the scale on which errors add up.

        Parameters
        ----------
        value : array_like or tensor

        Returns
        -------
        array_like or tensor

        Examples
        --------
        >>> LOSS.onto(1.0), ACCURACY.onto(0.5)
        (np.float64(0.0), 0.5)
        """
        return np.log(value) if self.scale == "log" else value

    def back(self, value: Any) -> Any:
        """Invert `onto`.

        Parameters
        ----------
        value : array_like or tensor

        Returns
        -------
        array_like or tensor
        """
        return np.exp(value) if self.scale == "log" else value


LOSS = Response("loss", "loss", "nats per token", better="lower")
"""A loss: positive, lower is better, errors are relative."""

ACCURACY = Response("accuracy", "accuracy", scale="share", better="higher")
"""Share of the items of a task that a model gets right."""


def quantity(column: str, unit: str = "", *, name: str = "", better: str = "") -> Response:
    """Describe a positive quantity that may rise or fall: batch size, steps, learning rate, N*.

    Parameters
    ----------
    column : str
        Of the runs.
    unit : str, optional
    name : str, optional
        By default that of the column, in words.
    better : str, optional
        "lower", "higher", or "" where neither is.

    Returns
    -------
    Response
    """
    return Response(name or column.replace("_", " "), column, unit, better=better)


@dataclass(frozen=True)
class Input:
    """What a law reads of a run.

    Parameters
    ----------
    name : str
        Column of the runs. ``x`` stands for the column that a model file names as its ``axis``; of
        shares it is the beginning of the names of their columns.
    role : str
        "size" (the parameters that compute counts), "data" (the tokens that it counts), "compute",
        "axis", "knob" (at its best value where none is given), "shares" (a mixture: a vector of
        shares that sum to 1, zeros allowed) or "context" (must be given).
    scale : str
        "log" for what is positive, "linear", "share" for what is from 0 to less than 1, or
        "shares".
    fill : str
        Input that stands for it where it is not given.
    """

    name: str
    role: str
    scale: str = "log"
    fill: str = ""

    def allows(self, values: Any) -> Any:
        """Whether the input can have these values, which may be infinite.

        Parameters
        ----------
        values : array_like

        Returns
        -------
        array_like of bool
        """
        if self.scale == "share":
            return (values >= 0) & (values < 1)
        return (values > 0) if self.scale == "log" else ~np.isnan(values)

    @property
    def allowed(self) -> str:
        """What each of its values must be."""
        words = {"log": "positive number", "share": "number from 0 to less than 1"}
        return words.get(self.scale, "finite number")


PARAMS = Input("params", "size")
"""Parameters N, that compute counts."""

TOKENS = Input("tokens", "data")
"""Tokens D, every pass counted."""

UNIQUE_TOKENS = Input("unique_tokens", "unique", fill="tokens")
"""Distinct tokens U; where they are not given, none is repeated."""

FLOPS = Input("flops", "compute")
"""Training compute C, FLOPs."""

AXIS = Input("x", "axis")
"""Any one column of the runs: a model file names it."""

SECOND_AXIS = Input("z", "axis")
"""A second column beside `AXIS`, of laws that read two."""


def size(column: str) -> Input:
    """Name the parameters that compute counts, where they are not ``params``: active ones.

    Parameters
    ----------
    column : str

    Returns
    -------
    Input
    """
    return Input(column, "size")


def knob(column: str, *, scale: str = "log") -> Input:
    """Name a setting that is chosen for every run, as a learning rate.

    Where none is given, the best value of each draw is taken.

    Parameters
    ----------
    column : str
    scale : str, optional
        "log" or "linear".

    Returns
    -------
    Input
    """
    return Input(column, "knob", scale)


def context(column: str, *, scale: str = "log") -> Input:
    """Name what a run was made with, and every question has to give: experts, chance level.

    Parameters
    ----------
    column : str
    scale : str, optional
        "log", "linear" or "share".

    Returns
    -------
    Input
    """
    return Input(column, "context", scale)


def mixture(prefix: str) -> Input:
    """Name shares of a mixture by the beginning of their columns: ``w_`` for w_web, w_code, ...

    The law's function gets one array, whose first axis (dim `prefix` without the underscore at its
    end) has an entry for every share. They sum to 1; zeros are allowed.

    Parameters
    ----------
    prefix : str

    Returns
    -------
    Input
    """
    return Input(prefix.rstrip("_"), "shares", "shares")


@dataclass(frozen=True)
class Parameter:
    """Where a parameter may lie.

    Parameters
    ----------
    support : str
        "real", "positive" or "unit" (0 to 1).
    along : str
        Shares for each of which it has an entry; empty for a number.
    """

    support: str
    along: str = ""

    def over(self, shares: str) -> "Parameter":
        """Return the parameter with an entry for each of some shares, by the name of the input.

        Parameters
        ----------
        shares : str

        Returns
        -------
        Parameter
        """
        return replace(self, along=shares)


REAL, POSITIVE, UNIT = Parameter("real"), Parameter("positive"), Parameter("unit")


@dataclass(frozen=True)
class Coordinates:
    """The quantities that are sampled, and how they become a law's own parameters.

    Parameters
    ----------
    supports : mapping of str to Parameter
        The sampled coordinates; a model file states its priors on these.
    to_natural : callable
        ``(sampled, reference, function) -> natural``, with `reference` one value for each input of
        the law (the geometric mean of the runs; of shares and of linear inputs the mean), and
        `function` the law's own.
    guess : callable, optional
        ``(inputs, observed, reference) -> sampled``: about where some coordinates lie, from the
        runs of one group; of a law whose posterior has a second mode far from it.
    """

    supports: Mapping[str, Parameter] = field(hash=False)
    to_natural: Callable[[Values, tuple[Any, ...], Function], dict[str, Any]]
    guess: Callable[[tuple[Any, ...], Any, tuple[Any, ...]], dict[str, float]] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the sampled coordinates."""
        return tuple(self.supports)


@dataclass(frozen=True)
class Allocation:
    """Closed forms of how a law allocates compute C = k N D, where it has them.

    Parameters
    ----------
    optimum : callable, optional
        ``optimum(flops, k, **parameters) -> params``: the compute-optimal N without repeated
        tokens; NaN where no size is best. Without it the optimum is found numerically.
    compute : callable, optional
        ``compute(value, k, **parameters) -> flops``: the least compute that reaches a value of the
        response, by its compute-optimal model and without repeated tokens; infinite where no
        compute does. What compares the compute of groups needs it.

    Notes
    -----
    Of a law that reads more than params and tokens both take the further inputs by keyword.
    """

    optimum: Function | None = None
    compute: Function | None = None


@dataclass(frozen=True)
class Law:
    """A scaling law.

    Parameters
    ----------
    name : str
    response : Response
        What it says of a run.
    reads : tuple of Input
        What it reads of a run, in the order `function` takes them.
    supports : mapping of str to Parameter
        Natural parameters: what papers print.
    function : callable
        ``function(*inputs, **parameters)``, in the unit of the response; a law is called as one.
    coordinates : Coordinates
        What is sampled.
    allocation : Allocation
    rises_along, falls_along, minimum_along : tuple of str
        Inputs along which the response rises, or falls, other than is the rule, and along which it
        has a minimum (a maximum where higher is better). Along sizes, data, compute and an axis
        that are named in none it gets better; where neither is better it falls, and along an axis
        it may also rise.
    breaks_along : tuple of str
        Inputs along which it has a break of its own, such as the end of a plateau.
    least : str
        Parameter that is the response at the best value of all that is chosen; empty without one.
    best : tuple of str
        Parameters that are the best values of its axes, in their order; empty without them.
    may_hold : bool
        Whether one of several inputs may be the same in all runs, because priors say how much is
        due to it, and there is no irreducible part that it cannot be told from.
    """

    name: str
    response: Response
    reads: tuple[Input, ...]
    supports: Mapping[str, Parameter] = field(repr=False, hash=False)
    function: Function = field(repr=False)
    coordinates: Coordinates = field(repr=False)
    allocation: Allocation = field(default=Allocation(), repr=False)
    rises_along: tuple[str, ...] = ()
    falls_along: tuple[str, ...] = ()
    minimum_along: tuple[str, ...] = ()
    breaks_along: tuple[str, ...] = ()
    least: str = ""
    best: tuple[str, ...] = ()
    may_hold: bool = False

    def __call__(self, *inputs: Any, **parameters: Any) -> Any:
        """Evaluate the law's function."""
        return self.function(*inputs, **parameters)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Send a law of this package by its name: another process has it, and knows it as its own.

        A law from elsewhere goes with its function.
        """
        ours = LAWS.get(self.name) is self and self.function.__module__.startswith("bayescale.")
        return (_of_name, (self.name,)) if ours else super().__reduce_ex__(protocol)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of what it reads."""
        return tuple(own.name for own in self.reads)

    def input(self, name: str) -> Input:
        """Return what it reads under a name.

        Parameters
        ----------
        name : str

        Returns
        -------
        Input
        """
        return next(own for own in self.reads if own.name == name)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the natural parameters."""
        return tuple(self.supports)

    @property
    def optimum(self) -> Function | None:
        """Closed form of the compute-optimal N, if there is one."""
        return self.allocation.optimum

    @property
    def compute(self) -> Function | None:
        """Closed form of the least compute, if there is one."""
        return self.allocation.compute

    @property
    def summary(self) -> str:
        """First line of the law's docstring, formulas as they are written."""
        first = inspect.getdoc(self.function).splitlines()[0]  # type: ignore[union-attr]
        return re.sub(r":math:`([^`]*)`", r"\1", first)

    def role(self, role: str) -> tuple[str, ...]:
        """Names of the inputs of a role.

        Parameters
        ----------
        role : str

        Returns
        -------
        tuple of str
        """
        return tuple(own.name for own in self.reads if own.role == role)

    @property
    def trades(self) -> bool:
        """Whether it reads a size and data, between which compute is allocated."""
        return bool(self.role("size") and self.role("data"))

    def worsens_along(self, name: str) -> bool:
        """Whether the response gets worse along an input, so that less of it lies ahead.

        Parameters
        ----------
        name : str

        Returns
        -------
        bool
        """
        worse = {"lower": self.rises_along, "higher": self.falls_along}
        return name in worse.get(self.response.better, ())

    @property
    def choices(self) -> tuple[str, ...]:
        """Names of what has a best value: knobs, mixtures, and an axis with a minimum along it."""
        axis = (name for name in self.role("axis") if name in self.minimum_along)
        return (*self.role("knob"), *self.role("shares"), *axis)

    @property
    def has_profiles(self) -> bool:
        """Whether it says the loss along isoFLOP curves, and where their minima lie."""
        return bool(self.role("size") and self.role("compute") and self.optimum)

    @property
    def is_joint(self) -> bool:
        """Whether it trades params against tokens for a loss, so that a budget has a best split.

        A law that reads more, such as a number of experts, does so only `at` a value of it.
        """
        return self.trades and not self.further and self.response.better == "lower"

    @property
    def further(self) -> tuple[str, ...]:
        """Inputs beside size and data that no allocation of compute says anything of."""
        known = ("size", "data", "unique")
        return tuple(r.name for r in self.reads if r.role not in known) if self.trades else ()

    def along(self, *axes: str) -> "Law":
        """Return a law of any axes as one of columns.

        Parameters
        ----------
        *axes : str
            Column of the runs, for each axis in the order that the law reads them.

        Returns
        -------
        Law
        """
        columns = dict(zip(self.role("axis"), axes, strict=True))
        named = (replace(r, name=columns.get(r.name, r.name)) for r in self.reads)

        def renamed(inputs: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(columns.get(name, name) for name in inputs)

        return replace(
            self,
            reads=tuple(named),
            rises_along=renamed(self.rises_along),
            falls_along=renamed(self.falls_along),
            minimum_along=renamed(self.minimum_along),
            breaks_along=renamed(self.breaks_along),
        )

    def as_counted(self) -> "Law":
        """Return a law that trades a size against data as one of ``params`` and ``tokens``.

        Returns
        -------
        Law
            Its size, whichever parameters compute counts, is named params.
        """
        names = {"size": "params", "data": "tokens"} if self.trades else {}
        return replace(
            self, reads=tuple(replace(r, name=names.get(r.role, r.name)) for r in self.reads)
        )

    def at(self, given: Mapping[str, Any]) -> "Law":
        """Return the law of the other inputs, with those given at their value.

        Parameters
        ----------
        given : mapping of str to float
            Values by input.

        Returns
        -------
        Law
        """
        if not given:
            return self
        free = tuple(own for own in self.reads if own.name not in given)

        @wraps(self.function)
        def function(*inputs: Any, **natural: Any) -> Any:
            known = {**{o.name: v for o, v in zip(free, inputs, strict=True)}, **given}
            return self.function(*(known[name] for name in self.inputs), **natural)

        optimum, compute = (
            None if own is None else partial(own, **given) for own in (self.optimum, self.compute)
        )
        return replace(self, reads=free, function=function, allocation=Allocation(optimum, compute))

    def filled(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Give every input a value: those that are not given, where another stands for them.

        Parameters
        ----------
        given : mapping

        Returns
        -------
        dict
            By input, in their order.

        Raises
        ------
        KeyError
            With the names of inputs that have none.
        """
        found = dict(given)
        for own in self.reads:
            if own.name not in found and own.fill in given:
                found[own.name] = given[own.fill]
        if missing := [name for name in self.inputs if name not in found]:
            raise KeyError(*missing)
        return {name: found[name] for name in self.inputs}

    def fresh(self, params: Any, tokens: Any, **natural: Any) -> Any:
        """Evaluate a law that trades params against tokens where no token is repeated.

        Parameters
        ----------
        params, tokens : array_like or tensor
        natural : array_like or tensor
            The law's parameters.

        Returns
        -------
        array_like or tensor
            In the unit of the response.
        """
        (size,), (data,) = self.role("size"), self.role("data")
        return self.function(*self.filled({size: params, data: tokens}).values(), **natural)

    def to_natural(self, sampled: Values, reference: tuple[Any, ...]) -> dict[str, Any]:
        """Turn sampled coordinates at a reference run into the law's parameters, in their order.

        Parameters
        ----------
        sampled : mapping of str to array_like or tensor
        reference : tuple
            One value for each input.

        Returns
        -------
        dict
        """
        natural = self.coordinates.to_natural(sampled, reference, self.function)
        return {name: natural[name] for name in self.parameters}


def onto_line(support: str, value: Any) -> Any:
    """Map a support (real, positive, or unit: 0 to 1) to the real line; undone by `into_support`.

    As it is on the real line, by the logit for a share, by the logarithm for what is positive:
    there groups differ by normal distances.

    Parameters
    ----------
    support : str
    value : array_like or tensor

    Returns
    -------
    array_like or tensor

    Examples
    --------
    >>> float(onto_line("unit", 0.5)), float(onto_line("positive", 1.0))
    (0.0, 0.0)
    """
    if support == "real":
        return value
    return np.log(value) - np.log1p(-value) if support == "unit" else np.log(value)


def into_support(support: str, value: Any) -> Any:
    """Map the real line to a support: real, positive, or unit (0 to 1).

    Parameters
    ----------
    support : str
    value : array_like or tensor

    Returns
    -------
    array_like or tensor

    Examples
    --------
    >>> float(into_support("unit", 0.0)), float(into_support("positive", 0.0))
    (0.5, 1.0)
    """
    if support == "real":
        return value
    return 0.5 * (1.0 + np.tanh(0.5 * value)) if support == "unit" else np.exp(value)


LAWS: dict[str, Law] = {}
"""Every law by name; `law` fills it."""


def _of_name(name: str) -> Law:
    return LAWS[name]


def law(
    *,
    response: Response = LOSS,
    inputs: tuple[Input, ...],
    parameters: Mapping[str, Parameter],
    coordinates: Coordinates,
    allocation: Allocation = Allocation(),
    rises_along: tuple[str, ...] = (),
    falls_along: tuple[str, ...] = (),
    minimum_along: tuple[str, ...] = (),
    breaks_along: tuple[str, ...] = (),
    least: str = "",
    best: tuple[str, ...] = (),
    may_hold: bool = False,
) -> Callable[[Function], Law]:
    """Register a function as a law: inputs by position, parameters by keyword.

    Parameters
    ----------
    response, coordinates, allocation, rises_along, falls_along, minimum_along, breaks_along
        See `Law`.
    least, best, may_hold
        See `Law`.
    inputs : tuple of Input
        In the order of the function's.
    parameters : mapping of str to Parameter
        Of the function's keywords.

    Returns
    -------
    callable
        Takes the function, and returns its `Law`.

    Raises
    ------
    ValueError
        If the signature has other inputs or parameters than are declared, or another module has
        registered a law of that name.
    """

    def register(function: Function) -> Law:
        name, kinds = function.__name__, inspect.signature(function).parameters.values()
        positional = tuple(p.name for p in kinds if p.kind is p.POSITIONAL_OR_KEYWORD)
        keywords = tuple(p.name for p in kinds if p.kind is p.KEYWORD_ONLY)
        declared = tuple(own.name for own in inputs)
        for what, own, given in (
            ("inputs", positional, declared),
            ("parameters", keywords, tuple(parameters)),
        ):
            if own != given:
                raise ValueError(
                    f"the law {name} declares the {what} {', '.join(given)}, its function takes "
                    f"{', '.join(own)}: name the same, in the same order"
                )
        if name in LAWS and LAWS[name].function.__module__ != function.__module__:
            raise ValueError(
                f"a law named {name} exists already in {LAWS[name].function.__module__}"
            )
        LAWS[name] = Law(
            name,
            response,
            inputs,
            parameters,
            function,
            coordinates,
            allocation,
            rises_along,
            falls_along,
            minimum_along,
            breaks_along,
            least,
            best,
            may_hold,
        )
        return LAWS[name]

    return register


def positive_part(x: Any) -> Any:
    """Return x where it is positive and 0 elsewhere: floats, arrays, DataArrays and tensors alike.

    ``a - positive_part(a - b)`` is the smaller of a and b, exact where a is.

    Parameters
    ----------
    x : array_like or tensor

    Returns
    -------
    array_like or tensor
    """
    return (x + abs(x)) / 2


def total(values: Any, shares: str) -> Any:
    """Sum over the shares of a mixture: arrays and tensors over their first axis.

    The first, so that numbers of each run meet the shares of each run.

    Parameters
    ----------
    values : array, DataArray or tensor
        First axis or dim `shares`: an entry for each share.
    shares : str
        Name of the input, and of the dim of DataArrays.

    Returns
    -------
    array, DataArray or tensor
    """
    return values.sum(shares) if hasattr(values, "dims") else values.sum(axis=0)


def largest(values: Any, shares: str) -> Any:
    """Return the largest over the shares of a mixture, along the axis of `total`.

    Parameters
    ----------
    values : array, DataArray or tensor
    shares : str

    Returns
    -------
    array, DataArray or tensor
    """
    return values.max(shares) if hasattr(values, "dims") else values.max(axis=0)


def shares(*amplitudes: str, exponents: tuple[str, ...]) -> Coordinates:
    r"""Level-and-shares coordinates for a law ``E + sum of amplitude × term``.

    Amplitudes and offset of a power law trade off so strongly that samplers crawl. Instead of them
    sample what the centre of the data pins down:

    * ``level``: log of the response :math:`L_0` at the reference run,
    * ``reducible``: share :math:`\phi` of it above the irreducible part, so
      :math:`E = L_0 (1 - \phi)`,
    * ``split`` (two amplitudes): share :math:`\psi` of the reducible part that belongs to the first
      amplitude.

    Exponents, and all else that is named as one, are sampled as they are. An amplitude is its share
    of the response at the reference run divided by its term there, which is the law itself with
    that amplitude 1 and all others 0.

    Parameters
    ----------
    amplitudes : str
        One or two.
    exponents : tuple of str

    Returns
    -------
    Coordinates
    """
    split = {"split": UNIT} if len(amplitudes) == 2 else {}
    supports = {"level": REAL, "reducible": UNIT, **split, **dict.fromkeys(exponents, POSITIVE)}

    def to_natural(sampled: Values, reference: tuple[Any, ...], function: Function) -> Any:
        level = np.exp(sampled["level"])
        reducible = level * sampled["reducible"]
        first = sampled["split"] if split else 1.0
        natural = {name: sampled[name] for name in exponents}
        natural["E"] = level - reducible
        off = dict.fromkeys(("E", *amplitudes), 0.0)
        for amplitude, share in zip(amplitudes, (first, 1.0 - first), strict=False):
            term = function(*reference, **{**natural, **off, amplitude: 1.0})
            natural[amplitude] = reducible * share / term
        return natural

    return Coordinates(supports, to_natural)
