"""What cannot be planned is refused in one line that says what can."""

import pytest

from edgerl import configure
from edgerl.config.agent_settings import AGENTS
from edgerl.envs import suites
from edgerl.errors import ConfigError
from edgerl.planning import plan


@pytest.mark.parametrize("algo", AGENTS)
@pytest.mark.parametrize("env", ["toy/catch", "dmc/walker-walk", "gym/Pendulum-v1"])
def test_an_algorithm_that_does_not_fit_the_actions_names_those_that_do(env, algo):
    config, spec = configure(env=env, algo=algo, threads=1), suites.describe(env)
    if AGENTS[algo].continuous == (env != "toy/catch"):
        assert plan.make_plan(config, spec).before.rows > 0
        return
    fitting = "rainbow or dqn" if env == "toy/catch" else "curl or sac"
    with pytest.raises(ConfigError, match=f"^--algo: {algo} does not fit: .* {fitting} fits$"):
        plan.make_plan(config, spec)


@pytest.mark.parametrize(("env", "settings", "says"), [
    ("dmc/cartpole-swingup", {"crop": 101}, "replay.crop = 101 is larger than this environment's frames, 100x100"),
    ("dmc/cartpole-swingup", {"crop": 0}, "replay.random_crop = true needs replay.crop"),
    ("toy/catch", {"crop": 64}, "replay.crop: rainbow learns from whole frames"),
    ("toy/catch", {"random_crop": True, "algo": "dqn"}, "replay.crop: dqn learns from whole frames"),
])  # fmt: skip
def test_crops_that_cannot_be_cut_are_refused(env, settings, says):
    with pytest.raises(ConfigError, match=f"^{says}"):
        plan.make_plan(configure(env=env, threads=1, **settings), suites.describe(env))


def test_the_command_line_refuses_it_in_one_line(program):
    code, _, (line,) = program("plan", "--env", "dmc/walker-walk", "--algo", "dqn")
    assert code == 2
    assert line.endswith("curl or sac fits")


def test_an_impossible_budget_names_the_smallest_possible_one(program):
    code, _, (line,) = program("plan", "--budget", "100kB", "--env", "atari/qbert")
    assert code == 2
    smallest = line.split("at least ")[1].split()[0]
    assert program("plan", "--budget", smallest)[0] == 0
    assert program("plan", "--budget", f"{int(smallest.removesuffix('B')) - 1}B")[0] == 2


@pytest.mark.parametrize("command", ["train", "plan", "sweep"])
@pytest.mark.parametrize(
    "options",
    [
        ("--env", "gym/CartPole-v1", "--action-repeat", "4"),
        ("--env", "toy/catch", "--sticky-actions", "0.25"),
        ("--env", "dmc/walker-walk", "--full-action-set"),
    ],
    ids=lambda options: options[1],
)
def test_an_option_that_an_environment_does_not_have_is_refused_by_every_command(command, options, program, tmp_path):
    out = [] if command == "plan" else ["--out", tmp_path / "out"]
    code, _, errors = program(command, *options, *out)
    assert (code, len(errors)) == (2, 1)
    assert options[2] in errors[0]
    assert not (tmp_path / "out").exists()
