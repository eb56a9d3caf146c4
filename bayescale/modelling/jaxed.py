"""From a PyMC model to a JAX function of its log density.

The graph of log density and gradient is the one that `bayescale.modelling.compiling` makes machine
code of. Data, observation weights and prior arguments are arguments of the function, so that it
serves every table, subset and prior, and many tables of one shape at once.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bayescale.errors import FitError
from bayescale.modelling.compiling import CENTRE, SCALE, Density, Slot, Variable, graph_of


@dataclass(frozen=True)
class JaxDensity(Density):
    """Log density of a model as a JAX function.

    Parameters
    ----------
    variables : tuple of Variable
        In the order of the flat vector.
    slots : tuple of Slot
        What `arrays` passes, in the order of the function.
    function : callable
        From the flat vector and `arrays` to log density. Its gradient in the vector is PyTensor's.
    """

    @cached_property
    def compiled(self) -> Callable[..., Any]:
        """Log density and its gradient, compiled when first called."""
        import jax

        return jax.jit(jax.value_and_grad(self.function))

    def arrays(self, data: Mapping[str, Any]) -> list[np.ndarray]:
        """Lay out data for the function.

        Parameters
        ----------
        data : mapping of str to array_like
            By name of the slot.

        Returns
        -------
        list of numpy.ndarray
            All scalars in one, then each array.
        """
        return self.bind(data)[1]

    def evaluator(
        self, data: Mapping[str, Any]
    ) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
        """Make a function of the flat vector, for these data.

        Parameters
        ----------
        data : mapping of str to array_like
            As for `arrays`.

        Returns
        -------
        callable
            From a vector, shape (size,), to log density and gradient.
        """
        import jax

        given = jax.device_put(self.arrays(data))

        def evaluate(vector: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = self.compiled(vector, *given)
            return float(value), np.array(gradient)

        return evaluate


def require_jax() -> None:
    """Refuse where JAX is not installed.

    Raises
    ------
    FitError
        The message says how to install it.
    """
    try:
        import jax  # noqa: F401
        import numpyro  # noqa: F401
    except ImportError as error:
        raise FitError(
            f"the backend jax needs a package that is not installed ({error.name}); "
            "pip install 'bayescale[jax]'"
        ) from error


def jax_density(
    variables: tuple[Variable, ...],
    slots: tuple[Slot, ...],
    shapes: tuple[tuple[int, ...], ...],
    build: Callable[[], Any],
) -> JaxDensity:
    """Make a model's log density as a JAX function.

    Parameters
    ----------
    variables : tuple of Variable
        All free variables of the model.
    slots : tuple of Slot
        All its ``pm.Data``, and perhaps `CENTRE` and `SCALE`.
    shapes : tuple of tuple of int
        Of the data of each slot: JAX must know all of them.
    build : callable
        Returns the PyMC model.

    Returns
    -------
    JaxDensity

    Raises
    ------
    ValueError
        If the model has other variables or data than these.
    """
    import jax
    from pytensor.compile.mode import get_mode
    from pytensor.graph import FunctionGraph
    from pytensor.link.jax.dispatch import jax_funcify  # which asks JAX for 64 bits

    own = tuple(slot for slot in slots if slot.name not in (CENTRE, SCALE))
    known = {slot.name: shape for slot, shape in zip(slots, shapes, strict=True)}
    inputs, outputs = graph_of(build(), variables, own, known)
    graph = FunctionGraph(inputs, outputs, clone=True)
    get_mode("JAX").optimizer.rewrite(graph)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of checks of shapes, which JAX has no need of
        both = jax_funcify(graph)
    both = both if own == slots else _mapped(both, [slot.name for slot in slots if slot.ndim])

    @jax.custom_vjp
    def log_density(flat: Any, *arrays: Any) -> Any:
        return both(flat, *arrays)[0]

    def forward(flat: Any, *arrays: Any) -> tuple[Any, Any]:
        value, slope = both(flat, *arrays)
        return value, (slope, len(arrays))

    def backward(kept: tuple[Any, int], change: Any) -> tuple[Any, ...]:
        slope, others = kept
        return (change * slope, *(others * (None,)))

    log_density.defvjp(forward, backward)
    return JaxDensity(variables, slots, log_density)


def _mapped(both: Callable[..., Any], names: list[str]) -> Callable[..., Any]:
    """Let the flat vector be a centre plus a linear map of what is sampled."""
    places = [1 + names.index(own) for own in (CENTRE, SCALE)]

    def of_sampled(vector: Any, *arrays: Any) -> tuple[Any, Any]:
        centre, scale = (arrays[place] for place in places)
        others = [array for place, array in enumerate(arrays) if place not in places]
        value, slope = both(centre + scale @ vector, *others)
        return value, slope @ scale

    return of_sampled
