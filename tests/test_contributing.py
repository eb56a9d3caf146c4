"""CONTRIBUTING names every module of the package, each on a line of its own, and none else."""

import re
from pathlib import Path

import bayescale

PACKAGE = Path(bayescale.__file__).parent
GUIDE = Path(__file__).parents[1] / "CONTRIBUTING.md"


def listed(guide: str) -> list[str]:
    """Modules that the list of rooms names: a heading for each room, a line for each module."""
    _, *rooms = guide.split("## Rooms and modules")[1].split("\n## ")[0].split("\n### `")
    names = []
    for room in rooms:
        folder = "" if room.startswith("bayescale`") else room[: room.index("`")]
        names += [folder + name for name in re.findall(r"^- `(\w+)`: \S", room, re.MULTILINE)]
    return names


def modules() -> list[str]:
    """Modules of the package; of laws, which are found by being there, the one about all."""
    paths = [path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py")]
    names = [path.as_posix() for path in paths if not path.name.startswith("__")]
    return [name for name in names if not name.startswith("laws/") or name == "laws/law"]


def test_every_module_has_one_line():
    assert sorted(listed(GUIDE.read_text("utf-8"))) == sorted(modules())


def test_a_module_without_a_line_is_missed():
    without = re.sub(r"^- `cells`: .*\n", "", GUIDE.read_text("utf-8"), flags=re.MULTILINE)
    assert set(modules()) - set(listed(without)) == {"runs/cells"}
