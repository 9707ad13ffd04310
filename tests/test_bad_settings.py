"""Every setting with a value it cannot have, from a file and from --set: one line says which, and nothing is built."""

import math
import re
from types import SimpleNamespace

import pytest

from edgerl.config import resolve
from edgerl.config.settings import SETTINGS
from edgerl.envs import suites
from edgerl.errors import ConfigError, EnvError
from edgerl.planning import limits, plan
from edgerl.training import train
from edgerl.training.start import networks

KEYS = [(setting.table, setting.name) for setting in SETTINGS.values()]
# What is no value of a type, as TOML.
WRONG = {
    bool: ["0", "1", "1.0", '"true"', "[true]"],
    int: ["1.5", "1e3", "true", '"many"', "[1]", "{a = 1}", "nan", "1979-05-27"],
    float: ["true", '"0.5"', "[0.5]", "{a = 0.5}", "nan", "inf", "-inf", "1979-05-27"],
    dict: ["3", "1.5", "false", '["a"]', '"a"', "1979-05-27"],
    str: ["3", "1.5", "false", '["a"]', '{a = "b"}', "1979-05-27"],
}
BEYOND_64_BITS = ["9" * 19, "-" + "9" * 19, "1" + "0" * 30, "1" + "0" * 400, "9" * 5000, "0x" + "f" * 5000]


def by_file(tmp_path, table, key, value):
    """How a file says it, and what the refusal must name."""
    file = tmp_path / "mine.toml"
    file.write_text(f"[{table}]\n{key} = {value}\n")
    return file, [], f"--config: {file}"


def by_set(tmp_path, table, key, value):
    """How --set says it, and what the refusal must name."""
    return None, [f"{table}.{key}={value}"], "--set: "


WAYS = pytest.mark.parametrize("way", [by_file, by_set])


def started(file=None, assignments=(), **given):
    return resolve.started({"env": "toy/catch"} | given, file, list(assignments))[0]


def refusal(*said, **given):
    """The one line with which settings are refused, at the latest when the run is planned."""
    with pytest.raises(ConfigError) as caught:
        plan.make_plan(started(*said, **given), suites.describe("toy/catch"))
    message = str(caught.value)
    assert len(message.splitlines()) == 1, message
    return message


def kind(table, key):
    """The type of a setting, without the words and the None it may also be."""
    allowed = SETTINGS[f"{table}.{key}"].types
    return next((each for each in (bool, int, float, dict) if each in allowed), str)


def outside(table, key):
    """The nearest whole numbers below and above what a setting may be."""
    setting = SETTINGS[f"{table}.{key}"]
    return [str(math.floor(end + side)) for end, side in ((setting.low, -1), (setting.high, 1)) if math.isfinite(end)]


def test_every_number_has_a_bound_and_nothing_else_has_one():
    for (table, key), setting in zip(KEYS, SETTINGS.values(), strict=True):
        bounded = math.isfinite(setting.low) or math.isfinite(setting.high)
        assert bounded == (kind(table, key) in (int, float)), setting.key


@WAYS
@pytest.mark.parametrize(("table", "key"), KEYS)
def test_a_value_it_cannot_have_is_refused_by_name(table, key, way, tmp_path):
    for value in [*WRONG[kind(table, key)], *outside(table, key), '""']:
        file, assignments, names = way(tmp_path, table, key, value)
        message = refusal(file, assignments)
        assert message.startswith(names), value
        assert f"{table}.{key}" in message, value


@WAYS
@pytest.mark.parametrize(("table", "key"), [each for each in KEYS if kind(*each) in (int, float)])
def test_a_whole_number_beyond_64_bits_is_refused_by_name(table, key, way, tmp_path):
    for value in BEYOND_64_BITS:
        file, assignments, names = way(tmp_path, table, key, value)
        message = refusal(file, assignments)
        assert message.startswith(names), value
        assert f"{table}.{key}" in message or "4300 digits" in message, value  # Python reads no further than that


@WAYS
@pytest.mark.parametrize(("table", "key"), KEYS)
def test_an_unknown_key_names_the_nearest(table, key, way, tmp_path):
    file, assignments, names = way(tmp_path, table, f"{key}x", 1)
    message = refusal(file, assignments)
    assert message.startswith(names)
    assert f"unknown key '{table}.{key}x'; the nearest is {table}.{key}" in message


@WAYS
def test_a_key_of_another_table_names_its_own(way, tmp_path):
    file, assignments, _ = way(tmp_path, "run", "gamma", 0.9)
    assert "unknown key 'run.gamma'; the nearest is " in (message := refusal(file, assignments))
    assert message.endswith("gamma")


