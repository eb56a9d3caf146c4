"""A file of a fit is read as it was written, or not at all; and it reaches nothing beside it."""

import hashlib
import os
from dataclasses import replace
from functools import cache

import h5py
import numpy as np
import pytest
import xarray as xr
from conftest import known_fit, simulated_table

from bayescale import Runs, load_fit
from bayescale.errors import FitError
from bayescale.posterior.saved import read_tree, to_bytes


@cache
def content() -> bytes:
    fit = known_fit(draws=10)
    return replace(fit, runs=Runs(simulated_table().assign(run="a"), "runs.csv")).to_bytes()


def sealed(path):
    """Give a file that was changed the digest of what it is now: who means harm can."""
    written = path.read_bytes()
    whole = written.rpartition(b"\nsha256 ")[0] or written
    path.write_bytes(whole + b"\nsha256 " + hashlib.sha256(whole).hexdigest().encode())
    return path


@pytest.fixture
def path(tmp_path):
    own = tmp_path / "fit.nc"
    own.write_bytes(content())
    return own


def test_other_readers_of_netcdf_read_the_file(path):
    with xr.open_datatree(path, engine="h5netcdf") as opened:
        assert set(opened["posterior"].data_vars) >= {"E", "A", "B"}


def test_no_bit_changes_unnoticed(path):
    rng, whole = np.random.default_rng(1), content()
    for place in rng.integers(len(whole), size=50):
        changed = bytearray(whole)
        changed[place] ^= 1 << rng.integers(8)
        path.write_bytes(changed)
        with pytest.raises(FitError) as said:
            load_fit(path)
        assert str(path) in str(said.value)


@pytest.mark.parametrize("cut", [1, 64, 72, 73, 1000])
def test_no_end_is_lost_unnoticed(path, cut):
    path.write_bytes(content()[:-cut])
    with pytest.raises(FitError, match=r"digest .* is missing|not all of one|sha256 is another"):
        load_fit(path)


def external(file, folder):
    where = [(str(folder / "secret"), 0, 80)]
    del file["posterior/E"]
    file["posterior"].create_dataset("E", (1, 10), "f8", external=where)


def virtual(file, folder):
    layout = h5py.VirtualLayout((1, 10), "f8")
    layout[0] = h5py.VirtualSource(str(folder / "other.h5"), "x", (10,))
    del file["posterior/E"]
    file["posterior"].create_virtual_dataset("E", layout)


def linked_file(file, folder):
    file["posterior/more"] = h5py.ExternalLink(str(folder / "other.h5"), "x")


def soft(file, folder):
    file["posterior/more"] = h5py.SoftLink("/posterior/E")


def cycle(file, folder):
    file["posterior/again"] = file["/"]


def bomb(file, folder):
    file["posterior"].create_dataset("more", (10**12,), "f8", chunks=(10**6,))


def kind(file, folder):
    file["posterior/kind"] = np.dtype("f8")


ODD = {
    external: "the data of /posterior/E lie in another file",
    virtual: "the data of /posterior/E lie in another file",
    linked_file: "/posterior/more is a link",
    soft: "/posterior/more is a link",
    cycle: "/posterior/again is neither an array nor one of a fit's groups",
    bomb: "arrays to /posterior/more are far larger than the file",
    kind: "/posterior/kind is neither",
}


@pytest.mark.parametrize("change", ODD, ids=lambda change: change.__name__)
def test_what_reaches_beyond_the_file_is_refused_unread(path, tmp_path, change):
    (tmp_path / "secret").write_bytes(np.full(10, 42.0).tobytes())
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["x"] = np.full(10, 42.0)
    with h5py.File(path, "r+") as file:
        change(file, tmp_path)
    with pytest.raises(FitError, match=f"{ODD[change]}.*nothing of it was read"):
        load_fit(sealed(path))


def test_the_same_changes_are_read_by_who_does_not_look(path, tmp_path):
    """Negative control: what is refused above would have been read."""
    (tmp_path / "secret").write_bytes(np.full(10, 42.0).tobytes())
    with h5py.File(path, "r+") as file:
        external(file, tmp_path)
    with h5py.File(path) as file:
        assert (file["posterior/E"][:] == 42.0).all()


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in (tmp_path, tmp_path / "pipe", "/dev/zero", tmp_path / "none", tmp_path / "a\0b"):
        with pytest.raises(FitError, match="no such file"):
            load_fit(name)


def test_a_file_far_larger_than_the_memory_is_refused(tmp_path):
    path = tmp_path / "fit.nc"
    with path.open("wb") as file:
        file.write(content()[:8])
        file.truncate(2**43)
    with pytest.raises(FitError, match="not a netCDF file, or not all of one"):
        load_fit(path)


def test_a_law_in_another_folder_is_not_looked_for(path, tmp_path):
    (tmp_path / "evil.py").write_text("raise SystemExit('code ran')")
    tree, _ = read_tree(path)
    tree.attrs["model_spec"] = "law = '../evil'\n[priors]\n[noise]\n"
    own = tmp_path / "within" / "fit.nc"
    own.parent.mkdir()
    own.write_bytes(to_bytes(tree))
    with pytest.raises(FitError, match="unknown law"):
        load_fit(own)
