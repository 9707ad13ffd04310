"""Runs on several environments at once: resumed bit for bit, failing in order, planned; and how agents act in them."""

import json

import numpy as np
import psutil
import pytest
import safetensors.numpy
from raw_arrays import raw_arrays
from stopping import stopped_after
from test_fleet import MINE
from test_resume import logged

from edgerl.agents.build import make_agent
from edgerl.envs import suites
from edgerl.errors import ConfigError, EnvFailed
from edgerl.planning import forecast, plan
from edgerl.replay.buffer import row_dtype
from edgerl.replay.latents import Encoded, Latents, Stem, latent_field
from edgerl.replay.representation import Pixels
from edgerl.training import train
from edgerl.training.loop import TrainingLoop

SMALL = {
    "budget": 3_000_000,
    "steps": 120,
    "freeze_at": 70,
    "learn_start": 20,
    "n_step": 5,
    "hidden": 8,
    "batch_size": 4,
}


def final(folder, step):
    """All that a finished run leaves: arrays, plain values, the columns of the rows and what lies beside them."""
    place = folder / "checkpoint" / f"{step:09d}"
    state = json.loads((place / "state.json").read_text())
    for entry in ("checksum", "metrics_bytes", "meters", "sha256", "segments"):
        state.pop(entry)
    state["trainer"].pop("rss_around_freeze")
    for name in ("seconds", "peak_extra_bytes"):
        state["trainer"]["freeze_report"].pop(name)
    kind = row_dtype(latent_field((576,), state["trainer"]["freeze_report"]["codec"]), np.dtype(np.uint8))
    raw = raw_arrays(place)
    for name in [name for name in raw if name.endswith(".rows")]:
        rows = raw.pop(name).view(kind)
        raw |= {f"{name}.{column}": rows[column] for column in kind.names}  # the padding between rows may differ
    return safetensors.numpy.load_file(place / "weights.safetensors") | raw, state


def assert_alike(one, other, step):
    (arrays, state), (again, state_again) = final(one, step), final(other, step)
    assert arrays.keys() == again.keys()
    assert [name for name in arrays if not np.array_equal(arrays[name], again[name])] == []
    assert state == state_again
    assert logged(one) == logged(other)


