"""What a scaling law is: one plain function, and the coordinates it is sampled in.

A law's function takes columns of the runs table by position and parameters by keyword. The same
function builds the PyTensor graph and evaluates NumPy arrays and xarray posteriors, so it uses only
``+ - * / **`` and ``np.exp, np.log, np.log1p, np.expm1, np.sqrt, np.tanh``, which stay symbolic;
`positive_part` gives it minima and bounds.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial, wraps
from typing import Any

import numpy as np

Values = Mapping[str, Any]
"""Names to floats, arrays, DataArrays or tensors."""

Loss = Callable[..., Any]


@dataclass(frozen=True)
class Coordinates:
    """The quantities that are sampled, and how they become a law's own parameters.

    Parameters
    ----------
    names : tuple of str
        The sampled coordinates; a model file states its priors on these.
    to_natural : callable
        ``(sampled, reference, loss) -> natural``, with `reference` one value for each input of the
        law (the geometric mean of the runs), and `loss` the law's own function.
    """

    names: tuple[str, ...]
    to_natural: Callable[[Values, tuple[Any, ...], Loss], dict[str, Any]]


@dataclass(frozen=True)
class Law:
    """A scaling law.

    Parameters
    ----------
    name : str
    inputs : tuple of str
        Columns of the runs table, in the order `loss` takes them. The name ``x`` stands for the
        column that a model file names as its ``axis``.
    parameters : tuple of str
        Natural parameters: what papers print.
    loss : callable
        ``loss(*inputs, **parameters)``, nats per token.
    coordinates : Coordinates
        What is sampled.
    optimum : callable, optional
        ``optimum(flops, k, **parameters) -> params``: the compute-optimal N under C = k N D and no
        repeated tokens, in closed form where there is one; NaN where no size is best. Without it
        the optimum is found numerically.
    compute : callable, optional
        ``compute(loss, k, **parameters) -> flops``: the least C = k N D that reaches a loss, by its
        compute-optimal model and without repeated tokens; infinite where no compute does. What
        compares the compute of groups needs it. Of a law that reads more than params and tokens
        both take the further inputs by keyword.
    """

    name: str
    inputs: tuple[str, ...]
    parameters: tuple[str, ...]
    loss: Loss
    coordinates: Coordinates
    optimum: Loss | None = None
    compute: Loss | None = None

    @property
    def summary(self) -> str:
        """First line of the law's docstring."""
        return inspect.getdoc(self.loss).splitlines()[0]  # type: ignore[union-attr]

    @property
    def is_joint(self) -> bool:
        """Whether it trades params against tokens, so that a budget has a best allocation.

        A law that reads more, such as a learning rate, does so only `at` a value of it.
        """
        return {"params", "tokens"} <= set(self.inputs) and not self.further

    @property
    def further(self) -> tuple[str, ...]:
        """Inputs beside params and tokens that no allocation of compute says anything of."""
        both = {"params", "tokens"} <= set(self.inputs)
        known = {"params", "tokens", "unique_tokens"}
        return tuple(name for name in self.inputs if name not in known) if both else ()

    def at(self, given: Mapping[str, float]) -> "Law":
        """Return the law of the other inputs, with those given at their value."""
        if not given:
            return self
        free = tuple(name for name in self.inputs if name not in given)

        @wraps(self.loss)
        def loss(*inputs: Any, **natural: Any) -> Any:
            known = {**dict(zip(free, inputs, strict=True)), **given}
            return self.loss(*(known[name] for name in self.inputs), **natural)

        optimum, compute = (
            None if own is None else partial(own, **given) for own in (self.optimum, self.compute)
        )
        return replace(self, inputs=free, loss=loss, optimum=optimum, compute=compute)

    def fresh_loss(self, params: Any, tokens: Any, **natural: Any) -> Any:
        """Loss of a joint law where no token is repeated, nats per token."""
        at = {"params": params, "tokens": tokens, "unique_tokens": tokens}
        return self.loss(*(at[name] for name in self.inputs), **natural)

    def to_natural(self, sampled: Values, reference: tuple[Any, ...]) -> dict[str, Any]:
        """Turn sampled coordinates at a reference run into the law's parameters, in their order."""
        natural = self.coordinates.to_natural(sampled, reference, self.loss)
        return {name: natural[name] for name in self.parameters}


