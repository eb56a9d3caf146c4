import re
from dataclasses import replace

import numpy as np
import pytest
from conftest import simulated_table

from bayescale.errors import ModelError
from bayescale.laws import LAWS, POSITIVE, context
from bayescale.modelling.build import model_data
from bayescale.modelling.spec import available_models, load_model, parse_model
from bayescale.runs.table import read_runs

GOOD = load_model("chinchilla").source
LEVEL = 'level = { dist = "Normal", about = "runs", mu = 0.0, sigma = 0.5 }'
GROUPED = load_model("chinchilla-hierarchical").source
POOL = load_model("joint").source
SIZE_ERROR = "\n[size_error]\nsd = 0.002\nlength = 0.15\n"

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
        GOOD.replace("mu = 0.0, sigma = 0.5", "mu = 0.0, sd = 0.5"),
        "level: Normal has no argument 'sd'",
    ),
    "missing argument": (
        GOOD.replace("mu = 0.0, sigma = 0.5", "mu = 0.0"),
        "level: Normal needs sigma",
    ),
    "negative scale": (
        GOOD.replace("mu = 0.0, sigma = 0.5", "mu = 0.0, sigma = -0.5"),
        "level: sigma must be positive, got -0.5",
    ),
    "text for a number": (GOOD.replace("mu = 0.0", 'mu = "0.0"'), "mu must be a finite number"),
    "infinite argument": (
        GOOD.replace("mu = 0.0", "mu = inf"),
        "mu must be a finite number, got inf",
    ),
    "logarithm of no number": (
        GOOD.replace("mu = -1.05", "mu = 1e300"),
        r"alpha: mu of a LogNormal .* no number has the logarithm 1e\+300; write one from -700",
    ),
    "integer of no number": (
        GOOD.replace("mu = 0.0", "mu = 0x" + "f" * 400),
        "an integer has more than 64 bits",
    ),
    "path for a law": (GOOD.replace('law = "chinchilla"', 'law = "../own"'), "unknown law"),
    "prior that is a number": (
        GOOD.replace(LEVEL, "level = 1.163"),
        "level: a prior is written",
    ),
    "prior about something else": (
        GOOD.replace('about = "runs"', 'about = "run"'),
        r"level: a prior about the centre .* got about = 'run' for Normal; leave about out",
    ),
    "prior about the runs that is not Normal": (
        GOOD.replace(
            'alpha = { dist = "LogNormal"', 'alpha = { dist = "LogNormal", about = "runs"'
        ),
        r"alpha: a prior about the centre .* got about = 'runs' for LogNormal; leave about out",
    ),
    "prior about the runs of no log loss": (
        load_model("data-constrained").source.replace(
            'r_N = { dist = "Normal"', 'r_N = { dist = "Normal", about = "runs"'
        ),
        "r_N: only the level lies about the log losses of the runs; leave about out",
    ),
    "noise about the runs": (
        load_model("data-constrained").source.replace(
            'excess_interaction = { dist = "Normal"',
            'excess_interaction = { dist = "Normal", about = "runs"',
        ),
        "excess_interaction: only the level lies about the log losses",
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
    "unknown kind of pooling": (
        GROUPED.replace('alpha = "partial"', 'alpha = "partly"'),
        r"\[pooling\] alpha: 'partly'; did you mean 'partial'\? Valid: complete, partial, none",
    ),
    "pooling of no parameter": (
        GROUPED.replace('alpha = "partial"', 'alhpa = "partial"'),
        r"\[pooling\]: unknown key 'alhpa'; did you mean 'alpha'",
    ),
    "pooling that is no table": (
        'pooling = "partial"\n' + GOOD,
        r'\[pooling\]: must be a table such as level = "partial"',
    ),
    "pooling without a group": (
        GROUPED.replace("group = ", "# group = "),
        r"\[pooling\]: level, reducible, .* differ between groups, but the key 'group' is missing",
    ),
    "group without pooling": (
        'group = "family"\n' + GOOD,
        "group is given, but nothing differs between the groups",
    ),
    "group of complete pooling": (
        GROUPED.replace('"partial"', '"complete"'),
        "group is given, but nothing differs between the groups",
    ),
    "loss as the group": (
        GROUPED.replace('group = "family"', 'group = "loss"'),
        'group must name a column of the runs, e.g. group = "family"',
    ),
    "number for a group": (
        GROUPED.replace('group = "family"', "group = 3"),
        "group must name a column of the runs",
    ),
    "no prior for a scale": (
        GROUPED.replace('level = { dist = "HalfNormal"', '# level = { dist = "HalfNormal"'),
        r"\[scales\]: no prior for the sd between groups of level; write, e.g., level = \{",
    ),
    "scale that can be negative": (
        GROUPED.replace(
            'level = { dist = "HalfNormal", sigma = 0.3 }',
            'level = { dist = "Normal", mu = 0.0, sigma = 0.3 }',
        ),
        r"\[scales\] level: Normal can be negative, an sd cannot",
    ),
    "scale of no parameter": (
        GROUPED.replace('level = { dist = "HalfNormal"', 'levle = { dist = "HalfNormal"'),
        r"\[scales\]: unknown key 'levle'; did you mean 'level'",
    ),
    "scales that are no table": ("scales = 1\n" + GOOD, r"\[scales\]: must be a table of priors"),
    "partial pooling of a HalfNormal prior": (
        GROUPED.replace(
            'sigma = { dist = "LogNormal", mu = -4.6, sigma = 1.0 }',
            'sigma = { dist = "HalfNormal", sigma = 0.05 }',
        ),
        r"\[pooling\] sigma: .* use LogNormal, not HalfNormal",
    ),
    "partial pooling of a prior on another line": (
        GROUPED.replace(LEVEL, 'level = { dist = "LogNormal", mu = 0.15, sigma = 0.3 }'),
        r"\[pooling\] level: .* use Normal, not LogNormal",
    ),
    "member with an unknown coordinate": (
        POOL.replace("k = 1.0 ", "kk = 1.0 "),
        r"\[\[members\]\]: unknown key 'kk'; did you mean 'k'",
    ),
    "member with a negative coordinate": (
        POOL.replace("k = 1.0 ", "k = -1.0 "),
        r"\[\[members\]\] k: must be a positive number, got -1.0",
    ),
    "member with a share above one": (
        POOL.replace("k = 1.0 ", "split = 1.5 "),
        r"\[\[members\]\] split: must be less than 1, got 1.5",
    ),
    "member with a truth for a number": (
        POOL.replace("k = 1.0 ", "k = true "),
        r"\[\[members\]\] k: must be a positive number, got True",
    ),
    "member of a bend that there is none": (
        GOOD + "\n[[members]]\nlength = 1.0\n",
        r"\[\[members\]\]: unknown key 'length'",
    ),
    "members with groups": (
        GROUPED + "\n[[members]]\nalpha = 0.3\n",
        r"\[\[members\]\]: a model with groups is one posterior; leave members out",
    ),
    "members that are no tables": (
        "members = [1.0]\n" + GOOD,
        r"\[\[members\]\]: must be an array of tables",
    ),
    "size error of an exact law": (
        GOOD + SIZE_ERROR,
        r"\[size_error\] goes with \[bend\]; add it, or leave both out",
    ),
    "bend with groups": (
        GROUPED + SIZE_ERROR.replace("size_error", "bend"),
        r"\[bend\]: a model with groups takes its law as exact; leave \[bend\] out",
    ),
    "bend without a length": (
        GOOD + "\n[bend]\nsd = 0.1\n",
        r"\[bend\] length: must be a positive number, got None",
    ),
    "bend of an unknown key": (
        GOOD + "\n[bend]\nsd = 0.1\nlenght = 2.0\n",
        r"\[bend\]: unknown key 'lenght'; did you mean 'length'",
    ),
    "bend along what the law has not": (
        GOOD + '\n[bend]\nsd = 0.1\nlength = 2.0\naxes = ["param"]\n',
        r"\[bend\] axes: 'param'; did you mean 'params'",
    ),
    "bend along no axis": (
        GOOD + "\n[bend]\nsd = 0.1\nlength = 2.0\naxes = []\n",
        r"\[bend\] axes: must name inputs of the law",
    ),
    "bend that is a number": (
        "bend = 0.1\n" + GOOD,
        r"\[bend\]: must be a table with sd \(of log loss\) and length \(decades\)",
    ),
    "axis that means something else": (
        load_model("power-law").source.replace('axis = "flops"', 'axis = "observed"'),
        r"the axis 'observed' has a name .* --column own_observed=observed .*, and name that$",
    ),
    "weights for an axis": (
        load_model("power-law").source.replace('axis = "flops"', 'axis = "weight"'),
        "the axis 'weight' has a name that bayescale uses itself",
    ),
    "group that means something else": (
        GROUPED.replace('group = "family"', 'group = "replicates"'),
        "the group 'replicates' has a name that bayescale uses itself",
    ),
    "seeds of each group apart": (
        GROUPED.replace("[pooling]", '[pooling]\nsigma_seed = "none"'),
        r"\[pooling\] sigma_seed: the seeds of all groups are pooled",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_bad_model_file_is_refused_with_the_valid_choices(kind):
    text, message = REFUSED[kind]
    shipped = [load_model(name).source for name in ("power-law", "data-constrained")]
    assert text not in (GOOD, GROUPED, POOL, *shipped)
    with pytest.raises(ModelError, match=message):
        parse_model(text, "mine")


def test_members_of_a_pool_differ_by_what_they_are_given():
    pool = load_model("joint")
    joint, coupled = pool.each_member
    assert (joint.fixed, coupled.fixed) == ({"k": 1.0}, {})
    assert {**joint.priors, "k": pool.priors["k"]} == coupled.priors == pool.priors
    for own in (joint, coupled):
        assert (own.members, own.bend, own.size_error) == ((), pool.bend, pool.size_error)
        assert own.each_member == (own,)
    assert joint.shape != coupled.shape  # k is in the code of one


def test_a_member_may_have_a_length_of_its_own():
    spec = parse_model(POOL.replace("k = 1.0 ", "length = 1.0 "), "lengths")
    short, long = spec.each_member
    assert (short.bend.length, long.bend.length) == (1.0, 2.0)
    assert short.bend.sd == long.bend.sd
    assert short.priors == spec.priors
    assert short.shape == long.shape  # the length is in the data


def test_the_exact_law_of_a_pool_is_that_of_its_first_member():
    pool = load_model("joint")
    assert pool.exact.fixed == {"k": 1.0}
    assert (pool.exact.bend, pool.exact.size_error, pool.exact.members) == (None, None, ())
    assert parse_model(POOL.replace("k = 1.0 ", "k = 0.7 "), "other").exact.fixed == {"k": 0.7}


@pytest.mark.parametrize("name", available_models())
def test_shipped_model_states_a_prior_for_every_coordinate(name):
    spec = load_model(name)
    assert tuple(spec.priors) == spec.law.coordinates.names
    assert spec.summary.endswith(".")


def test_every_law_has_a_shipped_model():
    assert {load_model(name).law.name for name in available_models()} == set(LAWS)


def test_every_law_has_a_shipped_model_of_groups():
    pooled = {spec.law.name for name in available_models() if (spec := load_model(name)).group}
    assert pooled == set(LAWS) - {"farseer"}  # its nine constants need 400 runs of each group


def test_a_prior_about_the_runs_counts_from_their_centre():
    stated = load_model("chinchilla").priors["level"]
    assert str(stated) == "Normal(mu=0, sigma=0.5) about the runs"
    assert str(stated.about(1.25)) == "Normal(mu=1.25, sigma=0.5)"
    assert stated.about(1.25).about(7.0) == stated.about(1.25)  # once is enough
    for use in (stated.on_line, lambda: stated.log_density(1.0), lambda: stated.arguments_of("x")):
        with pytest.raises(ValueError, match="give it their centre first"):
            use()


@pytest.mark.parametrize("name", available_models())
def test_no_shipped_prior_holds_for_one_unit_only(name):
    """Shares have no unit: the priors of their laws are as they are."""
    spec = load_model(name)
    assert spec.priors["level"].about_runs == (spec.response.scale == "log")


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
    other = parse_model(GOOD.replace("mu = 0.0", "mu = 2.0"), "other")
    assert other.shape == load_model("chinchilla").shape
    assert load_model("chinchilla-normal").shape != load_model("chinchilla").shape
    assert load_model("power-law").shape != load_model("power-law-tokens").shape
    shapes = {load_model(name).shape for name in GROUPED_MODELS}
    assert len({*shapes, load_model("chinchilla").shape}) == 1 + len(GROUPED_MODELS)
    scale = GROUPED.replace('alpha = { dist = "HalfNormal", sigma = 0.2 }', GAMMA_SCALE)
    assert parse_model(scale, "other").shape != load_model("chinchilla-hierarchical").shape


GROUPED_MODELS = ("chinchilla-hierarchical", "chinchilla-shared-exponents", "isoflop-profiles")
GAMMA_SCALE = 'alpha = { dist = "Gamma", alpha = 2.0, beta = 10.0 }'


@pytest.mark.parametrize("name", GROUPED_MODELS)
def test_grouped_model_reads_its_group(name):
    spec = load_model(name)
    assert spec.columns == tuple(dict.fromkeys((*spec.inputs, spec.group)))
    assert set(spec.scales) == set(spec.partial) > set()
    assert set(spec.pooling) <= set(spec.sampled)


def test_other_column_as_the_group():
    spec = load_model("chinchilla-hierarchical")
    other = spec.grouped_by('data "set"')
    assert (other.group, other.columns) == ('data "set"', ("params", "tokens", 'data "set"'))
    assert (other.pooling, other.priors, other.scales) == (spec.pooling, spec.priors, spec.scales)
    assert other.shape == spec.shape  # one compilation serves both
    assert parse_model(other.source, other.name) == other  # what a saved fit is read from
    assert spec.group == "family"


@pytest.mark.parametrize("line", ["  group = 'family'", '"group" = "family" # mine'])
def test_other_column_whatever_way_the_key_is_written(line):
    text = re.sub('(?m)^group = "family".*$', lambda _: line, GROUPED)
    assert line in text
    assert parse_model(text, "mine").grouped_by("dataset").group == "dataset"


def test_model_without_groups_cannot_be_grouped():
    with pytest.raises(ModelError, match=r"has no groups; .*\(--model chinchilla-hierarchical\)"):
        load_model("chinchilla").grouped_by("family")
    with pytest.raises(ModelError, match="group must name a column of the runs"):
        load_model("chinchilla-hierarchical").grouped_by("loss")


def test_trends_along_another_column():
    spec = load_model("transfer")
    other = spec.with_trends_along("tokens")
    assert (spec.covariates, other.covariates) == (("width",), ("tokens",))
    assert {name: [*own.values()] for name, own in other.trends.items()} == {
        name: [*own.values()] for name, own in spec.trends.items()
    }
    assert (other.priors, other.scales, other.group) == (spec.priors, spec.scales, spec.group)
    assert parse_model(other.source, other.name) == other  # what a saved fit is read from


@pytest.mark.parametrize(
    ("model", "said"),
    [("bowl-hierarchical", "along nothing"), ("tuning-pair", "along params and tokens")],
)
def test_trends_along_no_column_or_several_stay_where_they_are(model, said):
    with pytest.raises(ModelError, match=said):
        load_model(model).with_trends_along("width")


def test_unpooled_estimates_every_group_by_itself():
    spec = load_model("chinchilla-shared-exponents")
    apart = spec.unpooled()
    assert (apart.partial, apart.scales) == ((), {})
    assert set(apart.pooling) == set(spec.pooling)
    assert set(apart.pooling.values()) == {"none"}
    assert (apart.name, apart.priors) == ("chinchilla-shared-exponents-unpooled", spec.priors)
    assert apart.shape != spec.shape
    assert parse_model(apart.source, apart.name) == apart


def test_unpooled_whatever_way_the_pooling_is_written():
    table = re.search(r"(?s)\[pooling\].*?\n\n", GROUPED).group()
    text = 'pooling = { level = \'partial\', "alpha" = "partial" }\n' + GROUPED.replace(table, "")
    spec = parse_model(text, "mine")
    assert spec.partial == ("level", "alpha")
    assert spec.unpooled().pooling == {"level": "none", "alpha": "none"}


POOLING = re.search(r"(?s)\[pooling\].*?\n\n", GROUPED).group()
PRIORS = GROUPED[GROUPED.index("[priors]") :].replace(POOLING, "")
ODD = {
    "inline table": """\
group = "family" # group = "other"
pooling = { level = 'partial', "alpha" = "partial", beta = "complete" } # = "partial"
""",
    "dotted keys, group among them": """\
pooling.level = "partial"   # of the loss
group    =   'family'
pooling . "alpha" = '''partial'''
""",
    "escaped key, text of several lines": """\
"gro\\u0075p" = \"\"\"fam\\
   ily\"\"\"
[pooling]
level = "p\\u0061rtial"
alpha = 'partial'
""",
    "the keys within text": """\
summary = '''
group = "none of it"
level = "partial"'''
group = "family"
[pooling]
"level" = "partial" # alpha = "partial"
alpha = "partial"
""",
}


@pytest.mark.parametrize("end", ["\n", ""])
@pytest.mark.parametrize("kind", ODD)
def test_odd_toml_is_edited_as_toml(kind, end, tmp_path):
    rest = PRIORS.rstrip("\n") + end
    path = tmp_path / "odd.toml"
    path.write_text('law = "chinchilla"\n' + ODD[kind] + rest)
    spec = load_model(path)
    assert (spec.group, spec.partial) == ("family", ("level", "alpha"))
    for edited, expected in (
        (spec.grouped_by("data\nset"), {"group": "data\nset"}),
        (
            spec.unpooled(),
            {"pooling": {"level": "none", "alpha": "none"}, "scales": {}, "name": "odd-unpooled"},
        ),
    ):
        path.write_text(edited.source)
        again = replace(load_model(path), name=edited.name)
        assert again == edited == replace(spec, source=edited.source, **expected)
        assert edited.source.endswith(rest)  # comments and layout of the rest are kept
        assert edited.source.count("#") == spec.source.count("#")


def test_unpooled_of_a_model_without_groups_is_the_same():
    spec = load_model("chinchilla")
    assert replace(spec.unpooled(), name=spec.name) == spec


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            {"reads": (context("weight"),)},
            "the law own's input 'weight' has a name that bayescale uses",
        ),
        (
            {"supports": dict.fromkeys(("E", "A", "sigma"), POSITIVE)},
            "the law own has a parameter 'sigma', .* rename",
        ),
        (
            {"supports": dict.fromkeys(("E", "A", "obs"), POSITIVE)},
            "the law own has a parameter 'obs'",
        ),
    ],
)
def test_law_with_names_of_something_else_is_refused(names, message, monkeypatch):
    own = replace(LAWS["power_law"], name="own", **names)
    monkeypatch.setitem(LAWS, "own", own)
    source = load_model("power-law").source.replace('law = "power_law"', 'law = "own"')
    with pytest.raises(ModelError, match=message):
        parse_model(source, "mine")