@pytest.mark.parametrize(
    ("env", "codec"),
    [
        pytest.param("toy/catch", "raw", marks=pytest.mark.long),
        ("mine:Mine", "lz4"),
        pytest.param("atari/qbert", "lz4", marks=pytest.mark.long),
    ],
)
def test_a_resumed_run_is_the_uninterrupted_one(env, codec, small, tmp_path, monkeypatch):
    """Stopped on pixels, at the freeze and on latents; the second environment is played again."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MINE)
    config = small(env, run=SMALL | {"envs": 2, "pixel_codec": codec, "latent_dtype": "uint8"})
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train.train(config, whole, quiet=True)["status"] == "finished"
    for number, step in enumerate([42, 70, 92]):
        with stopped_after(step):
            stopped = train.train(config, parts, resume=number > 0, quiet=True)
        assert (stopped["status"], stopped["steps"]) == ("interrupted", step)
    assert train.train(config, parts, resume=True, quiet=True)["episodes_restarted"] == 0
    assert_alike(whole, parts, 120)


def test_what_is_due_at_a_step_comes_after_the_first_round_that_reaches_it(small, tmp_path):
    config = small(run=SMALL | {"envs": 3, "eval_every": 50, "eval_episodes": 1, "checkpoint_every": 40, "algo": "dqn"})
    summary = train.train(config, tmp_path / "run", quiet=True)
    assert (summary["status"], summary["steps"], summary["freeze"]["step"]) == ("finished", 120, 72)
    assert [score["step"] for score in summary["returns"]] == [51, 102, 120]
    assert sorted(place.name for place in (tmp_path / "run/checkpoint").glob("0*")) == ["000000081", "000000120"]
    assert summary["updates"] == {"before_freeze": 52, "total": 100}
    assert summary["replay"]["rows"] == 120
    assert summary["training"]["games"] == 3 * (40 // 6)
    assert summary["budget"]["ledger"]["environments"]["measured"] > 3_000_000
    planned = plan.make_plan(config, suites.describe("toy/catch"))
    assert abs(summary["capacity"]["initial"] - planned.before.rows) <= 3
    assert not [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]


def test_one_that_fails_ends_the_run_in_order_and_it_can_go_on(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MINE)
    config = small("mine:Mine", run=SMALL | {"envs": 2})
    report = TrainingLoop.report

    def told(loop):
        report(loop)
        if loop.state.step == 42:
            (tmp_path / "fail").touch()

    monkeypatch.setattr(TrainingLoop, "report", told)
    with pytest.raises(EnvFailed, match=r"step \d\d: environment [01] of 2: mine failed: .*robot fell over.*--resume"):
        train.train(config, tmp_path / "run", quiet=True)
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert (summary["status"], summary["episodes_restarted"]) == ("failed", 2)
    assert "in step" in (tmp_path / "run/environment-error.txt").read_text()
    summary = train.train(config, tmp_path / "run", resume=True, quiet=True)
    assert (summary["status"], summary["episodes_restarted"]) == ("finished", 2)


def test_another_number_of_environments_is_another_run_and_steps_are_a_multiple_of_it(small, tmp_path):
    spec = suites.describe("toy/catch")
    with pytest.raises(ConfigError, match=r"--steps: 400 is no multiple of --envs 3; give 399 or 402"):
        plan.make_plan(small(run={"envs": 3}), spec)
    with pytest.raises(ConfigError, match=r"--budget: .* for 20 environments: at least \d+B"):
        plan.make_plan(small(run={"envs": 20, "n_step": 10, "budget": 2_000_000}), spec)
    with pytest.raises(ConfigError, match=r"learn_start = 30 is below replay.n_step = 10 for each of --envs 4"):
        small(run={"envs": 4, "learn_start": 30, "n_step": 10})
    with pytest.raises(
        ConfigError, match=r"--freeze-at: 397 is reached by the last steps of --envs 4; give 396 or less"
    ):
        plan.make_plan(small(run={"envs": 4, "freeze_at": 397, "learn_start": 80}), spec)
    assert "--envs" not in small().identity
    assert small(run={"envs": 4}).identity["--envs"] == 4


@pytest.mark.parametrize("codec", ["raw", "lz4"])
def test_shares_of_a_budget_and_processes_are_planned(codec, small):
    spec = suites.describe("toy/catch")
    one, four = (
        plan.make_plan(small(run={"envs": envs, "budget": 70_000_000, "pixel_codec": codec}), spec) for envs in (1, 4)
    )
    assert "environments" not in one.ledger
    assert four.ledger["environments"] == 4 * 22_000_000
    assert 0 <= one.before.rows - four.before.rows <= 4 * (64 if codec == "lz4" else 1)
    unbounded = plan.make_plan(small(run={"envs": 4, "budget": "unbounded", "pixel_codec": "raw"}), spec)
    assert unbounded.before.rows == 400


def test_a_forecast_counts_the_calls_of_a_round_once(small):
    from device_profiles import load

    profile, hours = load("raspberry_pi_5"), []
    for envs in (1, 4):
        config = small(run={"envs": envs})
        planned = plan.make_plan(config, suites.describe("toy/catch"))
        hours.append(forecast.forecast(config, planned, (4, 84, 84), profile)["phases"])
    assert hours[1]["acting after T_f"]["high"] < hours[0]["acting after T_f"]["high"]
    assert hours[1]["updating after T_f"] == hours[0]["updating after T_f"]


ALGORITHMS = {
    "rainbow": {},
    "rainbow without noise": {"noisy": False, "epsilon_start": 0.5, "epsilon_end": 0.5},
    "dqn": {"epsilon_start": 0.5, "epsilon_end": 0.5},
    "curl": {"random_steps": 3},
}


@pytest.mark.parametrize("case", ALGORITHMS)
def test_an_agent_explores_in_one_of_a_batch_as_it_acts_alone(case, small):
    """A batch of one draws the same numbers; in a batch of more every action follows from its own observation."""
    continuous, algo = case == "curl", case.split()[0]
    env = "dmc/cartpole-swingup" if continuous else "toy/catch"
    config = small(env, run={"algo": algo, "learn_start": 200, **ALGORITHMS[case]})
    window = (9, 84, 84) if continuous else (4, 84, 84)
    one, other = (make_agent(config, window, 3, np.random.default_rng(0)) for _ in "ab")
    rng = np.random.default_rng(1)
    for _ in range(6):
        observation = rng.integers(0, 256, window, np.uint8)
        assert np.array_equal(one.act(observation, explore=True), other.explore(observation[None])[0])
    actions = one.explore(rng.integers(0, 256, (5, *window), np.uint8))
    assert actions.shape == ((5, 3) if continuous else (5,))
    assert one.acted == (0 if case == "rainbow" else 11)
    assert len(np.unique(actions, axis=0)) == 5 or not continuous


@pytest.mark.parametrize("views", [0, 2])
@pytest.mark.parametrize("kind", [None, Latents, Encoded])
def test_windows_are_observed_together_as_each_alone(kind, views):
    pixels = Pixels((10, 10), 2, crop=8 if views else 0, augment=views)
    windows = np.random.default_rng(0).integers(0, 256, (3, 2, 10, 10), np.uint8)

    def representation():
        def encode(seen):
            return seen.reshape(len(seen), -1)[:, :5].astype(np.float32)

        stem = Stem(encode, (5,), pixels, views=views, rng=np.random.default_rng(0))
        return pixels if kind is None else kind(stem)

    observations, stored = representation().observe_all(windows)
    alone = representation()
    for row, window in enumerate(windows):
        observation, kept = alone.observe(window)
        assert np.array_equal(observation, observations[row])
        assert stored[row].shape == kept.shape
        if not views or kind is not Latents:
            assert np.array_equal(stored[row], kept)
    one, kept = representation().observe_all(windows[:1])
    expected, expected_kept = representation().observe(windows[0])
    assert np.array_equal(one[0], expected)
    assert np.array_equal(kept[0], expected_kept)
