"""Every public function, method and class says what it takes, what it returns and what it raises.

Sections are those of numpydoc. One line is enough for what takes no parameters, for a property,
for commands (their options have help), and for a method that a base class or protocol explains.
``Parameters as in `name` `` leaves sections to another docstring, which must then have them.
"""

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import is_dataclass
from functools import cache
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import pytest

import bayescale
from bayescale.cli import app
from bayescale.errors import BayescaleError, FitError
from bayescale.laws import Law

SECTION = re.compile(r"^(\w[\w ]*)\n-{3,}\n", re.MULTILINE)
REFERENCE = re.compile(r"(?i)\bas in\s+`(?:bayescale\.)?([\w.]+)`")


def sections(doc: str) -> dict[str, str]:
    """Text below each title of a docstring."""
    parts = SECTION.split(doc)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def entries(section: str) -> list[str]:
    """Names that a section explains, in its order."""
    heads = [line for line in section.splitlines() if line and not line[0].isspace()]
    return [name.lstrip("*") for head in heads for name in head.split(" : ")[0].split(", ")]


@cache
def commands() -> set[Any]:
    """Functions behind commands."""
    apps = [app, *(group.typer_instance for group in app.registered_groups)]
    found = [one for each in apps for one in (*each.registered_commands, each.registered_callback)]
    return {inspect.unwrap(one.callback) for one in found if one}


def public(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Functions and classes of a module, and methods that no base class or protocol explains."""
    protocols = [own for own in vars(module).values() if getattr(own, "_is_protocol", False)]
    for name, value in vars(module).items():
        thing = value.function if isinstance(value, Law) else value
        thing = inspect.unwrap(thing) if callable(thing) else thing
        if name.startswith("_") or getattr(thing, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(thing) and thing not in commands():
            yield name, thing
        if inspect.isclass(thing):
            yield name, thing
            for method, held in vars(thing).items():
                held = inspect.unwrap(getattr(held, "__func__", held))
                bases = [base for base in (*thing.__mro__, *protocols) if base is not thing]
                known = any(hasattr(base, method) for base in bases)
                if inspect.isfunction(held) and not method.startswith("_") and not known:
                    yield f"{name}.{method}", held


def taken(thing: Any) -> list[str]:
    """Parameters that a caller gives."""
    makes = is_dataclass(thing) or "__init__" in vars(thing)
    if inspect.isclass(thing) and (not makes or getattr(thing, "_is_protocol", False)):
        return []  # enumerations, errors, typed dictionaries
    return [name for name in inspect.signature(thing).parameters if name not in ("self", "cls")]


def raised(thing: Any, module: ModuleType) -> set[str]:
    """Errors of ours that a function raises itself, or a class where its objects are made."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(thing))).body[0]
    bodies = [tree]
    if isinstance(tree, ast.ClassDef):
        made = ("__init__", "__post_init__")
        bodies = [node for node in tree.body if getattr(node, "name", None) in made]
    nodes = [node for body in bodies for node in ast.walk(body) if isinstance(node, ast.Raise)]
    calls = [node.exc.func for node in nodes if isinstance(node.exc, ast.Call)]
    errors = [getattr(module, ast.unparse(call), None) for call in calls]
    return {e.__name__ for e in errors if inspect.isclass(e) and issubclass(e, BayescaleError)}


def referred(doc: str, thing: Any, module: ModuleType) -> tuple[list[str], set[str]]:
    """Names that a docstring refers to and nobody has; entries that it leaves to those it has."""
    holder = getattr(module, thing.__qualname__.rpartition(".")[0], None)
    unknown, lent = [], set()
    for name in REFERENCE.findall(doc):
        for place in (holder, module, bayescale):
            with suppress(AttributeError):
                other = attrgetter(name)(place)
                break
        else:
            unknown.append(name)
            continue
        if name in REFERENCE.findall(SECTION.split(doc)[0]):  # the whole, not one entry of it
            its = sections(inspect.getdoc(other))
            lent |= {*entries(its.get("Parameters", "")), *entries(its.get("Raises", ""))}
    return unknown, lent


def faults(thing: Any, module: ModuleType) -> list[str]:
    """What the docstring of a function or class lacks."""
    doc = inspect.cleandoc(thing.__doc__ or "")
    if not doc:
        return ["no docstring"]
    told, parameters = sections(doc), taken(thing)
    unknown, lent = referred(doc, thing, module)
    own, raises = entries(told.get("Parameters", "")), entries(told.get("Raises", ""))
    found = [f"nothing is named {name}" for name in unknown]
    found += [f"{name} is not explained" for name in parameters if name not in {*own, *lent}]
    found += [f"{name} is no parameter" for name in own if name not in parameters]
    if inspect.isfunction(thing) and parameters:
        answer = inspect.signature(thing).return_annotation
        if answer not in (None, "None", NoReturn) and not {"Returns", "Yields"} & set(told):
            found.append("what it returns is not said")
    silent = raised(thing, module) - {*raises, *lent}
    return found + [f"{error} is not among what it raises" for error in sorted(silent)]


PACKAGE = Path(bayescale.__file__).parent
PATHS = [path.relative_to(PACKAGE.parent).with_suffix("") for path in PACKAGE.rglob("*.py")]
MODULES = sorted(".".join(path.parts).removesuffix(".__init__") for path in PATHS)


@pytest.mark.parametrize("name", MODULES)
def test_docstrings_are_complete(name):
    module = import_module(name)
    found = [f"{own}: {fault}" for own, thing in public(module) for fault in faults(thing, module)]
    assert found == []


def explained(first: float, *others: float, scale: float = 1.0) -> float:
    """Scale a sum.

    Parameters
    ----------
    first, *others : float
        Terms.
    scale : float, optional

    Returns
    -------
    float

    Raises
    ------
    FitError
        If nothing is to be scaled.
    """
    if not scale:
        raise FitError("no scale")
    return scale * (first + sum(others))


def borrowed(first: float, *others: float, scale: float = 1.0) -> float:
    """Scale a sum once more; parameters and errors as in `explained`.

    Returns
    -------
    float
    """
    if not scale:
        raise FitError("no scale")
    return explained(first, *others, scale=scale)


def silent(first: float, scale: float) -> float:
    """Scale a number.

    Parameters
    ----------
    first, factor : float
    """
    if not scale:
        raise FitError("no scale")
    return scale * first


def astray(first: float) -> None:
    """Do nothing; parameters as in `nowhere`."""


def entry_alone(first: float, scale: float) -> None:
    """Do nothing.

    Parameters
    ----------
    first
        As in `explained`.
    """


class Point:
    """A point."""

    def __init__(self, place: float) -> None:
        if place < 0:
            raise FitError("no place")


@pytest.mark.parametrize(
    ("thing", "found"),
    [
        (explained, []),
        (borrowed, []),
        (
            silent,
            [
                "scale is not explained",
                "factor is no parameter",
                "what it returns is not said",
                "FitError is not among what it raises",
            ],
        ),
        (astray, ["nothing is named nowhere", "first is not explained"]),
        (entry_alone, ["scale is not explained"]),
        (Point, ["place is not explained", "FitError is not among what it raises"]),
        (Point.__init__, ["no docstring"]),
    ],
)
def test_the_rule_finds_what_is_lacking(thing, found):
    assert faults(thing, sys.modules[__name__]) == found
