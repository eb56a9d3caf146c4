"""Scaling laws, one file each; importing this package finds them all."""

from importlib import import_module
from pkgutil import iter_modules

from bayescale.laws.law import (
    ACCURACY,
    AXIS,
    FLOPS,
    LAWS,
    LOSS,
    PARAMS,
    POSITIVE,
    REAL,
    SECOND_AXIS,
    TOKENS,
    UNIQUE_TOKENS,
    UNIT,
    Allocation,
    Coordinates,
    Input,
    Law,
    Parameter,
    Response,
    context,
    into_support,
    knob,
    largest,
    law,
    mixture,
    onto_line,
    positive_part,
    quantity,
    shares,
    size,
    total,
)

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
globals().update(LAWS)  # each law by its name, in place of the module it lives in

__all__ = [
    "ACCURACY",
    "AXIS",
    "FLOPS",
    "LAWS",
    "LOSS",
    "PARAMS",
    "POSITIVE",
    "REAL",
    "SECOND_AXIS",
    "TOKENS",
    "UNIQUE_TOKENS",
    "UNIT",
    "Allocation",
    "Coordinates",
    "Input",
    "Law",
    "Parameter",
    "Response",
    "context",
    "into_support",
    "knob",
    "largest",
    "law",
    "mixture",
    "onto_line",
    "positive_part",
    "quantity",
    "shares",
    "size",
    "total",
]
