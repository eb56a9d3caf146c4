"""From a PyMC model to a C function of its log density, kept on disk for later processes.

PyTensor makes the graph of log density and gradient, Numba the machine code, and Numba's cache in
PyTensor's folder keeps it. A later process that wants the same model loads the code and needs
neither PyMC nor the graph. Data, observation weights and prior arguments are arguments of the
function, so that one compiled function serves every table, subset and prior.
"""

import ctypes
import hashlib
import math
import shutil
import tempfile
import warnings
from atexit import register
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.metadata import version
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from bayescale.laws import into_support

CENTRE, SCALE = "flat_centre", "flat_scale"
"""Data that no model has: of the linear map from what is sampled to the flat vector."""

WEIGHTING = "weighting"
"""Potential that raises the likelihood of each observation to its ``weight``."""

_DECIDING = ("pymc", "pytensor", "nutpie")
"""Libraries whose version decides the code; Numba's cache looks at its own and the processor's."""

_ROOMS = ("laws", "modelling", "runs")
"""Where models are made, and all that these import beside texts and errors."""


@dataclass(frozen=True)
class Variable:
    """Something that is sampled, on the real line.

    Parameters
    ----------
    name : str
    support : str
        Where its own values may lie: real, positive or unit (0 to 1).
    shape : tuple of int
    dims : tuple of str
    """

    name: str
    support: str = "real"
    shape: tuple[int, ...] = ()
    dims: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Entries of the flat vector that it takes."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Slot:
    """An array that the function takes.

    Parameters
    ----------
    name : str
    ndim : int
    whole : bool
        Integers, such as an index of groups.
    logged : bool
        Passed as its logarithm: a power of it is then one exponential.
    """

    name: str
    ndim: int
    whole: bool
    logged: bool


@dataclass(frozen=True)
class Density:
    """Log density and gradient of a model as a C function of the flat vector of its variables.

    Parameters
    ----------
    variables : tuple of Variable
        In the order of the flat vector.
    slots : tuple of Slot
        What `bind` passes, in the order of the function.
    function : numba.core.ccallback.CFunc
    """

    variables: tuple[Variable, ...]
    slots: tuple[Slot, ...]
    function: Any = field(repr=False)

    @cached_property
    def size(self) -> int:
        """Entries of the flat vector."""
        return sum(variable.size for variable in self.variables)

    def place(self, name: str) -> int:
        """First entry of a variable in the flat vector.

        Parameters
        ----------
        name : str

        Returns
        -------
        int
        """
        before = takewhile(lambda variable: variable.name != name, self.variables)
        return sum(variable.size for variable in before)

    def bind(self, data: Mapping[str, Any]) -> tuple[np.ndarray, list[np.ndarray]]:
        """Lay out data for the function.

        Parameters
        ----------
        data : mapping of str to array_like
            By name of the slot.

        Returns
        -------
        table : ndarray of int
            Addresses and shapes, as the function reads them.
        arrays : list of ndarray
            What they are the addresses of: keep them as long as the table.

        Raises
        ------
        ValueError
            If an array has another number of dimensions than the model's.
        """
        arrays = [np.array([_value(slot, data) for slot in self.slots if not slot.ndim])]
        arrays += [_value(slot, data) for slot in self.slots if slot.ndim]
        table = [entry for array in arrays for entry in (array.ctypes.data, *array.shape)]
        return np.array(table, dtype=np.int64), arrays

    def evaluator(
        self, data: Mapping[str, Any]
    ) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
        """Make a function of the flat vector, for these data.

        Parameters
        ----------
        data : mapping of str to array_like
            As for `bind`.

        Returns
        -------
        callable
            From a vector, shape (size,), to log density and gradient, NaN where there is none. Not
            for several threads at once.
        """
        table, arrays = self.bind(data)
        kinds = ctypes.c_int64, ctypes.c_uint64, *(4 * [ctypes.c_void_p])
        function = ctypes.CFUNCTYPE(*kinds)(self.function.address)
        point, gradient, value = np.empty(self.size), np.empty(self.size), np.empty(1)
        addresses = [array.ctypes.data for array in (point, gradient, value, table)]

        kept = table, arrays  # their addresses are all that the function has

        def evaluate(vector: np.ndarray, _kept: Any = kept) -> tuple[float, np.ndarray]:
            point[:], gradient[:] = vector, np.nan
            function(self.size, *addresses)
            return float(value[0]), gradient.copy()

        return evaluate

    def split(self, flat: np.ndarray) -> dict[str, np.ndarray]:
        """Values of the variables on their own scale.

        Parameters
        ----------
        flat : ndarray
            Flat vectors, shape (..., size).

        Returns
        -------
        dict of str to ndarray
            Each of shape (..., *shape of the variable).
        """
        values, begin = {}, 0
        for variable in self.variables:
            part = flat[..., begin : begin + variable.size]
            part = part.reshape((*flat.shape[:-1], *variable.shape))
            values[variable.name] = into_support(variable.support, part)
            begin += variable.size
        return values