def test_remedy_for_a_name_that_is_taken_works():
    table = simulated_table().assign(log_loss=lambda table: np.log(table["loss"]) + 1)
    runs = read_runs(table, columns={"own_log_loss": "log_loss"})
    source = load_model("power-law").source.replace('axis = "flops"', 'axis = "own_log_loss"')
    data = model_data(parse_model(source, "mine"), runs)
    np.testing.assert_array_equal(data["input_own_log_loss"], table["log_loss"])
    np.testing.assert_allclose(data["observed"], np.log(table["loss"]))


def test_trends_are_changed_and_taken_away():
    spec = load_model("critical-batch")
    prior = {"dist": "Normal", "mu": 0.1, "sigma": 0.2}
    other = spec.with_trends({"place": {"tokens": prior}})
    assert [*other.slopes] == ["place_along_tokens"]
    assert dict(other.slopes["place_along_tokens"].args) == {"mu": 0.1, "sigma": 0.2}
    assert spec.with_trends({}).slopes == {}
    assert other.with_trends({"place": {"params": prior}}).covariates == ("params",)
    with pytest.raises(ModelError, match="place tokens"):
        spec.with_trends({"place": {"tokens": {"dist": "Sharp"}}})


def test_columns_that_no_variable_can_be_named_by_are_refused():
    tuning = load_model("tuning")
    with pytest.raises(ModelError, match=r"axis 'peak/lr' has a /.*--column lr=peak/lr"):
        tuning.along_axes("peak/lr")
    with pytest.raises(ModelError, match=r"\[trends\] height: the column 'model/width'"):
        load_model("transfer").with_trends_along("model/width")


@pytest.mark.parametrize("name", ["data-constrained", "chinchilla-hierarchical", "mixture-joint"])
@pytest.mark.parametrize("value", ['"' + "x" * 100_000 + '"', "[" * 90 + "]" * 90])
def test_no_refusal_repeats_a_long_value(name, value):
    lines = load_model(name).source.splitlines()
    refused = {}
    for place, line in enumerate(lines):
        key, equals, _ = line.partition(" = ")
        if not equals or key == "summary":
            continue
        try:
            parse_model("\n".join([*lines[:place], f"{key} = {value}", *lines[place + 1 :]]), "m")
        except ModelError as error:
            refused[key] = len(str(error))
    assert len(refused) >= 8
    assert max(refused.values()) < 1500
