"""The command that repeats a run comes to that run: for every setting, and through the real command line."""

import pytest

from edgerl import configure
from edgerl.config.agent_settings import AGENTS
from edgerl.config.arguments import arguments
from edgerl.config.resolve import started
from edgerl.config.settings import SETTINGS
from edgerl.config.values import check
from edgerl.errors import ConfigError

NOT_ALONE = {  # what another setting needs to be as well
    "replay.sampling": {"algo": "dqn", "sampling": "prioritized"},
    "replay.augmentations": {"env": "dmc/walker-walk", "augmentations": 3},
    "replay.pixel_codec": {"pixel_codec": "lz4"},
    "run.env": {"env": "atari/krull"},
    "run.algo": {"algo": "dqn"},
    "run.device": {"device": "pi_5_4gb"},
    "run.action_repeat": {"env": "dmc/walker-walk", "action_repeat": 3},
    "run.freeze_by": {"freeze_by": 50_000, "freeze_at": "auto"},
    "run.transfer": {"transfer": "all", "encoder_from": "runs/other"},
    "run.encoder_from": {"encoder_from": "runs/other"},
    "run.ort_provider": {"ort_provider": "XnnpackExecutionProvider"},
    "run.env_arg": {"env": "gym/CartPole-v1", "env_arg": {"sutton_barto_reward": True}},
    "run.frame_skip": {"env": "gym/CartPole-v1", "frame_skip": 3},
    "run.frame": {"env": "gym/CartPole-v1", "frame": "rgb"},
    "run.frame_size": {"env": "gym/CartPole-v1", "frame_size": 64},
    "run.observation": {"env": "gym/CartPole-v1", "observation": "render"},
    "run.env_max_steps": {"env": "gym/CartPole-v1", "env_max_steps": 50},
    "agent.encoder": {"encoder": "canonical", "cut": "conv2"},
    "agent.cut": {"cut": "conv1"},
    "replay.updates_per_step_after_freeze": {"updates_per_step_after_freeze": 2.5},
    "run.checkpoint_every": {"checkpoint_every": 3000},
    "replay.gamma_start": {"gamma_start": 0.97},
}


def changed(setting):
    """Settings of a run in which this one is not what any preset says."""
    if setting.key in NOT_ALONE:
        return {"env": "atari/qbert"} | NOT_ALONE[setting.key]
    algo = next((algo for algo, kind in AGENTS.items() if setting.name in kind.__dataclass_fields__), "rainbow")
    env = "dmc/walker-walk" if setting.table == "agent" and AGENTS[algo].continuous else "atari/qbert"
    plain = {"env": env, "steps": 700_000} | ({"algo": algo} if setting.table == "agent" else {})
    preset = {own.key: value for own, value in configure(**plain).values()}[setting.key]
    if setting.words:
        value = next(word for word in setting.words if word != preset)
    elif bool in setting.types:
        value = not preset
    elif preset is None:
        value = max(setting.low, 1) + 7
    else:
        value = preset + 1 if check_or_none(setting, preset + 1) is not None else preset / 2
    return plain | {setting.name: value}


def check_or_none(setting, value):
    try:
        return check(setting.key, value)
    except ConfigError:
        return None


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=lambda setting: setting.key)
def test_every_setting_survives_the_command_line(setting, parsed):
    settings = changed(setting)
    config = configure(**{name: "never" if value is None else value for name, value in settings.items()})
    value = {own.key: value for own, value in config.values()}[setting.key]
    assert value == settings[setting.name]
    assert parsed(arguments(config)) == config


def test_what_is_never_or_false_is_said_where_a_preset_says_otherwise(parsed):
    config = configure(env="dmc/walker-walk", random_crop=False, augmentations=1, freeze_at="never")
    words = arguments(config)
    assert words[words.index("--freeze-at") + 1] == "never"
    assert "replay.random_crop=false" in words
    assert parsed(words) == config
    unclipped = configure(env="atari/qbert", reward_clip="never")
    assert "replay.reward_clip=never" in arguments(unclipped)
    assert parsed(arguments(unclipped)) == unclipped


def test_arguments_of_an_environment_are_said_one_by_one_as_toml(parsed):
    given = {
        "size": 9,
        "name": 'a "b" = c\n',
        "ratio": 0.5,
        "sides": [1, [2.0, "x"]],
        "table": {"a b": False},
        "n": "9",
    }
    config = configure(env="gym/CartPole-v1", env_arg=given, algo="rainbow")
    assert arguments(config).count("--env-arg") == len(given)
    assert parsed(arguments(config)) == config


def test_a_budget_without_bound_and_a_whole_action_set(parsed):
    config = configure(env="atari/qbert", budget="unbounded", full_action_set=True)
    assert "--full-action-set" in arguments(config)
    assert parsed(arguments(config)) == config


def test_options_and_assignments_come_to_the_same():
    by_option = started({"env": "atari/qbert", "snapshot_every": 100, "batch_size": 16}, None, [])[0]
    by_set = started({"env": "atari/qbert"}, None, ["snapshot_every=100", "replay.batch_size=16"])[0]
    assert by_option == by_set
