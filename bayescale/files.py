"""Writing files so that nothing the user had is lost, and text that every reader takes."""

import json
import math
import os
import secrets
import stat
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from bayescale.errors import BayescaleError

SCHEMA = 2
"""Version of all JSON that is written, which holds it. It rises when a field gets another meaning,
or goes, or is new: schemas allow no others. The first edition wrote 1."""

PICTURES = (".png", ".pdf", ".svg", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".eps", ".ps")
"""Endings of pictures that can be written."""

_STREAMS = ("/dev/null", "/dev/stdout", "/dev/stderr")
_PARTIAL = ".bayescale-partial"  # what no other program calls its files
_MOST_TEXT, _MOST_DOTS = 1_000_000, 100  # of TOML, and of a line of it


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
        tempfile.TemporaryFile(dir=folder).close()
    except (OSError, ValueError) as error:
        raise BayescaleError(
            f"{folder} cannot be made a folder of files ({_why(error)}); name another"
        ) from error


def make_room(path: Path, kinds: tuple[str, ...] = ()) -> None:
    """Make the folder of a file that will be written, and see that it can be: before long work.

    Parameters
    ----------
    path : Path
    kinds : tuple of str, optional
        Endings that its name may have, beside none.

    Raises
    ------
    BayescaleError
        If it cannot be written there.
    """
    if kinds and path.suffix and path.suffix.lower() not in kinds:
        raise BayescaleError(f"{path}: no picture ends so; name one of {', '.join(kinds)}")
    if not _is_stream(path):
        make_folder(_behind_links(path).parent)


def write(path: Path, content: str | bytes) -> None:
    """Write a file, replacing an old one only when the new one is complete.

    Parameters
    ----------
    path : Path
    content : str or bytes
        Text becomes UTF-8.

    Raises
    ------
    BayescaleError
        As for `write_together`.
    """
    write_together({path: content})


def write_together(contents: Mapping[Path, str | bytes]) -> None:
    """Write files of which each is on the disk before any takes the place of an old one.

    Links are followed, and a file keeps its permissions. What is no file but a stream, a pipe or
    ``/dev/stdout``, is written to as it is. What killed processes have left of such files in the
    same folders is removed.

    Parameters
    ----------
    contents : mapping of Path to str or bytes
        Text becomes UTF-8.

    Raises
    ------
    BayescaleError
        If one cannot be written: then all old ones are as they were.
    """
    with ExitStack() as held:
        partials = {}
        for path, content in contents.items():
            encoded = content.encode() if isinstance(content, str) else content
            with _refusing(path):
                if _is_stream(path):
                    with path.open("ab") as stream:
                        stream.write(encoded)
                else:
                    partials[path] = held.enter_context(_partial(_behind_links(path), encoded))
        for path, partial in partials.items():
            with _refusing(path):
                partial.replace(_behind_links(path))


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


def from_toml(text: str) -> dict[str, Any]:
    """Read TOML that people write.

    Parameters
    ----------
    text : str

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        If it is no TOML; if it is so long, so deep or has keys of so many parts that reading it
        takes longer than any file that people write.
    """
    if len(text) > _MOST_TEXT:
        raise ValueError(f"{len(text)} characters; write at most {_MOST_TEXT}")
    for number, line in enumerate(text.splitlines(), 1):
        if line.count(".") > _MOST_DOTS:  # the time of a dotted key goes with the square
            raise ValueError(f"line {number} has {line.count('.')} dots; write it as several lines")
    try:
        found = tomllib.loads(text)
        for number in _integers(found):
            if not -(2**63) <= number < 2**63:
                raise ValueError("an integer has more than 64 bits; write it as 1e30")
    except RecursionError:
        raise ValueError("arrays or tables within hundreds of others; write fewer") from None
    return found


def _integers(value: Any) -> Iterator[int]:
    if isinstance(value, dict | list):
        for entry in value.values() if isinstance(value, dict) else value:
            yield from _integers(entry)
    elif isinstance(value, int):
        yield value


@contextmanager
def _partial(target: Path, content: bytes) -> Iterator[Path]:
    """Write a file beside another, with its permissions, and hold it until it is in its place."""
    _remove_partials(target.parent)
    path, file = _created(target)
    with file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            if sys.platform == "win32":  # where a file that is open cannot be renamed
                file.close()
            yield path
        finally:
            path.unlink(missing_ok=True)


def _created(target: Path) -> tuple[Path, IO[bytes]]:
    """Make an empty file beside another, which other processes do not take for left over."""
    old = target.stat() if target.exists() else None
    while True:
        path = target.with_name(f".{target.name[:40]}.{secrets.token_hex(4)}{_PARTIAL}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        file = os.fdopen(os.open(path, flags, 0o600 if old else 0o666), "wb")
        with suppress(OSError):  # file systems of clusters may have no locks
            _hold(file, wait=True)
        if os.fstat(file.fileno()).st_nlink:
            break
        file.close()  # it was removed before it was held
    if old is not None:
        if hasattr(os, "chown"):
            with suppress(OSError):  # only root writes the files of others
                os.chown(path, old.st_uid, old.st_gid)
        path.chmod(stat.S_IMODE(old.st_mode))
    return path, file


def _remove_partials(folder: Path) -> None:
    """Remove what processes that were killed have left: files of ours that nobody holds."""
    with os.scandir(folder) as entries:
        left = [entry.path for entry in entries if entry.name.endswith(_PARTIAL)]
    for path in left:
        with suppress(OSError), open(path, "rb+") as file:
            _hold(file, wait=False)
            os.unlink(path)


def _hold(file: IO[bytes], *, wait: bool) -> None:
    """Lock a file; OSError where that cannot be told, or another process holds it."""
    if sys.platform != "win32":  # there nobody can remove a file that is open
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def _is_stream(path: Path) -> bool:
    """Tell streams, which are written to, from files, which are replaced; refuse all else."""
    if {str(path), os.path.realpath(path)} & set(_STREAMS):
        return True
    with _refusing(path):
        mode = path.stat().st_mode if path.exists() else stat.S_IFREG
    if stat.S_ISDIR(mode):
        raise BayescaleError(f"{path} is a folder; name a file in it")
    if not stat.S_ISREG(mode) and not stat.S_ISFIFO(mode):
        raise BayescaleError(f"{path} is a device; name a file, or one of {', '.join(_STREAMS)}")
    return stat.S_ISFIFO(mode)


def _behind_links(path: Path) -> Path:
    """Follow links to the file that will be replaced; refuse one that must not be."""
    target = Path(os.path.realpath(path)) if path.is_symlink() else path  # as it was typed
    if target.is_symlink():
        raise BayescaleError(f"{path} is a link that leads back to itself; name another place")
    if target.exists() and not os.access(target, os.W_OK):
        raise BayescaleError(f"{path} is protected against writing; name another place")
    return target


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise BayescaleError(f"{path} cannot be written ({_why(error)}); name another place") from (
            error
        )


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
