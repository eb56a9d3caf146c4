"""Tables to work on: the embedded sweep, and published tables by address and sha256."""

import hashlib
import io
import json
import os
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from bayescale.errors import DatasetError
from bayescale.publishers import TIDY, Published
from bayescale.readable import did_you_mean
from bayescale.tables import Table

FOLDER_VARIABLE = "BAYESCALE_DATA"
"""Environment variable: a folder that holds the published tables, for work without network."""

EMBEDDED = {
    "minisweep": "our own sweep: small transformers and LSTMs on isoFLOP grids, repeated data",
    "minisweep_checkpoints": "losses of the larger runs of that sweep during training",
}
"""Tables inside the package: name to summary."""


@lru_cache
def registry() -> dict[str, Published]:
    """Return the published tables by name."""
    text = (files("bayescale") / "data" / "registry.json").read_text("utf-8")
    return {name: Published(**entry) for name, entry in json.loads(text).items()}


def available_datasets() -> dict[str, str]:
    """Names of all tables with a one-line summary."""
    return {**EMBEDDED, **{name: entry.summary for name, entry in registry().items()}}


def load_dataset(name: str) -> Table:
    """Load a table by name, ready for `bayescale.read_runs` where it holds training runs.

    ``minisweep`` is inside the package. Published tables come from the folder that the environment
    variable ``BAYESCALE_DATA`` names. Without it ``chinchilla``, ``learning_curves_language``,
    ``misfitting`` and ``misfitting_checkpoints`` are downloaded once from their publishers,
    checked by sha256 and kept in pooch's cache.

    Returns
    -------
    pandas.DataFrame
        Its ``attrs`` say where it came from.

    Raises
    ------
    DatasetError
        For an unknown name, a file with another digest than the registry's, or no network.
    """
    if name in EMBEDDED:
        content = (files("bayescale") / "data" / f"{name}.csv").read_bytes()
        return _named(content, f"the embedded table {name}")
    if name not in registry():
        raise DatasetError(
            f"unknown table {name!r}; {did_you_mean(name, list(available_datasets()))}"
        )
    entry = registry()[name]
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder is not None:
        return _named(_checked(Path(folder) / entry.file, entry.sha256), entry.file)
    if name not in TIDY:
        raise DatasetError(
            f"{name}: this version cannot make the table from its publisher's files "
            f"({entry.upstream_url}); put {entry.file} into a folder and name it in "
            f"{FOLDER_VARIABLE}"
        )
    upstream = _named(Path(_download(entry)).read_bytes(), entry.upstream_url)
    table = TIDY[name](upstream, entry)
    if len(table) != entry.rows:
        raise DatasetError(
            f"{entry.upstream_url} makes {len(table)} rows instead of {entry.rows}: not the table "
            "this version reads"
        )
    table.attrs = upstream.attrs
    return table


def _named(content: bytes, source: str) -> Table:
    """Parse a CSV and let the table say where it came from."""
    import pandas as pd

    table = pd.read_csv(io.BytesIO(content))
    table.attrs = {"source": source, "sha256": hashlib.sha256(content).hexdigest()}
    return table


def _checked(path: Path, sha256: str) -> bytes:
    if not path.is_file():
        raise DatasetError(f"{path.name} is not in the folder that {FOLDER_VARIABLE} names")
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256:
        raise DatasetError(
            f"{path.name} in {FOLDER_VARIABLE} is not the registered table: sha256 "
            f"{digest[:12]}..., expected {sha256[:12]}...; fetch it again"
        )
    return content


def _download(entry: Published) -> str:
    import pooch

    try:
        return pooch.retrieve(
            entry.upstream_url,
            known_hash=f"sha256:{entry.upstream_sha256}",
            path=pooch.os_cache("bayescale"),
            progressbar=False,
        )
    except (OSError, ValueError) as error:
        offline = isinstance(error, OSError)
        reason = "no network?" if offline else str(error).splitlines()[0]
        raise DatasetError(
            f"{entry.upstream_url} could not be fetched ({reason}); without network, put "
            f"{entry.file} into a folder and name it in {FOLDER_VARIABLE}"
        ) from error