def slots_of(data: Mapping[str, Any], logged: Iterable[str]) -> tuple[Slot, ...]:
    """Describe the arrays of a model by one set of them.

    Parameters
    ----------
    data : mapping of str to array_like
    logged : iterable of str
        Names of those passed as their logarithm.

    Returns
    -------
    tuple of Slot
        By name.
    """
    return tuple(
        Slot(name, np.ndim(value), np.asarray(value).dtype.kind in "iu", name in set(logged))
        for name, value in sorted(data.items())
    )


def compile_density(
    variables: tuple[Variable, ...],
    slots: tuple[Slot, ...],
    build: Callable[[], Any],
    identity: str | None,
) -> Density:
    """Compile a model's log density, or load it from disk.

    Parameters
    ----------
    variables : tuple of Variable
        All free variables of the model.
    slots : tuple of Slot
        All its ``pm.Data``.
    build : callable
        Returns the PyMC model; called only where the code is not on disk.
    identity : str or None
        What, beside variables, slots and this package's own code, decides the graph. None: it
        cannot be told, so that the graph is made to find the code on disk.

    Returns
    -------
    Density

    Raises
    ------
    ValueError
        If the model has other variables or data than these.
    """
    own = tuple(slot for slot in slots if slot.name not in (CENTRE, SCALE))
    made = cache(lambda: _numba_function(build(), variables, own))
    name = made()[1] if identity is None else identity
    key = None if name is None else _digest(name, variables, slots)
    source = _source(sum(variable.size for variable in variables), slots)
    kinds = ("count", "doubles", "doubles", "doubles", "integers")
    function = _c_function(source, "log_density", kinds, key, lambda: made()[0])
    return Density(variables, slots, function)


@cache
def copy_function() -> Any:
    """C function that copies the flat vector: nutpie stores what it returns of each draw."""
    source = """\
def copy(size, length, vector, out, data):
    for i in range(size):
        out[i] = vector[i]
    return 0
"""
    kinds = ("count", "count", "doubles", "doubles", "integers")
    return _c_function(source, "copy", kinds, _digest(source), lambda: None)


def _value(slot: Slot, data: Mapping[str, Any]) -> np.ndarray:
    value = np.asarray(data[slot.name], dtype=np.int64 if slot.whole else np.float64, order="C")
    if value.ndim != slot.ndim:
        raise ValueError(f"{slot.name} must have {slot.ndim} dimensions, got {value.ndim}")
    return np.log(value) if slot.logged else value


def _digest(*parts: Any) -> str:
    """Name the code: everything that decides it."""
    text = repr((parts, _own_code(), [version(name) for name in _DECIDING]))
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def _own_code() -> str:
    """Digest of the source of the rooms that make a model: any change of it may change one."""
    digest = hashlib.sha256()
    folder = Path(__file__).parents[1]
    for path in sorted(path for room in _ROOMS for path in (folder / room).rglob("*.py")):
        digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return digest.hexdigest()


def _numba_cache() -> Any:
    """PyTensor's cache of Numba code; in a folder of this process where its own is not writable."""
    import pytensor

    folder = pytensor.config.base_compiledir / "numba"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        own = Path(tempfile.mkdtemp(prefix="bayescale-"))
        register(shutil.rmtree, own, ignore_errors=True)
        # PyTensor reads the folder once and for all; there is no public way to name another later.
        vars(type(pytensor.config))["base_compiledir"].val = own
    # Else every compilation leaves files among the temporary ones (before 3.3 it always does).
    if getattr(pytensor.config, "generated_src_dir", None) == "":
        pytensor.config.generated_src_dir = str(pytensor.config.base_compiledir / "generated")
    from pytensor.link.numba import cache

    return cache


