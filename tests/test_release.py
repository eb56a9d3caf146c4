"""One version everywhere, and a citation that says it."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]


def cited(key: str) -> str:
    """Value of a key at the top of the citation."""
    text = (ROOT / "CITATION.cff").read_text("utf-8")
    return re.findall(rf"^{key}: (.*)$", text, re.MULTILINE)[0].strip('"')


def released() -> list[tuple[str, str]]:
    """Versions and dates of the changelog, from its top."""
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    return re.findall(r"^## (\S+) - (\d{4}-\d{2}-\d{2})$", text, re.MULTILINE)


def test_changelog_and_citation_are_of_this_version():
    assert released()[0] == (VERSION, cited("date-released"))
    assert cited("version") == VERSION
    assert cited("license") == "Apache-2.0"


def test_changelog_goes_back_in_time():
    dates = [date for _, date in released()]
    assert dates == sorted(dates, reverse=True)
    assert released()[-1][0] == "0.1.0"
