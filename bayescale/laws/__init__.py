"""Scaling laws, one file each; importing this package finds them all."""

from importlib import import_module
from pkgutil import iter_modules

from bayescale.laws.law import (
    LAWS,
    SUPPORT,
    Coordinates,
    Law,
    from_line,
    into_support,
    law,
    onto_line,
    positive_part,
    shares,
    to_line,
)

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
globals().update(LAWS)  # each law by its name, in place of the module it lives in

__all__ = [
    "LAWS",
    "SUPPORT",
    "Coordinates",
    "Law",
    "from_line",
    "into_support",
    "law",
    "onto_line",
    "positive_part",
    "shares",
    "to_line",
]