SUPPORT = {
    "level": "real",
    "reducible": "unit",
    "split": "unit",
    "share": "unit",
    "remaining": "unit",
    "size": "real",
    "skew": "unit",
    "a": "unit",
    "r_N": "real",
    "excess_interaction": "real",
    "amplitude_slope": "real",
    "exponent_slope": "real",
    "floor_bend": "real",
    "amplitude_bend": "real",
    "exponent_bend": "real",
    **dict.fromkeys(("a1", "b1", "c1", "a2", "b2", "c2", "a3", "b3", "c3"), "real"),
}
"""Where a coordinate or noise parameter may lie: the real line, or (0, 1); others are positive."""


def to_line(name: str, value: Any) -> Any:
    """Map a coordinate to the real line, where groups differ by normal distances.

    As it is on the real line, by the logit for a share, by the logarithm for all others.

    >>> float(to_line("level", 1.5)), float(to_line("split", 0.5)), float(to_line("alpha", 1.0))
    (1.5, 0.0, 0.0)
    """
    return onto_line(SUPPORT.get(name, "positive"), value)


def from_line(name: str, value: Any) -> Any:
    """Invert `to_line`.

    >>> float(from_line("split", 0.0)), float(from_line("alpha", 0.0))
    (0.5, 1.0)
    """
    return into_support(SUPPORT.get(name, "positive"), value)


def onto_line(support: str, value: Any) -> Any:
    """Map a support (real, positive, or unit: 0 to 1) to the real line; undone by `into_support`.

    >>> float(onto_line("unit", 0.5))
    0.0
    """
    if support == "real":
        return value
    return np.log(value) - np.log1p(-value) if support == "unit" else np.log(value)


def into_support(support: str, value: Any) -> Any:
    """Map the real line to a support: real, positive, or unit (0 to 1).

    >>> float(into_support("positive", 0.0))
    1.0
    """
    if support == "real":
        return value
    return 0.5 * (1.0 + np.tanh(0.5 * value)) if support == "unit" else np.exp(value)


LAWS: dict[str, Law] = {}
"""Every law by name; `law` fills it."""


def law(
    *, coordinates: Coordinates, optimum: Loss | None = None, compute: Loss | None = None
) -> Callable[[Loss], Law]:
    """Register a function as a law; its signature names the inputs and the parameters.

    Raises
    ------
    ValueError
        If another module has registered a law of that name.
    """

    def register(loss: Loss) -> Law:
        kinds = inspect.signature(loss).parameters.values()
        inputs = tuple(p.name for p in kinds if p.kind is p.POSITIONAL_OR_KEYWORD)
        parameters = tuple(p.name for p in kinds if p.kind is p.KEYWORD_ONLY)
        name = loss.__name__
        if name in LAWS and LAWS[name].loss.__module__ != loss.__module__:
            raise ValueError(f"a law named {name} exists already in {LAWS[name].loss.__module__}")
        LAWS[name] = Law(name, inputs, parameters, loss, coordinates, optimum, compute)
        return LAWS[name]

    return register


def positive_part(x: Any) -> Any:
    """Return x where it is positive and 0 elsewhere: floats, arrays, DataArrays and tensors alike.

    ``a - positive_part(a - b)`` is the smaller of a and b, exact where a is.
    """
    return (x + abs(x)) / 2


def shares(*amplitudes: str, exponents: tuple[str, ...]) -> Coordinates:
    r"""Level-and-shares coordinates for a law ``E + sum of amplitude × term``.

    Amplitudes and offset of a power law trade off so strongly that samplers crawl. Instead of them
    sample what the centre of the data pins down:

    * ``level``: log of the loss :math:`L_0` at the reference run,
    * ``reducible``: share :math:`\phi` of that loss above the irreducible part, so
      :math:`E = L_0 (1 - \phi)`,
    * ``split`` (two amplitudes): share :math:`\psi` of the reducible part that belongs to the first
      amplitude.

    Exponents are sampled as they are. An amplitude is its share of the loss at the reference run
    divided by its term there, which is the law itself with that amplitude 1 and all others 0.
    """
    names = ("level", "reducible", *(("split",) if len(amplitudes) == 2 else ()), *exponents)

    def to_natural(sampled: Values, reference: tuple[Any, ...], loss: Loss) -> dict[str, Any]:
        level = np.exp(sampled["level"])
        reducible = level * sampled["reducible"]
        split = sampled["split"] if len(amplitudes) == 2 else 1.0
        natural = {name: sampled[name] for name in exponents}
        natural["E"] = level - reducible
        off = dict.fromkeys(("E", *amplitudes), 0.0)
        for amplitude, share in zip(amplitudes, (split, 1.0 - split), strict=False):
            term = loss(*reference, **{**natural, **off, amplitude: 1.0})
            natural[amplitude] = reducible * share / term
        return natural

    return Coordinates(names, to_natural)
