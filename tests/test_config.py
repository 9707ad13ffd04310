"""Configurations as files: what is built, written and read back, and what is refused."""

import dataclasses
import tomllib
from pathlib import Path

import pytest
import tomli_w

from edgerl.config.toml import build, load, preset
from edgerl.errors import ConfigError

# Settings that came after the first release, and what they are without.
LATER = {"batch_size_after_freeze": 0, "snapshot_every": 0, "ort_provider": "CPUExecutionProvider"}
LATER |= {"engine": "auto", "keep_torch": False}
LATER |= {"updates_per_step": 1.0, "updates_per_step_after_freeze": "same", "priority": "cross_entropy"}
LATER |= {"reset_heads_every": 0, "weight_decay": 0.0, "n_step_end": 0, "gamma_start": 0.0, "n_step_anneal": 10_000}
LATER |= {"env_arg": None, "frame_skip": 1, "frame": None, "frame_size": None, "observation": "older"}
LATER |= {"env_max_steps": None, "envs": 1}
LATER |= {"noisy": True, "epsilon_start": 1.0, "epsilon_end": 0.01, "epsilon_steps": 4000}


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


def test_build_takes_every_setting_over():
    given = tables()
    found = dataclasses.asdict(build(given))
    for name in ("run", "replay", "agent"):
        assert found[name] == {key: given[name].get(key, LATER.get(key)) for key in found[name]}
    assert "freeze_at_unbounded" not in found["run"]


def test_a_file_of_before_a_setting_came_is_read_as_what_ran_then(tmp_path):
    said, path = tables(), tmp_path / "config.toml"
    said["run"] |= {"observation": LATER["observation"]}  # which the presets say today
    given = build(said)
    lines = given.to_toml().splitlines()
    kept = [line for line in lines if line.partition(" ")[0] not in LATER]
    assert len(kept) == len(lines) - len(LATER)
    path.write_text("\n".join(kept))
    assert load(path) == given


@pytest.mark.parametrize("device", ["jetson_nano", None])
@pytest.mark.parametrize("freeze_at", [0, 100_000, None])
@pytest.mark.parametrize("env", ["atari/qbert", "toy/catch", "dmc/cheetah-run"])
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


def test_the_page_of_settings_is_what_the_dataclasses_say(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "tools")
    from settings_page import PAGE, page

    assert PAGE.read_text(encoding="utf-8") == page(), "run python tools/settings_page.py"
