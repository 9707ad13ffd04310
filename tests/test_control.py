"""Continuous control from real dm_control and Gymnasium through the same loop, replay, freeze and checkpoints."""

import json

import numpy as np
import pytest
import safetensors.numpy
from raw_arrays import raw_arrays
from stopping import stopped_after

from edgerl.envs import suites
from edgerl.errors import ConfigError, EnvFailed, TrainingError
from edgerl.training import train
from edgerl.training.evaluate import Games, evaluate

SHORT = {"learn_start": 24, "random_steps": 24, "batch_size": 4, "hidden": 64}
STEPS = {"steps": 64, "freeze_at": 44, "budget": 6_000_000}
TIMED = ("seconds", "peak_extra_bytes")


def final(folder, step):
    """All that a finished run leaves, timings aside."""
    place = folder / "checkpoint" / f"{step:09d}"
    state = json.loads((place / "state.json").read_text())
    for name in ("checksum", "sha256", "segments", "metrics_bytes", "meters"):
        state.pop(name)
    state["trainer"].pop("rss_around_freeze")
    for name in TIMED:
        (state["trainer"]["freeze_report"] or {}).pop(name, None)
    return safetensors.numpy.load_file(place / "weights.safetensors"), state, raw_arrays(place)["rows"].tobytes()


def test_cartpole_goes_through_the_freeze_and_the_summary_keeps_the_contract(small, tmp_path):
    config = small(
        "dmc/cartpole-swingup", run=STEPS | {"eval_every": 64, "eval_episodes": 1}, replay=SHORT | {"hidden": 1024}
    )
    found = train.train(config, tmp_path / "run", quiet=True)
    assert (found["status"], found["algo"], found["store"], found["codec"]) == (
        "finished",
        "curl",
        "latents",
        "float32",
    )
    capacity = found["capacity"]
    assert (capacity["paper_initial"], capacity["paper_after_freeze"]) == (200, 3750)  # 18.75x
    assert capacity["initial"] == 199
    assert 3700 < capacity["after_freeze"] <= 3750
    assert found["budget"]["replay_bytes_peak"] == 6_000_000
    assert (found["freeze"]["rows_before"], found["freeze"]["rows_after"]) == (44, 44)
    assert found["freeze"]["parity_max_abs_diff"] < 1e-4
    assert found["replay"]["bytes_per_row"] == 1616
    assert (found["returns"][0]["step"], found["returns"][0]["env_steps"]) == (64, 512)
    assert 0 <= found["returns"][0]["mean"] <= 1000
    ledger = found["budget"]["ledger"]
    assert ledger["networks"]["planned"] - ledger["networks"]["measured"] > 20e6  # the stem and its target are dead


@pytest.mark.long
@pytest.mark.parametrize("stop", [34, 54])
def test_a_resumed_run_on_reacher_is_the_uninterrupted_one(stop, small, uninterrupted, tmp_path):
    """Its target lies outside the physics' state; stopped on pixels, and on latents."""
    config = small("dmc/reacher-easy", run=STEPS, replay=SHORT)
    whole, parts = uninterrupted(config), tmp_path / "parts"
    with stopped_after(stop):
        assert train.train(config, parts, quiet=True)["steps"] == stop
    found = train.train(config, parts, resume=True, quiet=True)
    assert (found["status"], found["episodes_restarted"]) == ("finished", 0)
    (arrays, state, rows), (again, state_again, rows_again) = final(whole, 64), final(parts, 64)
    assert arrays.keys() == again.keys()
    assert [name for name in arrays if not np.array_equal(arrays[name], again[name])] == []
    assert state == state_again
    assert len(rows) == len(rows_again)


GYM = {
    "discrete": ("gym/CartPole-v1", {}, "rainbow", 84 * 84),
    "vectors": ("gym/Pendulum-v1", {"batch_size": 4, "random_steps": 24, "hidden": 64}, "curl", 3 * 100 * 100),
}