NO_FILE = {
    "a key twice": b"[run]\nsteps = 300\nsteps = 400\n",
    "a key twice, once with dots": b"run.steps = 300\nrun.steps = 400\n",
    "not UTF-8": b"[run]\nsteps = 300 # caf\xe9\n",
    "nested too deep": b"[run]\nsteps = " + b"[" * 5000 + b"]" * 5000,
    "a table's name of two lines": b'["a\\nb"]\nsteps = 300\n',
    "a value without a table, its name of two lines": b'"a\\nb" = 300\n',
    "a key of two lines": b'[run]\n"a\\nb" = 300\n',
}


@pytest.mark.parametrize("case", NO_FILE)
def test_what_is_no_file_of_settings_is_refused_by_its_name(case, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_bytes(NO_FILE[case])
    assert refusal(file).startswith(f"--config: {file}")


def test_a_folder_is_no_file_of_settings(tmp_path):
    assert refusal(tmp_path).startswith(f"--config: {tmp_path}")


@pytest.mark.parametrize("content", [b"", b"\n# nothing\n", b"[run]\n[agent]\n"])
def test_a_file_that_says_nothing_changes_nothing(content, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_bytes(content)
    assert started(file) == started()


def test_a_byte_order_mark_is_no_part_of_the_settings(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_bytes(b"\xef\xbb\xbf[replay]\nn_step = 7\n")
    assert started(file).replay.n_step == 7


ODD = {
    "steps=" + "[" * 5000: "run.steps",
    "steps=3\nseed=4": "run.steps",  # one assignment sets one key
    "encoder=nature": "data_efficient",  # what there is
    "cut=conv9": "conv1, conv2",
    "adam_eps=0": "agent.adam_eps",  # a gradient of zero over a mean of zero: NaN at the first update
    "v_min=2": "v_min",  # v_max is 2: all atoms at one place
    "v_min=1.9999999999": "v_min",  # in float32 that is 2 as well
    "v_max=-3": "v_min",
    "v_max=1e300": "v_max",  # more than float32 holds
    "learn_start=2": "learn_start",  # no window of n_step=3 rows is there yet
    "budget=9e14GB": "larger than",
}


@pytest.mark.parametrize("text", ODD, ids=lambda text: text[:20])
def test_settings_that_cannot_train_are_refused_before_anything_is_built(text):
    assert ODD[text] in refusal(assignments=[text])


@pytest.mark.parametrize("name", [":made", "nowhere:", "nowhere_at_all:made", "..above:made", "math:nothing"])
def test_an_environment_that_is_nowhere_is_refused_by_name(name):
    with pytest.raises(EnvError, match=rf"^--env: .*{re.escape(name)}.*\Z"):  # a dot is no new line
        suites.describe(started(env=name).run.env)


def test_a_freeze_of_5000_digits_is_refused_by_name():
    assert refusal(freeze_at="9" * 5000).startswith("--freeze-at: ")


def test_what_is_odd_but_can_train_is_taken():
    texts = ["gamma=1", "omega=0", "sigma0=0", "beta_start=1", "beta_end=0.5", "learn_start=3", "atoms=2", "v_min=0"]
    found = started(assignments=texts)
    assert (found.replay.gamma, found.replay.omega, found.replay.beta_end, found.agent.v_min) == (1.0, 0.0, 0.5, 0.0)
    assert type(found.replay.gamma) is float


@WAYS
@pytest.mark.parametrize(
    ("table", "key"), [(setting.table, setting.name) for setting in SETTINGS.values() if setting.optional]
)
def test_what_may_be_missing_may_be_never(table, key, way, tmp_path):
    file, assignments, _ = way(tmp_path, table, key, '"never"')
    assert getattr(getattr(started(file, assignments), table), key) is None


@pytest.mark.parametrize(("value", "expected"), [("5MB", 5_000_000), ("0.005 GB", 5_000_000), ("unbounded",) * 2])
def test_set_takes_a_budget_with_and_without_quotes(value, expected):
    for key, text in (("budget", value), ("run.budget", f'"{value}"')):
        assert started(assignments=[f"{key}={text}"]).run.budget == expected


@pytest.mark.parametrize(
    ("text", "budget", "names"),
    [("hidden=65536", "3MB", "networks"), ("steps=999999999", "unbounded", "--budget")],
)
def test_what_is_larger_than_the_machine_is_refused_before_it_is_made(text, budget, names, monkeypatch, tmp_path):
    monkeypatch.setattr(limits.psutil, "virtual_memory", lambda: SimpleNamespace(available=10**9))
    monkeypatch.setattr(networks, "make_agent", lambda *_, **__: pytest.fail("the networks were made"))
    with pytest.raises(ConfigError, match=names):
        train.train(started(assignments=[text], budget=budget), tmp_path / "run")
    assert not (tmp_path / "run").exists()
