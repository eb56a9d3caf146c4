"""Fits that earlier versions wrote are read, and say what they said.

Each file of `tests/golden/formats` was written by `write_fit.py` there, by the last version that
wrote this format.
"""

import gzip
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from bayescale import answer_optima, load_fit
from bayescale.posterior.fit import FORMAT

FILES = Path(__file__).parents[1] / "golden" / "formats"
MEDIANS = {
    3: {"E": 1.727713060164067, "alpha": 0.33858506532947635},
    4: {"E": 1.6982177960988667, "alpha": 0.31888266729629716},
}
"""Of the draws in each file, as h5py reads them."""


def unpacked(number: int, folder: Path) -> Path:
    path = folder / f"format-{number}.nc"
    path.write_bytes(gzip.decompress((FILES / f"{path.name}.gz").read_bytes()))
    return path


def test_every_format_but_the_one_that_is_written_has_a_file():
    names = [path.name for path in FILES.glob("*.gz")]
    found = {int(number) for name in names for number in re.findall(r"format-(\d+)", name)}
    assert found == set(MEDIANS) == set(range(3, FORMAT))


@pytest.mark.parametrize("number", MEDIANS)
def test_a_fit_of_an_earlier_format_is_read_and_written_anew(number, tmp_path):
    path = unpacked(number, tmp_path)
    with xr.open_datatree(path, engine="h5netcdf") as tree:
        assert tree.attrs["format"] == number
    found = load_fit(path)
    for name, median in MEDIANS[number].items():
        assert float(found.posterior[name].median()) == pytest.approx(median, rel=1e-12)
    assert list(found.runs.table["optimizer"]) == ["adam"] * 9
    assert [problem[:5] for problem in found.problems] == ["R-hat", "only "]
    found.save(tmp_path / "again.nc")
    again = load_fit(tmp_path / "again.nc")
    first, second = (answer_optima(one, [1e21]).to_json() for one in (found, again))
    assert first == second
    np.testing.assert_array_equal(again.posterior["alpha"], found.posterior["alpha"])
