"""Scaling laws, one file each; importing this package registers them all."""

from bayescale.laws.chinchilla import chinchilla
from bayescale.laws.isoflop_profile import isoflop_profile
from bayescale.laws.kaplan import kaplan
from bayescale.laws.law import LAWS, SUPPORT, Coordinates, Law, law, shares
from bayescale.laws.power_law import power_law
from bayescale.laws.pure_power_law import pure_power_law

__all__ = [
    "LAWS",
    "SUPPORT",
    "Coordinates",
    "Law",
    "chinchilla",
    "isoflop_profile",
    "kaplan",
    "law",
    "power_law",
    "pure_power_law",
    "shares",
]