def _source(size: int, slots: tuple[Slot, ...]) -> str:
    """Write the C function that nutpie calls, in Numba's Python: addresses to arrays.

    Log density first, so that it stays NaN should anything raise; 3 and 4 are what nutpie takes
    for a divergence.
    """
    lines, names, entry = [], {"scalars": "scalars"}, 2
    lines.append("    scalars = carray(doubles(data[0]), (data[1],))")
    for number, slot in enumerate(slot for slot in slots if slot.ndim):
        shape = "".join(f"data[{entry + 1 + axis}], " for axis in range(slot.ndim))
        kind = "integers" if slot.whole else "doubles"
        lines.append(f"    array{number} = carray({kind}(data[{entry}]), ({shape}))")
        names[slot.name] = f"array{number}"
        entry += 1 + slot.ndim
    arrays = "\n".join(lines)
    centre, scale = names.pop(CENTRE, None), names.pop(SCALE, None)
    point = f"carray(vector, ({size},))" if scale is None else "point"
    before, chain, slope = "", "", "slope[i]"
    if scale is not None:
        slope = "total"
        chain = f"""\
        total = 0.0
        for j in range({size}):
            total += {scale}[j, i] * slope[j]
"""
        before = f"""\
    point = empty({size})
    for i in range({size}):
        point[i] = {centre}[i]
        for j in range({size}):
            point[i] += {scale}[i, j] * vector[j]
"""
    return f"""\
def log_density(size, vector, gradient, value, data):
    value[0] = nan
{arrays}
{before}    density, slope = inner({point}, {", ".join(names.values())})
    for i in range({size}):
{chain}        gradient[i] = {slope}
        if not isfinite(gradient[i]):
            return 3
    value[0] = density[()]
    return 0 if isfinite(density[()]) else 4
"""


def _c_function(
    source: str, name: str, kinds: tuple[str, ...], key: str | None, inner: Callable[[], Any]
) -> Any:
    """Compile a C function that returns an integer, or load it from disk by its key."""
    cache = _numba_cache()
    import numba
    from numba.core.ccallback import CFunc

    types = numba.types
    known = {
        "count": types.uint64,
        "doubles": types.CPointer(types.double),
        "integers": types.CPointer(types.int64),
    }
    environment = {
        "__name__": __name__,
        "carray": numba.carray,
        "isfinite": np.isfinite,
        "empty": np.empty,
        "nan": np.nan,
        "doubles": _pointer(types.double),
        "integers": _pointer(types.int64),
    }
    written = cache.compile_numba_function_src(
        source, name, environment, environment, cache_key=key
    )
    signature = tuple(known[kind] for kind in kinds), types.int64
    function: Any = CFunc(written, signature, locals={}, options={})
    if key is not None:  # PyTensor names all but few graphs
        function.enable_caching()
    compile_anew = function._compile_uncached

    def with_inner() -> Any:  # only what is not on disk needs the function within
        environment["inner"] = inner()
        return compile_anew()

    function._compile_uncached = with_inner
    function.compile()
    return function


@cache
def _pointer(kind: Any) -> Any:
    """Numba function from an address to a pointer to numbers of a kind."""
    from numba import types
    from numba.extending import intrinsic

    @intrinsic
    def pointer(typing_context: Any, address: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(types.CPointer(kind)))

        return types.CPointer(kind)(address), code

    return pointer


def _numba_function(
    model: Any, variables: tuple[Variable, ...], slots: tuple[Slot, ...]
) -> tuple[Any, str | None]:
    """Make a Numba function of the flat vector, the scalars and all arrays, and name its graph.

    It returns log density and gradient, and is compiled when first called.
    """
    _numba_cache()  # names PyTensor's folders
    import pytensor
    from pytensor.compile.mode import get_mode
    from pytensor.link.numba.dispatch.basic import numba_funcify_and_cache_key

    inputs, outputs = graph_of(model, variables, slots)
    # Floating-point numbers to the letter: with reordering allowed, code that is put together from
    # parts on disk rounds otherwise than the same code compiled in one piece, and draws differ.
    # Greedy distribution of products over sums took most of the time of compiling bowls, for
    # a graph of as many operations.
    mode = get_mode("NUMBA").excluding("local_greedy_distributor")
    with pytensor.config.change_flags(numba__fastmath=False), warnings.catch_warnings():
        # Of machines without a C compiler, and of limits that Numba does not have.
        warnings.filterwarnings("ignore", "Loop fusion failed", UserWarning)
        function = pytensor.function(
            inputs, outputs, mode=mode, on_unused_input="ignore", trust_input=True
        )
    if left := function.get_shared():
        raise ValueError(f"the model depends on {left}, which are not among its data")
    _, graph = numba_funcify_and_cache_key(function.maker.fgraph)
    return function.vm.jit_fn, graph


