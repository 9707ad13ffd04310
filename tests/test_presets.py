"""Presets against the paper's Tables 4 and 5, and how their layers lie upon each other."""

import dataclasses
import tomllib
from importlib import resources

import pytest

from edgerl import configure
from edgerl.config import architectures, resolve
from edgerl.config.agent_settings import AGENTS
from edgerl.config.toml import build, preset
from edgerl.config.values import check
from edgerl.envs import suites
from edgerl.envs.base import EnvOptions
from edgerl.errors import ConfigError
from memory_budget import parse_bytes

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
    "sampling": "prioritized",
    "store": "auto",
    "pixel_codec": "raw",
    "latent_dtype": "float32",
    "crop": 0,
    "random_crop": False,
    "augmentations": 1,
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
    "priority": "cross_entropy",
    "learning_rate": 1e-4,
    "adam_eps": 1.5e-4,
    "clip_norm": 10.0,
    "target_every": 2000,
}
# Table 4, what differs between tasks: T_f (Figure 5; unbounded, Figure 2), rows of 30,000 bytes, action repeat,
# evaluation frequency, batch size and learning rate.
CONTROL = {
    "dmc/cartpole-swingup": (10_000, 10_000, 1000, 8, 2_500, 128, 1e-3),
    "dmc/finger-spin": (50_000, 50_000, 1000, 2, 10_000, 128, 1e-3),
    "dmc/reacher-easy": (30_000, 50_000, 2000, 4, 10_000, 128, 1e-3),
    "dmc/cheetah-run": (80_000, 80_000, 1000, 4, 10_000, 512, 2e-4),
    "dmc/walker-walk": (80_000, 60_000, 2000, 2, 10_000, 128, 1e-3),
}
# And what is the same for all of them.
CONTROL_RUN = {"eval_episodes": 10, "eval_epsilon": 0.0}
CONTROL_REPLAY = {
    "sampling": "uniform",
    "store": "auto",
    "pixel_codec": "raw",
    "latent_dtype": "float32",
    "crop": 84,
    "random_crop": True,
    "augmentations": 4,
    "learn_start": 1000,
    "n_step": 1,
    "gamma": 0.99,
    "reward_clip": None,
}
CONTROL_AGENT = {
    "encoder": "curl",
    "cut": "fc",
    "hidden": 1024,
    "random_steps": 1000,
    "alpha_start": 0.1,
    "alpha_learning_rate": 1e-4,
    "alpha_beta1": 0.5,
    "actor_every": 2,
    "target_every": 2,
    "tau_q": 0.01,
    "tau_encoder": 0.05,
    "log_std_min": -10.0,
    "log_std_max": 2.0,
    "reset_heads_every": 0,
    "weight_decay": 0.0,
}
SUITES = {
    "atari/qbert": ("rainbow", "dqn"),
    "toy/catch": ("rainbow", "dqn"),
    "dmc/cheetah-run": ("curl", "sac"),
    "dmc/dog-trot": ("curl", "sac"),
    "gym/CartPole-v1": ("rainbow", "dqn"),
    "gym/Pendulum-v1": ("curl", "sac"),
    "mine:environment": ("rainbow", "dqn", "curl", "sac"),
}


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


