"""Losses in one unit: nats per token, wherever what the table has can be told in it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayescale.errors import RunsError
from bayescale.runs.check import Check, doubt

NATS = "nats per token"
UNITS = {
    "nats": NATS,
    "bits": "bits per token",
    "bpb": "bits per byte",
    "bpc": "bits per character",
    "ppl": "perplexity",
}
"""What losses may be given in, and what it is called."""

UNLIKELY = 12.5
"""Nats per token: the log of 268,000, more than a guess among any usual vocabulary costs."""

_BITS_OF_A_MODEL = 3.0  # bits per byte; a model that says nothing of text needs about 5
_PERPLEXITY_OF_A_MODEL = 4.0  # of text, by token


@dataclass(frozen=True)
class LossUnit:
    """What losses of a table are given in.

    Parameters
    ----------
    kind : str
        One of `UNITS`.
    length : float or None
        Bytes or characters per token, for "bpb" and "bpc".
    source : str
        Who says so, for the ledger.
    """

    kind: str
    length: float | None
    source: str

    @property
    def label(self) -> str:
        """Unit in which losses are after `to_nats`."""
        return UNITS[self.kind] if self.kind in ("bpb", "bpc") and not self.length else NATS

    @property
    def ledger(self) -> str:
        """What is done to losses, one sentence."""
        parts = UNITS[self.kind].split()[-1]
        per = f" at {self.length:g} {parts}s per token" if self.length else ""
        unit = f"losses are in {UNITS[self.kind]}{per}, {self.source}"
        return unit if UNITS[self.kind] == self.label else f"{unit}: made {self.label}"

    def to_nats(self, losses: pd.Series) -> pd.Series:
        """Convert to nats per token, or leave as they are where that takes a length of tokens.

        Parameters
        ----------
        losses : pandas.Series

        Returns
        -------
        pandas.Series
        """
        if self.kind == "ppl":
            return np.log(losses.where(losses > 0)).fillna(losses)  # what is none is refused later
        if self.kind == "bits" or self.length:
            return losses * np.log(2) * (self.length or 1.0)
        return losses


def loss_unit_of(stated: str | None, column: str | None, named: str | None) -> LossUnit | None:
    """Read the unit of losses from what was stated, or else from the name of their column.

    Parameters
    ----------
    stated : str or None
        "nats", "bits", "bpb", "bpb:BYTES_PER_TOKEN", "bpc", "bpc:CHARACTERS_PER_TOKEN" or "ppl".
    column : str or None
        Name of the column.
    named : str or None
        Unit that the name states.

    Returns
    -------
    LossUnit or None
        None where nobody says: they are taken for nats per token.

    Raises
    ------
    RunsError
        For another unit.
    """
    if stated is None:
        return LossUnit(named, None, f"as the name {column!r} says") if named else None
    kind, colon, text = stated.partition(":")
    length = pd.to_numeric(text, errors="coerce") if colon else None
    fits = length is None or (kind in ("bpb", "bpc") and 0 < length < np.inf)
    if kind not in UNITS or not fits:
        raise RunsError(
            f"losses cannot be in {stated!r}",
            "Write nats, bits, bpb, bpb:BYTES_PER_TOKEN, bpc, bpc:CHARACTERS_PER_TOKEN or ppl, "
            "e.g. --loss-unit bpb:4.3.",
        )
    return LossUnit(kind, None if length is None else float(length), "as stated")


def require_no_perplexity(losses: pd.Series, unit: LossUnit | None) -> None:
    """Refuse losses that are no nats per token, unless their unit is known.

    Parameters
    ----------
    losses : pandas.Series
    unit : LossUnit or None

    Raises
    ------
    RunsError
        For those whose unit nobody stated.
    """
    median = losses.median()
    if unit is None and median > UNLIKELY:
        raise RunsError(
            f"the median loss is {median:.3g}, too much for nats per token, of which a guess among "
            "100,000 tokens costs 11.5",
            'If losses are perplexities pass --loss-unit ppl (in Python loss_unit="ppl"), if they '
            "are in nats all the same --loss-unit nats, and --column loss=YOURS if it is another "
            "column.",
        )


def doubts_of(given: pd.Series, unit: LossUnit | None) -> list[Check]:
    """Doubt losses that do not look like their unit.

    Parameters
    ----------
    given : pandas.Series
        As the table has them.
    unit : LossUnit or None

    Returns
    -------
    list of Check
    """
    median = given.median()
    low = unit is not None and unit.kind == "ppl" and median < _PERPLEXITY_OF_A_MODEL
    high = unit is not None and unit.kind in ("bpb", "bpc") and median > _BITS_OF_A_MODEL
    if unit is None or not (low or high):
        return []
    return [
        doubt(
            "another unit of losses?",
            f"the median {UNITS[unit.kind]} is {median:.3g}, "
            + ("less than models of language reach" if low else "more than compressed text takes"),
            'If losses are in nats per token, pass --loss-unit nats (in Python loss_unit="nats").',
        )
    ]
