import pytest

from bayescale.errors import ModelError
from bayescale.laws import LAWS
from bayescale.spec import available_models, load_model, parse_model

GOOD = load_model("chinchilla").source

REFUSED = {
    "not TOML": (GOOD.replace("[priors]", "[priors"), "not valid TOML"),
    "unknown key": (
        GOOD.replace("[noise]", "[nose]"),
        r"unknown key 'nose'; did you mean 'noise'\?",
    ),
    "no law": (GOOD.replace('law = "chinchilla"', ""), "the key 'law' is missing"),
    "unknown law": (
        GOOD.replace('law = "chinchilla"', 'law = "chinchila"'),
        "unknown law 'chinchila'; did you mean 'chinchilla'",
    ),
    "prior of another law": (
        GOOD.replace("beta = { dist", "beat = { dist"),
        r"\[priors\]: unknown key 'beat'; did you mean 'beta'",
    ),
    "missing prior": (GOOD.replace("split = {", "# split = {"), r"\[priors\]: no prior for split"),
    "unknown distribution": (
        GOOD.replace(
            '"LogNormal", mu = -1.05, sigma = 0.5 }       # exponent of p',
            '"LogNorm", mu = -1.05, sigma = 0.5 }  # exponent of p',
        ),
        "alpha: unknown distribution 'LogNorm'; did you mean 'LogNormal'",
    ),
    "wrong argument": (
        GOOD.replace("mu = 1.163, sigma = 0.4", "mu = 1.163, sd = 0.4"),
        "level: Normal has no argument 'sd'",
    ),
    "missing argument": (
        GOOD.replace("mu = 1.163, sigma = 0.4", "mu = 1.163"),
        "level: Normal needs sigma",
    ),
    "negative scale": (
        GOOD.replace("mu = 1.163, sigma = 0.4", "mu = 1.163, sigma = -0.4"),
        "level: sigma must be positive, got -0.4",
    ),
    "text for a number": (GOOD.replace("mu = 1.163", 'mu = "1.163"'), "mu must be a finite number"),
    "infinite argument": (
        GOOD.replace("mu = 1.163", "mu = inf"),
        "mu must be a finite number, got inf",
    ),
    "prior that is a number": (
        GOOD.replace('{ dist = "Normal", mu = 1.163, sigma = 0.4 }', "1.163"),
        "level: a prior is written",
    ),
    "unknown noise": (
        GOOD.replace('"StudentT"', '"Student"'),
        "dist is 'Student'; did you mean 'StudentT'",
    ),
    "noise without nu": (GOOD.replace("nu = {", "# nu = {"), r"\[noise\]: no prior for nu"),
    "share that can leave (0, 1)": (
        GOOD.replace('"LogitNormal", mu = -0.2', '"Normal", mu = -0.2'),
        r"Normal can leave the range of reducible \(unit\); use LogitNormal or Beta",
    ),
    "exponent that can be negative": (
        GOOD.replace('alpha = { dist = "LogNormal"', 'alpha = { dist = "Normal"'),
        r"Normal can leave the range of alpha \(positive\)",
    ),
    "list for a law": (GOOD.replace('law = "chinchilla"', 'law = ["chinchilla"]'), "unknown law"),
    "list for a noise": (GOOD.replace('"StudentT"', '["StudentT"]'), "did you mean 'StudentT'"),
    "loss as the axis": (
        load_model("power-law").source.replace('axis = "flops"', 'axis = "loss"'),
        'axis = "tokens"',
    ),
    "axis for a joint law": ('axis = "tokens"\n' + GOOD, "remove the key 'axis'"),
    "no axis for a single-axis law": (
        load_model("power-law").source.replace("axis =", "# axis ="),
        'axis = "tokens"',
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_bad_model_file_is_refused_with_the_valid_choices(kind):
    text, message = REFUSED[kind]
    assert text not in (GOOD, load_model("power-law").source)
    with pytest.raises(ModelError, match=message):
        parse_model(text, "mine")


@pytest.mark.parametrize("name", available_models())
def test_shipped_model_states_a_prior_for_every_coordinate(name):
    spec = load_model(name)
    assert tuple(spec.priors) == spec.law.coordinates.names
    assert spec.summary.endswith(".")


def test_every_law_has_a_shipped_model():
    grouped = {"isoflop_profile"}  # its model file needs a group: the budget
    assert {load_model(name).law.name for name in available_models()} == set(LAWS) - grouped


def test_unknown_model_lists_the_known_ones():
    with pytest.raises(ModelError, match=r"did you mean 'kaplan'\?.*or a path to a .toml"):
        load_model("kaplna")


def test_own_file_is_read_by_its_path(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(load_model("power-law").source.replace('axis = "flops"', 'axis = "epochs"'))
    spec = load_model(path)
    assert (spec.name, spec.inputs) == ("mine", ("epochs",))


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(ModelError, match="cannot be read"):
        load_model(tmp_path / "none.toml")


def test_shape_ignores_numbers_and_sees_structure():
    other = parse_model(GOOD.replace("mu = 1.163", "mu = 2.0"), "other")
    assert other.shape == load_model("chinchilla").shape
    assert load_model("chinchilla-normal").shape != load_model("chinchilla").shape
    assert load_model("power-law").shape != load_model("power-law-tokens").shape
