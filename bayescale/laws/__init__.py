"""Scaling laws, one file each; importing this package registers them all."""

from bayescale.laws.chance_level import chance_level
from bayescale.laws.chinchilla import chinchilla
from bayescale.laws.coupled import coupled
from bayescale.laws.data_constrained import data_constrained
from bayescale.laws.data_constrained_published import data_constrained_published
from bayescale.laws.farseer import farseer
from bayescale.laws.isoflop_profile import isoflop_profile
from bayescale.laws.kaplan import kaplan
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
from bayescale.laws.power_law import power_law
from bayescale.laws.pure_power_law import pure_power_law

__all__ = [
    "LAWS",
    "SUPPORT",
    "Coordinates",
    "Law",
    "chance_level",
    "chinchilla",
    "coupled",
    "data_constrained",
    "data_constrained_published",
    "farseer",
    "from_line",
    "into_support",
    "isoflop_profile",
    "kaplan",
    "law",
    "onto_line",
    "positive_part",
    "power_law",
    "pure_power_law",
    "shares",
    "to_line",
]
