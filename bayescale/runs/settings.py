"""Which columns of a table are settings of its runs: what was chosen, not what came out."""

import re

import numpy as np
import pandas as pd

_NO_SETTING = re.compile(
    r"""  # names and book-keeping, what came out, what others made of it
    (run|id|uuid|seed|replicate|rep|repeat|trial|job|index|row|tag|note|comment|date|day|time
    |timestamp|created|updated|started|host|hostname|machine|node|author|status|sha|commit|hash
    |checkpoint
    |loss|losses|acc|accuracy|error|ppl|perplexity|bpb|bpc|nll|score|metric|correct|chance
    |runtime|second|minute|hour|duration|throughput|mfu|memory
    |outlier|duplicate|duplicated|diverged|excluded|suspect|flag|flagged|ambiguous|uncertain
    |noted|finished|best|paper|upstream)s?
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""Words in the name of a column that is no setting, whatever it holds."""

_WHOLE = (
    *("name", "user", "state", "weight"),  # but weight_decay and state_size are settings
    *("flops", "portion_of_schedule", "mid_schedule", "trained"),  # as the package reads them
)
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_DATE = r"\d{4}-\d{2}-\d{2}"


def settings(table: pd.DataFrame) -> tuple[str, ...]:
    """Name the columns that say how a run was made.

    A setting takes few values, which runs share: on average two runs or more have each of them.
    Names, seeds, dates, losses and scores are none, by the words in the name of their column.

    Parameters
    ----------
    table : pandas.DataFrame
        Of runs.

    Returns
    -------
    tuple of str
    """
    return tuple(str(name) for name in table if _is_setting(str(name), table[name]))


def _is_setting(name: str, values: pd.Series) -> bool:
    if name.lower() in _WHOLE or any(map(_NO_SETTING.fullmatch, _WORDS.findall(name))):
        return False
    known = values.dropna()
    if pd.api.types.is_datetime64_any_dtype(known) or not is_plain(known):
        return False
    if known.nunique() > len(known) / 2:
        return False
    return not (is_categorical(known) and known.astype(str).str.match(_DATE).all())


def is_plain(values: pd.Series) -> bool:
    """Whether values are text, bools or numbers: lists and the like cannot be compared.

    Parameters
    ----------
    values : pandas.Series

    Returns
    -------
    bool
    """
    return bool(values.dtype != object or values.map(np.isscalar).all())


def is_categorical(values: pd.Series) -> bool:
    """Whether values are kinds and no numbers.

    Parameters
    ----------
    values : pandas.Series

    Returns
    -------
    bool
    """
    if pd.api.types.is_bool_dtype(values):
        return True
    return bool(pd.to_numeric(values.dropna(), errors="coerce").isna().any())
