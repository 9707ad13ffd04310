"""Real Atari through ale-py: the environment's rules, and a run of a few hundred updates through the freeze."""

import json

import cv2
import numpy as np
import pytest
from ale_py import roms

from edgerl.envs import atari_games, suites
from edgerl.envs.atari_games import REPEAT, describe, rom_id
from edgerl.envs.base import EnvOptions
from edgerl.errors import EnvError
from edgerl.training import train


def test_games_are_found_however_they_are_written():
    assert {rom_id(name) for name in ("CrazyClimber", "crazy_climber", "crazy-climber", "crazyclimber")} == {
        "crazy_climber"
    }


@pytest.mark.parametrize("game", ["qbert", "lost_luggage", "skiing", "pong", "private_eye"])
@pytest.mark.parametrize("full", [False, True])
def test_the_table_of_games_is_what_the_emulator_says(game, full):
    options = EnvOptions(full_action_set=full)
    env = suites.make(f"atari/{game}", np.random.default_rng(0), training=True, options=options)
    assert env.spec == describe(game, full_action_set=full)


def test_the_table_has_every_game_for_one_player():
    several = {"combat", "joust", "maze_craze", "warlords"}  # ALE does not run these
    assert {*roms.get_all_rom_ids()} - several == {rom_id(game) for game in atari_games._table()["minimal"]}


def test_an_unknown_game_names_the_nearest():
    with pytest.raises(EnvError, match="perhaps atari/qbert"):
        suites.make("atari/qbrt", np.random.default_rng(0), training=True)


def test_a_step_is_four_frames_and_the_maximum_of_the_last_two():
    env = suites.make("atari/breakout", np.random.default_rng(0), training=False)
    env.reset()
    for action in (1, 2, 3, 0, 2):
        state, before = env.env.ale.cloneState(), env.env.ale.getFrameNumber()
        seen = env.step(action).window[-1].copy()
        assert env.env.ale.getFrameNumber() - before == REPEAT
        after = env.env.ale.cloneState()
        env.env.ale.restoreState(state)
        screens = []
        for _ in range(REPEAT):
            env.env.ale.act(env.env._actions[action])
            screens.append(cv2.resize(env.env.ale.getScreenGrayscale(), (84, 84), interpolation=cv2.INTER_LINEAR))
        np.testing.assert_array_equal(seen, np.maximum(screens[-1], screens[-2]))
        env.env.ale.restoreState(after)


def test_a_lost_life_ends_an_episode_in_training_only_and_the_game_goes_on():
    for training in (True, False):
        env, rng = suites.make("atari/breakout", np.random.default_rng(0), training=training), np.random.default_rng(1)
        timestep, ends = env.reset(), []
        while not timestep.over:
            timestep = env.step(int(rng.integers(env.actions)))
            if timestep.terminated:
                ends.append(timestep.over)
                if not timestep.over:
                    timestep = env.reset()
                    assert (timestep.window[:3] == 0).all()
                    assert timestep.window[3].any()
        assert ends == ([False] * 4 + [True] if training else [True])


def test_windows_hold_the_last_four_frames():
    env = suites.make("atari/pong", np.random.default_rng(0), training=True)
    newest = [env.reset().window[-1].copy()]
    for action in range(6):
        timestep = env.step(action)
        newest.append(timestep.window[-1].copy())
        expected = [np.zeros_like(newest[0])] * max(0, 4 - len(newest)) + newest[-4:]
        np.testing.assert_array_equal(timestep.window, expected)


def test_the_same_generator_plays_the_same_game():
    def frames():
        env = suites.make("atari/qbert", np.random.default_rng(3), training=True)
        env.reset()
        return np.stack([env.step(i % env.actions).window[-1].copy() for i in range(40)])

    np.testing.assert_array_equal(frames(), frames())


def test_a_cut_off_game_is_truncated_and_not_terminated():
    env = suites.make("atari/qbert", np.random.default_rng(0), training=True)
    env.env.ale.setInt("max_num_frames_per_episode", 200)
    env.env.ale.loadROM(str(__import__("ale_py").roms.get_rom_path("qbert")))
    timestep = env.reset()
    for _ in range(60):
        timestep = env.step(0)
        if timestep.terminated or timestep.truncated:
            break
    assert (timestep.truncated, timestep.terminated, timestep.over) == (True, False, True)


@pytest.mark.parametrize("frames", range(200, 204))
def test_the_window_of_a_cut_off_game_shows_where_it_was_cut_off(frames):
    """Wherever within the four frames of a step: an agent's returns go on from that window."""
    env = suites.make("atari/qbert", np.random.default_rng(0), training=True).env
    env.ale.setInt("max_num_frames_per_episode", frames)
    env.ale.loadROM(str(__import__("ale_py").roms.get_rom_path("qbert")))
    env.reset()
    while not (timestep := env.step(0)).truncated:
        before = timestep.window[-1].copy()
    assert timestep.window[-1].any()
    np.testing.assert_allclose(timestep.window[-1].mean(), before.mean(), rtol=0.1)


def test_training_through_the_freeze_keeps_the_contract(small, tmp_path):
    """Real Qbert at 3 MB: 150 updates on pixels in a wrapped ring, the freeze, 150 updates on latents."""
    config = small(
        "atari/qbert",
        run={"steps": 800, "freeze_at": 650, "eval_every": 800, "eval_episodes": 1, "checkpoint_every": 400},
        replay={"learn_start": 500},
    )
    out = tmp_path / "run"
    found = train.train(config, out, quiet=True)
    assert found == json.loads((out / "summary.json").read_text())
    assert (found["status"], found["steps"], found["store"], found["codec"]) == ("finished", 800, "latents", "float32")
    assert found["budget"]["replay_bytes_peak"] == 3_000_000
    capacity, freeze = found["capacity"], found["freeze"]
    assert capacity["initial"] < 650  # the ring had wrapped
    assert 3.0 < capacity["after_freeze"] / capacity["initial"] < 3.1
    assert freeze["step"] == 650
    assert freeze["rows_before"] == freeze["rows_after"] == capacity["initial"]
    assert found["replay"]["rows"] == capacity["initial"] + 150
    assert freeze["parity_max_abs_diff"] <= 1e-4
    assert (out / freeze["onnx_file"]).exists()
    assert (out / found["checkpoint"] / "weights.safetensors").exists()
    assert found["checkpoint"] == "checkpoint/000000800"
    before, after = (found["flops"][f"per_update_{when}"] for when in ("before", "after"))
    assert found["flops"]["total"] == before * 150 + 1_280_000 * capacity["initial"] + after * 150
    assert [entry["step"] for entry in found["returns"]] == [800]
    assert found["returns"][0]["env_steps"] == 3200
    assert set(found["budget"]["ledger"]) == {
        "libraries", "networks", "optimizer", "replay", "scratch", "unaccounted",
    }  # fmt: skip


def test_eval_says_that_a_score_is_below_random_play(small, program, tmp_path):
    """Pong, where the constant action of a network that learned nothing loses every point; random play wins some."""
    train.train(
        small("atari/pong", run={"steps": 20, "freeze_at": None, "learn_start": 19, "n_step": 3}),
        tmp_path / "run",
        quiet=True,
    )
    code, printed, _ = program("eval", tmp_path / "run", "--episodes", "1")
    assert code == 0
    assert "score -21 " in printed
    assert "(0: random play -20.7, a human tester 14.6; Wang et al. 2016)" in printed
    assert "the score is below that of random play: it shows no learning" in printed