@pytest.mark.parametrize("algo", [name for name, settings in AGENTS.items() if settings.continuous])
@pytest.mark.parametrize("env", CONTROL)
def test_every_number_of_a_control_task_is_table_4s(env, algo):
    freeze_at, unbounded, rows, repeat, eval_every, batch_size, learning_rate = CONTROL[env]
    found = configure(env=env, algo=algo, threads=1)
    own = {"algo": algo, "freeze_at": freeze_at, "budget": rows * 3 * 100 * 100, "action_repeat": repeat}
    own |= {"eval_every": eval_every, "steps": 500_000 // repeat}  # Table 4 counts environment steps
    run = dataclasses.asdict(found.run)
    assert {name: run[name] for name in own | CONTROL_RUN} == own | CONTROL_RUN
    replay = CONTROL_REPLAY | {"batch_size": batch_size}
    assert {name: getattr(found.replay, name) for name in replay} == replay
    assert dataclasses.asdict(found.agent) == CONTROL_AGENT | {"learning_rate": learning_rate}
    spec = suites.describe(env, EnvOptions(action_repeat=repeat))
    assert (spec.frame, spec.history, spec.repeat) == ((3, 100, 100), 3, repeat)
    assert configure(env=env, algo=algo, threads=1, budget="unbounded").run.freeze_at == unbounded


def test_the_encoder_of_table_4_has_four_convolutions_of_32_filters_and_50_features():
    *convolutions, last = architectures.specs("curl")
    assert [(spec.channels, spec.kernel, spec.stride) for spec in convolutions] == [(32, 3, 2), *[(32, 3, 1)] * 3]
    assert last.features == 50


def test_curl_is_what_control_tasks_are_trained_with_and_sac_has_its_numbers():
    assert preset("dmc/walker-walk")["run"]["algo"] == "curl"
    for env in (*CONTROL, "dmc/dog-trot", "gym/Pendulum-v1", "mine:environment"):
        curl, sac = preset(env, "curl"), preset(env, "sac")
        assert (curl["run"].pop("algo"), sac["run"].pop("algo")) == ("curl", "sac")
        assert curl == sac
        assert curl["agent"]


def test_no_task_is_in_the_presets_that_is_not_in_the_paper():
    assert set(presets()["task"]) == set(FREEZE_AT) | set(CONTROL)


def presets():
    return tomllib.loads(resources.files("edgerl.config").joinpath("presets.toml").read_text())


def test_every_line_of_the_presets_is_a_setting_with_a_value_of_its_kind():
    data = presets()
    layers = [data.pop("every"), *(layer for kind in ("algo", "suite", "task") for layer in data.pop(kind).values())]
    assert data == {}
    likes = [layer.pop("like") for layer in layers if "like" in layer]
    assert set(likes) <= set(AGENTS)
    checked = 0
    for layer in layers:
        for table, values in layer.items():
            for key, value in values.items():
                key = key.removesuffix("_unbounded")
                check(f"{table}.{key}", parse_bytes(value) if key == "budget" else value)
                checked += 1
    assert checked > 100


@pytest.mark.parametrize(("env", "algo"), [(env, algo) for env, algos in SUITES.items() for algo in algos])
def test_presets_leave_nothing_open(env, algo):
    """Whatever fits an environment's actions can be trained on it without a setting of the user's."""
    found = preset(env, algo)
    own = dataclasses.fields(AGENTS[algo])
    assert found["agent"].keys() >= {field.name for field in own if field.default is dataclasses.MISSING}
    assert build({**found, "run": resolve.DEFAULTS | found["run"] | {"env": env, "threads": 1}}).run.algo == algo


def test_of_two_layers_the_later_one_rules():
    assert preset("dmc/dog-trot")["replay"]["batch_size"] == 128  # the algorithm's
    assert preset("dmc/cheetah-run")["replay"]["batch_size"] == 512  # the task's
    assert preset("toy/catch", "dqn")["agent"]["hidden"] == 64  # the suite's
    assert preset("atari/qbert", "dqn")["agent"]["hidden"] == 512  # the algorithm's
    assert preset("atari/qbert", "dqn")["replay"]["sampling"] == "uniform"  # every run's


def test_a_setting_of_another_algorithm_is_refused_by_name():
    for env, assignment in (("dmc/walker-walk", "atoms=51"), ("atari/qbert", "agent.tau_q=0.5")):
        key, algo = assignment.partition("=")[0].removeprefix("agent."), preset(env)["run"]["algo"]
        with pytest.raises(ConfigError, match=rf"^agent\.{key}: {algo} has no such setting$"):
            resolve.started({"env": env}, None, [assignment])
    assert resolve.started({"env": "atari/qbert"}, None, ["atoms=21"])[0].agent.atoms == 21


def test_an_algorithm_that_there_is_not_is_refused_with_those_there_are():
    with pytest.raises(ConfigError, match="unknown algorithm 'ppo'; there are rainbow, dqn, curl, sac"):
        configure(env="toy/catch", algo="ppo")


def test_an_id_of_gym_that_names_its_module_has_gyms_settings():
    assert preset("gym/ale_py:ALE/Pong-v5", "dqn") == preset("gym/CartPole-v1", "dqn")
    assert preset("mine:environment", "dqn") != preset("gym/CartPole-v1", "dqn")


def test_presets_are_copies():
    preset("atari/qbert")["run"]["steps"] = 1
    assert preset("atari/qbert")["run"]["steps"] == 500_000


def test_a_suite_without_a_preset_has_only_what_every_run_has():
    found = preset("nowhere/qbert")
    assert found == {name: presets()["every"].get(name, {}) for name in ("run", "replay", "agent")}
    assert "steps" not in found["run"]
    assert "batch_size" not in found["replay"]
