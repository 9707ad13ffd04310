"""Presets against the paper's Table 5, and configurations as files."""

import dataclasses
import tomllib

import pytest
import tomli_w

from edgerl import config
from edgerl.config import ConfigError, build, load, preset

# T_f in agent steps: (0.07 GB, Figure 4; unbounded, Figure 3).
FREEZE_AT = {
    "atari/alien": (100_000, 50_000),
    "atari/amidar": (50_000, 50_000),
    "atari/bank_heist": (50_000, 50_000),
    "atari/crazy_climber": (100_000, 100_000),
    "atari/krull": (50_000, 50_000),
    "atari/private_eye": (150_000, 100_000),
    "atari/qbert": (100_000, 100_000),
    "atari/seaquest": (150_000, 50_000),
}
RUN = {"algo": "rainbow", "steps": 500_000, "eval_every": 10_000, "eval_episodes": 10, "eval_epsilon": 0.001}
REPLAY = {
    "batch_size": 32,
    "learn_start": 1600,
    "n_step": 20,
    "gamma": 0.99,
    "omega": 0.5,
    "beta_start": 0.4,
    "beta_end": 1.0,
    "reward_clip": 1.0,
}
AGENT = {
    "encoder": "data_efficient",
    "cut": "last",
    "hidden": 256,
    "atoms": 51,
    "v_min": -10.0,
    "v_max": 10.0,
    "sigma0": 0.1,
    "learning_rate": 1e-4,
    "adam_eps": 1.5e-4,
    "clip_norm": 10.0,
    "target_every": 2000,
}


def tables(env="atari/qbert", **run):
    """A preset completed to what `build` needs."""
    found = preset(env)
    found["run"] |= {"env": env, "budget": 70_000_000, "device": "jetson_nano", "seed": 3, "threads": 2} | run
    return found


def refusal(path):
    """The one line with which a configuration file is refused; it names the file."""
    with pytest.raises(ConfigError) as caught:
        load(path)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert str(path) in message
    return message


@pytest.mark.parametrize("env", FREEZE_AT)
def test_freezing_times_are_those_of_table_5(env):
    run = preset(env)["run"]
    assert (run["freeze_at"], run["freeze_at_unbounded"]) == FREEZE_AT[env]


@pytest.mark.parametrize("env", [*FREEZE_AT, "atari/pong"])
def test_the_other_numbers_are_those_of_data_efficient_rainbow(env):
    found = preset(env)
    assert {name: found["run"][name] for name in RUN} == RUN
    assert found["replay"] == REPLAY
    assert found["agent"] == AGENT


def test_a_game_outside_the_paper_takes_the_most_common_freezing_time():
    assert preset("atari/pong")["run"]["freeze_at"] == 100_000


def test_no_task_is_in_the_presets_that_is_not_in_the_paper():
    with open(config.__file__.replace("config.py", "presets.toml"), "rb") as stream:
        assert set(tomllib.load(stream)["task"]) == set(FREEZE_AT)


def test_presets_are_copies():
    preset("atari/qbert")["run"]["steps"] = 1
    assert preset("atari/qbert")["run"]["steps"] == 500_000


def test_a_suite_without_a_preset_has_none():
    found = preset("nowhere/qbert")
    assert (found["replay"], found["agent"], "steps" in found["run"]) == ({}, {}, False)


def test_build_takes_every_setting_over():
    given = tables()
    found = dataclasses.asdict(build(given))
    for name in ("run", "replay", "agent"):
        assert found[name] == {key: given[name].get(key) for key in found[name]}
    assert "freeze_at_unbounded" not in found["run"]


@pytest.mark.parametrize("device", ["jetson_nano", None])
@pytest.mark.parametrize("freeze_at", [0, 100_000, None])
@pytest.mark.parametrize("env", ["atari/qbert", "toy/catch"])
def test_a_configuration_survives_its_file(tmp_path, env, freeze_at, device):
    given = build(tables(env, freeze_at=freeze_at, device=device))
    path = tmp_path / "config.toml"
    path.write_text(given.to_toml())
    found = load(path)
    assert found == given
    assert found.run.freeze_at == freeze_at
    assert found.run.device == device
    assert load(path).to_toml() == given.to_toml()


def test_a_configuration_cannot_be_changed():
    given = build(tables())
    with pytest.raises(dataclasses.FrozenInstanceError):
        given.run.steps = 1


@pytest.mark.parametrize(
    ("table", "key"), [("run", "steps"), ("run", "budget"), ("replay", "gamma"), ("agent", "encoder")]
)
def test_a_missing_key_is_named(tmp_path, table, key):
    given = tables()
    del given[table][key]
    with pytest.raises(ConfigError, match=key):
        build(given)
    lines = build(tables()).to_toml().splitlines()
    path = tmp_path / "config.toml"
    path.write_text("\n".join(line for line in lines if not line.startswith(f"{key} =")))
    assert key in refusal(path)


@pytest.mark.parametrize("table", ["run", "replay", "agent"])
def test_a_missing_table_is_named(tmp_path, table):
    path = tmp_path / "config.toml"
    whole = tomllib.loads(build(tables()).to_toml())
    path.write_text(tomli_w.dumps({name: values for name, values in whole.items() if name != table}))
    assert table in refusal(path)


def test_a_missing_file(tmp_path):
    assert "does not exist" in refusal(tmp_path / "config.toml")


@pytest.mark.parametrize(
    "text",
    [
        b"[run\nsteps = 1",
        b"steps = = 3",
        b"",
        b"\xff\xfe",
        b"run = 3\nreplay = 4\nagent = 5",
        b"[[run]]\n[replay]\n[agent]",
    ],
    ids=["bad TOML", "bad value", "empty", "no text", "numbers for tables", "a list for a table"],
)
def test_a_file_that_is_no_configuration(tmp_path, text):
    path = tmp_path / "config.toml"
    path.write_bytes(text)
    refusal(path)


def test_a_folder_is_no_configuration(tmp_path):
    refusal(tmp_path)