def graph_of(
    model: Any,
    variables: tuple[Variable, ...],
    slots: tuple[Slot, ...],
    shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> tuple[list[Any], list[Any]]:
    """Make the PyTensor graph of a model's log density and gradient.

    Parameters
    ----------
    model : pymc.Model
    variables : tuple of Variable
        All its free variables.
    slots : tuple of Slot
        All its ``pm.Data``.
    shapes : mapping of str to tuple of int, optional
        Of each array, where the graph is for arrays of these shapes alone.

    Returns
    -------
    inputs : list of TensorVariable
        The flat vector, all scalars in one vector, and each array.
    outputs : list of TensorVariable
        Log density, and its gradient in the flat vector.

    Raises
    ------
    ValueError
        If the model has other variables or data than these.
    """
    import pytensor.tensor as pt
    from pytensor.graph.replace import graph_replace

    arguments, replaced = _arguments(model, slots, shapes or {})
    names = {variable.name for variable in variables}
    if {rv.name for rv in model.free_RVs} != names:
        raise ValueError(f"variables of the model {model.free_RVs}, expected {sorted(names)}")
    values = [model.rvs_to_values[model[variable.name]] for variable in variables]
    free = [value.type(name=value.name) for value in values]
    replaced |= dict(zip(values, free, strict=True))
    [density] = graph_replace(
        [_log_density(model)], replaced, strict=False
    )  # not every law reads all
    density = _simplified(density, [*free, *arguments])
    flat = pt.vector("flat", shape=(sum(variable.size for variable in variables),))
    parts, begin = {}, 0
    for value, variable in zip(free, variables, strict=True):
        part = flat[begin : begin + variable.size]
        parts[value] = part.reshape(variable.shape) if variable.shape else part[0]
        begin += variable.size
    slopes: Any = pt.grad(density, free)
    slope = pt.concatenate([slope.ravel() for slope in slopes])
    return [flat, *arguments], graph_replace([density, slope], parts)


def _log_density(model: Any) -> Any:
    """Log density of a model, with the likelihood of what was observed taken once.

    PyMC adds to it the potential `WEIGHTING`, in which it stands again, times its weights less 1.
    """
    if WEIGHTING not in model.named_vars:
        return model.logp()
    others = [own for own in model.potentials if own.name != WEIGHTING]
    (observed,) = model.logp(model.observed_RVs, sum=False)
    return model.logp([*model.free_RVs, *others]) + (model["weight"] * observed).sum()


def _arguments(
    model: Any, slots: tuple[Slot, ...], shapes: Mapping[str, tuple[int, ...]]
) -> tuple[list[Any], dict[Any, Any]]:
    """Make the inputs of the function, all scalars in one, and what they replace in the model."""
    import pytensor.tensor as pt

    data = {variable.name: variable for variable in model.data_vars}
    if set(data) != {slot.name for slot in slots}:
        raise ValueError(f"data of the model {sorted(data)}, expected {[s.name for s in slots]}")
    scalars = pt.vector("scalars")
    arguments, replaced, number = [scalars], {}, 0
    for slot in slots:
        if slot.ndim:
            kind = data[slot.name].type
            given = kind.clone(shape=shapes.get(slot.name, kind.shape))(name=slot.name)
            arguments.append(given)
        else:
            given, number = scalars[number], number + 1
        replaced[data[slot.name]] = pt.exp(given) if slot.logged else given
    return arguments, replaced


def _simplified(density: Any, inputs: list[Any]) -> Any:
    """Rewrite powers of what comes as a logarithm, and drop checks that transforms ensure."""
    import pytensor.scalar as ps
    import pytensor.tensor as pt
    from pytensor.graph import FunctionGraph, rewrite_graph
    from pytensor.graph.rewriting.basic import EquilibriumGraphRewriter, node_rewriter

    @node_rewriter([pt.pow])
    def power_of_exponential(graph: Any, node: Any) -> Any:
        base, exponent = node.inputs
        scalar = getattr(base.owner and base.owner.op, "scalar_op", None)
        return [pt.exp(base.owner.inputs[0] * exponent)] if isinstance(scalar, ps.Exp) else None

    include = ("canonicalize", "stabilize", "local_remove_check_parameter")
    rewritten: Any = rewrite_graph(density, include=include)
    graph = FunctionGraph(inputs, [rewritten], clone=False)
    EquilibriumGraphRewriter([power_of_exponential], max_use_ratio=10).rewrite(graph)
    return rewrite_graph(graph.outputs[0], include=include)
