"""Screens made smaller as OpenCV makes them, to the bit."""

import cv2
import numpy as np
import pytest

from edgerl.envs.atari import Atari
from edgerl.envs.shrink import Shrink


@pytest.mark.parametrize("shape", [(210, 160), (250, 160), (84, 84), (85, 301), (400, 90), (100, 100)])
@pytest.mark.parametrize("side", [84, 42, 7])
def test_random_pictures_are_those_of_opencv(shape, side):
    rng, shrink, small = np.random.default_rng(side), Shrink(shape, side), np.empty((side, side), np.uint8)
    pictures = [rng.integers(0, 256, shape, np.uint8) for _ in range(5)]
    for picture in [*pictures, np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8)]:
        shrink(picture, small)
        np.testing.assert_array_equal(small, cv2.resize(picture, (side, side), interpolation=cv2.INTER_LINEAR))


@pytest.mark.parametrize("game", ["qbert", "road_runner", "pong", "krull"])
def test_screens_of_games_are_those_of_opencv(game):
    env, rng = Atari(game, np.random.default_rng(0), training=True), np.random.default_rng(1)
    env.reset()
    for _ in range(60):
        if env.step(int(rng.integers(env.actions))).over:
            env.reset()
        small = np.empty((84, 84), np.uint8)
        env._look(small)
        np.testing.assert_array_equal(small, cv2.resize(env._screen, (84, 84), interpolation=cv2.INTER_LINEAR))
        assert small.any()