@pytest.mark.parametrize("case", GYM)
def test_a_gymnasium_task_goes_through_the_freeze_with_the_algorithm_of_its_actions(case, small, tmp_path):
    env, settings, algo, frame = GYM[case]
    config = small(env, run=STEPS, replay={"learn_start": 24} | settings)
    found = train.train(config, tmp_path / "run", quiet=True)
    assert (found["status"], found["algo"], found["store"]) == ("finished", algo, "latents")
    assert found["capacity"]["paper_initial"] == 6_000_000 // frame


@pytest.mark.parametrize("algo", [pytest.param("sac", marks=pytest.mark.long), "dqn"])
def test_the_other_algorithms_go_through_the_same_freeze(algo, small, tmp_path):
    env = {"sac": "dmc/cartpole-swingup", "dqn": "toy/catch"}[algo]
    settings = {"sac": SHORT | {"random_crop": False, "augmentations": 1}, "dqn": {"learn_start": 24}}[algo]
    found = train.train(small(env, run=STEPS | {"algo": algo}, replay=settings), tmp_path / "run", quiet=True)
    assert (found["status"], found["algo"], found["store"]) == ("finished", algo, "latents")
    assert found["freeze"]["rows_after"] == 44


@pytest.mark.parametrize(("env", "algo"), [("dmc/cartpole-swingup", "rainbow"), ("toy/catch", "curl")])
def test_an_algorithm_for_other_actions_is_refused_before_anything_is_made(env, algo, small, tmp_path):
    config = small(env, run={"algo": algo, "steps": 3000, "freeze_at": 2000})
    with pytest.raises(ConfigError, match=rf"--algo: {algo} does not fit"):
        train.train(config, tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.long
def test_an_environment_that_fails_leaves_a_checkpoint_to_go_on_from(small, tmp_path, monkeypatch):
    config = small("dmc/cartpole-swingup", run=STEPS, replay=SHORT)
    made = suites.make

    def make(*arguments, **options):
        env = made(*arguments, **options)
        step, count = env.step, iter(range(1000))

        def fail(action):
            if next(count) == 30:
                raise EnvFailed("dmc/cartpole-swingup failed: the simulation blew up")
            return step(action)

        env.step = fail
        return env

    with monkeypatch.context() as patch:
        patch.setattr(suites, "make", make)
        with pytest.raises(EnvFailed, match="blew up"):
            train.train(config, tmp_path / "run", quiet=True)
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert (summary["status"], summary["steps"], summary["checkpoint"]) == ("failed", 30, "checkpoint/000000030")
    assert train.train(config, tmp_path / "run", resume=True, quiet=True)["status"] == "finished"


def test_a_loss_that_is_no_number_ends_the_run(small, tmp_path, monkeypatch):
    config = small("dmc/cartpole-swingup", run=STEPS, replay=SHORT)
    made = suites.make

    def make(*arguments, **options):
        env = made(*arguments, **options)
        step = env.step
        env.step = lambda action: step(action)._replace(reward=float("nan"))
        return env

    monkeypatch.setattr(suites, "make", make)
    with pytest.raises(TrainingError, match="the metric loss is nan at step 25: training has diverged"):
        train.train(config, tmp_path / "run", quiet=True)
    assert json.loads((tmp_path / "run/summary.json").read_text())["status"] == "failed"


def test_a_random_action_of_an_evaluation_is_a_vector_where_actions_are():
    env, seen = suites.make("gym/Pendulum-v1", np.random.default_rng(0), training=False), []
    step = env.step

    def note(action):
        seen.append(action)
        return step(action)._replace(terminated=len(seen) == 5)

    env.step = note
    evaluate(None, None, env, Games(1, 1.0, np.random.default_rng(0)))
    assert [(action.shape, action.dtype) for action in seen] == [((1,), np.float32)] * 5
    assert len({float(action[0]) for action in seen}) == 5


def test_priorities_are_refused_where_the_agent_gives_none(small):
    with pytest.raises(ConfigError, match=r"replay\.sampling: curl gives rows no priorities"):
        small("dmc/cartpole-swingup", replay={"sampling": "prioritized"})
