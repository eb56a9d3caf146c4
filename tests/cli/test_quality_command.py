"""Corpora and filters from the shell."""

import json

import pytest

CONSTANTS = (
    "data-constrained: E=1.8, A=400, B=1500, alpha=0.34, beta=0.36, R_D=15.3878, R_N=5, r_N=0"
)
ASK = ("quality", CONSTANTS, "--params", "7B", "--tokens", "3T,30T")
CORPORA = ("--corpus", "web=1e12:1,scraped=4T:0.5")
FILTERS = ("--filter", "0.1=1,1=0.6", "--unique-tokens", "5T")


def test_corpora_and_filters_from_the_shell(run, tmp_path):
    code, out, err = run(*ASK, *CORPORA, *FILTERS, "--quality", "0.8", "--plots", "made")
    assert code == 0, err
    assert out.startswith("7B parameters on 3T tokens: web 3.00 epochs, no scraped.")
    assert "80% after 3.43 repetitions of the best" in out
    assert {path.name for path in (tmp_path / "made").iterdir()} == {"corpora.png", "filters.png"}


def test_quality_as_json(run):
    code, out, err = run(*ASK, *CORPORA, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert [own["tokens"] for own in found["corpora"]] == [3e12, 3e13]
    assert found["filters"] == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "filters (--filter 0.3=0.9,1=0.6), or qualities (--quality 0.8,0.5)"),
        (("--corpus", "web=1e12"), "web=1e12:1"),
        (("--corpus", "web=1e12:2"), "the best data have 1"),
        (("--filter", "0.3=0.9"), "belong together"),
        ((*CORPORA, "--params", "1B"), "one number each"),
    ],
)
def test_questions_that_are_refused(run, options, said):
    code, _, err = run(*ASK, *options)
    assert code == 2
    assert said in err


def test_tokens_are_needed_for_corpora(run):
    code, _, err = run("quality", CONSTANTS, "--params", "7B", *CORPORA)
    assert (code, "--tokens 3e12" in err) == (2, True)
