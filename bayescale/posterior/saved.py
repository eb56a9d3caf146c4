"""The file of a fit: netCDF and the digest of it, and what a file must not hold to be read."""

import hashlib
import io
import shlex
from collections.abc import Iterator
from pathlib import Path

import h5py
import xarray as xr

from bayescale.errors import FitError, RunsError, reason
from bayescale.runs.reading import kind_of

_SIGNATURE = b"\x89HDF\r\n\x1a\n"  # begins every such file
_SEAL = b"\nsha256 "  # readers of HDF5 stop before it
_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
_MOST_TIMES, _MOST_BYTES = 20, 1_000_000  # of the file, that its arrays may be in memory


def to_bytes(tree: xr.DataTree) -> bytes:
    """Write draws as the content of a file, with its digest at the end.

    In memory, for HDF5 ends the process where a disk is full.

    Parameters
    ----------
    tree : xarray.DataTree

    Returns
    -------
    bytes
    """
    content = bytes(tree.to_netcdf(engine="h5netcdf"))
    return content + _SEAL + hashlib.sha256(content).hexdigest().encode()


def read_tree(path: Path) -> tuple[xr.DataTree, bool]:
    """Read what `to_bytes` wrote, or a netCDF file without a digest.

    Parameters
    ----------
    path : Path

    Returns
    -------
    tree : xarray.DataTree
    sealed : bool
        Whether it has a digest, and is what was written.

    Raises
    ------
    FitError
        If it is no netCDF file, not as it was written, or holds what no fit does: data that lie in
        other files, links, groups in groups, arrays that are far larger than the file.
    """
    content = _content(path)
    end = content.rfind(_SEAL, -len(_SEAL) - 64)
    sealed = end >= 0
    if sealed:
        said, content = content[end + len(_SEAL) :], content[:end]
        if hashlib.sha256(content).hexdigest().encode() != said:
            raise FitError(
                f"{path}: the file is not as it was written: its sha256 is another; take a copy "
                "that is whole, or fit the runs again"
            )
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            odd = next(_odd(file, _MOST_TIMES * len(content) + _MOST_BYTES), "")
        if odd:
            raise FitError(
                f"{path}: {odd}, which no fit holds, and nothing of it was read; give a file that "
                "fit.save or bayescale fit wrote"
            )
        with xr.open_datatree(io.BytesIO(content), engine="h5netcdf") as opened:
            return opened.load(), sealed
    except FitError:
        raise
    except Exception as error:  # HDF5 that is damaged fails in any way
        raise _damaged(path, error) from error


def _content(path: Path) -> bytes:
    """Read the bytes of a file that may be netCDF."""
    if not path.is_file():
        raise FitError(f"{path}: no such file")
    try:
        with path.open("rb") as file:
            begin = file.read(len(_SIGNATURE))
            if begin != _SIGNATURE:
                _require_no_table(path)
                raise ValueError("it does not begin as HDF5 does")
            return begin + file.read()
    except (OSError, ValueError, MemoryError) as error:
        raise _damaged(path, error) from error


def _require_no_table(path: Path) -> None:
    """Say how a table of runs becomes a fit, where one is given in its place."""
    try:
        kind_of(path)
    except RunsError:
        return
    raise FitError(
        f"{path}: a table, not a fit",
        f"Fit it first, bayescale fit {shlex.quote(str(path))} --out fit.nc, and give fit.nc "
        f"(in Python bs.fit({str(path)!r})).",
    )


def _damaged(path: Path, error: Exception) -> FitError:
    return FitError(
        f"{path}: not a netCDF file, or not all of one ({reason(error)}); give a file that "
        "fit.save or bayescale fit wrote to its end"
    )


def _odd(file: h5py.File, room: int) -> Iterator[str]:
    """Say what no fit holds: it would read other files, never end, or fill the memory."""
    groups = [file]
    for depth, group in enumerate(groups):
        for name in group:
            where = f"{group.name.rstrip('/')}/{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                yield f"{where} is a link"
                continue
            entry = group[name]
            if isinstance(entry, h5py.Dataset):
                room -= entry.size * entry.dtype.itemsize
                yield from _odd_array(entry, where)
            elif depth or not isinstance(entry, h5py.Group):
                yield f"{where} is neither an array nor one of a fit's groups"
            else:
                groups.append(entry)
            if room < 0:
                yield f"its arrays to {where} are far larger than the file"


def _odd_array(entry: h5py.Dataset, where: str) -> Iterator[str]:
    if entry.external or entry.is_virtual:
        yield f"the data of {where} lie in another file"
    made = entry.id.get_create_plist()
    filters = {made.get_filter(number)[0] for number in range(made.get_nfilters())}
    if filters - _FILTERS:
        yield f"{where} needs a filter"
