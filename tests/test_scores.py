"""Human-normalised scores: the constants against numbers written by hand, and the scale they make."""

import tomllib
from importlib.resources import files

import pytest

from edgerl.envs.human_scores import human_normalised

CONSTANTS = tomllib.loads(files("edgerl.envs").joinpath("human_scores.toml").read_text(encoding="utf-8"))
BY_HAND = [  # game, random, human, a score, what it is worth
    ("alien", 227.8, 7127.7, 3677.75, 1 / 2),
    ("amidar", 5.8, 1719.5, 862.65, 1 / 2),
    ("bank_heist", 14.2, 753.1, 1492.0, 2),
    ("breakout", 1.7, 30.5, 414.5, 43 / 3),
    ("crazy_climber", 10780.5, 35829.4, 60878.3, 2),
    ("krull", 1598.0, 2665.5, 3733.0, 2),
    ("pong", -20.7, 14.6, -21.0, -3 / 353),
    ("pong", -20.7, 14.6, 21.0, 417 / 353),
    ("private_eye", 24.9, 69571.3, 34798.1, 1 / 2),
    ("qbert", 163.9, 13455.0, 6809.45, 1 / 2),
    ("seaquest", 68.4, 42054.7, 84041.0, 2),
]


@pytest.mark.parametrize(("game", "random", "human", "score", "worth"), BY_HAND)
def test_scores_worked_by_hand(game, random, human, score, worth):
    assert CONSTANTS[game] == {"random": random, "human": human}
    assert human_normalised(f"atari/{game}", score) == pytest.approx(worth, rel=1e-12, abs=1e-12)


def test_there_are_57_games_and_ale_py_has_them_all():
    roms = pytest.importorskip("ale_py.roms")
    assert len(CONSTANTS) == 57
    assert set(CONSTANTS) <= set(roms.get_all_rom_ids())


@pytest.mark.parametrize("game", CONSTANTS)
def test_random_play_is_0_and_a_human_1(game):
    random, human = CONSTANTS[game]["random"], CONSTANTS[game]["human"]
    assert random < human
    assert human_normalised(f"atari/{game}", random) == 0
    assert human_normalised(f"atari/{game}", human) == 1


@pytest.mark.parametrize("env", ["toy/catch", "toy/qbert", "atari/tetris", "atari/no_such_game", "atari/", "qbert", ""])
def test_no_constants_no_score(env):
    assert human_normalised(env, 1.0) is None
