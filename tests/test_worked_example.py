"""The example of `docs/own-laws.md`: from a table with columns of its own to an answer."""

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayescale as bs
from bayescale.laws import LAWS

OWN = Path(__file__).parent / "own_laws"
PAGE = (Path(__file__).parents[1] / "docs" / "own-laws.md").read_text("utf-8")
WORTH = 0.6


def synthetic_table() -> pd.DataFrame:
    """Runs in which a synthetic token is worth 0.6 others."""
    tokens, percent = (v.ravel() for v in np.meshgrid([1, 3, 10, 30, 100], [0, 25, 50, 75]))
    useful = tokens * (1 - percent / 100 + WORTH * percent / 100)
    noise = np.exp(0.003 * np.random.default_rng(3).standard_normal(len(tokens)))
    loss = (1.9 + 1.5 * useful**-0.3) * noise
    return pd.DataFrame({"D (B)": tokens, "synthetic %": percent, "val_loss": loss})


def blocks() -> tuple[str, str]:
    """The law and the answer, as the page shows them."""
    after = PAGE[PAGE.index("## From a table to an answer") :]
    law, answer = re.findall(r"```python\n(.*?)```", after, re.DOTALL)[:2]
    return law, answer


def test_page_shows_the_files_whole():
    law, _ = blocks()
    assert law == (OWN / "synthetic_law.py").read_text("utf-8")
    shown = "".join(re.findall(r"^ {4}(.*\n)|^(?=\n)", PAGE, re.MULTILINE))
    for line in (OWN / "synthetic.toml").read_text("utf-8").splitlines(keepends=True):
        assert line == "\n" or line in shown


@pytest.mark.slow
def test_answer_of_the_page_holds_the_truth(tmp_path, monkeypatch, capsys):
    for name in ("synthetic_law.py", "synthetic.toml"):
        shutil.copy(OWN / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    synthetic_table().to_csv("synthetic.csv", index=False)
    known, given = set(LAWS), {"bs": bs}
    exec(compile(blocks()[1], "docs/own-laws.md", "exec"), given)
    for name in set(LAWS) - known:
        del LAWS[name]
    low, _, high = map(float, re.findall(r"[\d.]+", capsys.readouterr().out.splitlines()[0]))
    assert low < WORTH < high
    assert high - low < 0.2
    whole, part = (1.9 + 1.5 * (100 * own) ** -0.3 for own in (1.0, 1 - 0.4 + WORTH * 0.4))
    ends = given["cost"].quantile([0.02, 0.98])
    assert ends[0] < part - whole < ends[1]
