"""Writing files so that nothing the user had is lost, and JSON that every reader takes."""

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bayescale.errors import BayescaleError

SCHEMA = 2
"""Version of all JSON that is written, which holds it. It rises when a field gets another meaning,
or goes, or is new: schemas allow no others. The first edition wrote 1."""


def make_folder(folder: Path) -> None:
    """Make a folder and its parents where they do not exist, and see that it can be written to.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    BayescaleError
        If it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{os.getpid()}.probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise BayescaleError(
            f"{folder} cannot be made a folder of files ({error.strerror}); name another"
        ) from error


def make_room(path: Path) -> None:
    """Make the folder of a file that will be written, and see that it can be: before long work.

    Parameters
    ----------
    path : Path

    Raises
    ------
    BayescaleError
        If it cannot be written there.
    """
    _refuse_folder(path)
    make_folder(path.parent)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary file beside `path`; it takes the place of `path` only if the block succeeds.

    Parameters
    ----------
    path : Path

    Yields
    ------
    Path
        Of the temporary file.

    Raises
    ------
    BayescaleError
        If the folder does not exist or cannot be written to.
    """
    _refuse_folder(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.touch()
    except OSError as error:
        raise BayescaleError(
            f"{path} cannot be written ({error.strerror}); name another place"
        ) from error
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def plain(value: Any) -> Any:
    """Write None for what JSON has no number for: infinite, or not defined.

    Parameters
    ----------
    value : object
        Numbers, text, and lists, tuples and dicts of these.

    Returns
    -------
    object
        The same; tuples become lists.
    """
    if isinstance(value, dict):
        return {name: plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def to_json(value: Any) -> str:
    """Write JSON, null for what it has no number for.

    Parameters
    ----------
    value : object
        As in `plain`.

    Returns
    -------
    str
    """
    return json.dumps(plain(value), indent=1, allow_nan=False)


def _refuse_folder(path: Path) -> None:
    if path.is_dir():
        raise BayescaleError(f"{path} is a folder; name a file in it")
