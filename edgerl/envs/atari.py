"""Atari 2600 games through ale-py, as data-efficient Rainbow plays them (no sticky actions, repeat 4, 84x84 gray)."""

import sys
from typing import Any

import numpy as np

from edgerl.envs.atari_games import HISTORY, REPEAT, SIDE, rom_id, spec
from edgerl.envs.base import Interface
from edgerl.envs.shrink import Shrink
from edgerl.errors import EnvError
from edgerl.types import Array, TimeStep

# If Gymnasium is installed, ale-py would load it to register itself there: 10 MB that no game needs.
sys.modules.setdefault("gymnasium", None)  # type: ignore[arg-type]
try:
    import ale_py
    from ale_py import roms
except ImportError as error:
    raise EnvError(
        f"--env: atari needs the package {error.name}: pip install -c constraints.txt -e '.[atari]'"
    ) from error
finally:
    if sys.modules["gymnasium"] is None:
        del sys.modules["gymnasium"]

NOOPS, EPISODE_FRAMES = 30, 108_000


def _emulator(game: str, seed: int, sticky_actions: float) -> ale_py.ALEInterface:
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    ale = ale_py.ALEInterface()
    ale.setInt("random_seed", seed)
    ale.setInt("max_num_frames_per_episode", EPISODE_FRAMES)
    ale.setFloat("repeat_action_probability", sticky_actions)
    ale.loadROM(str(roms.get_rom_path(rom_id(game))))
    return ale


class Atari:
    """One game. In training a lost life is terminal: the emulator goes on, and the window's history is blanked."""

    steps_per_second = 60 / REPEAT

    def __init__(
        self,
        game: str,
        rng: np.random.Generator,
        *,
        training: bool,
        sticky_actions: float = 0.0,
        full_action_set: bool = False,
    ) -> None:
        self.name = f"atari/{rom_id(game)}"
        self.training, self.rng = training, rng
        self.ale = _emulator(game, int(rng.integers(2**31)), sticky_actions)
        self._actions = self.ale.getLegalActionSet() if full_action_set else self.ale.getMinimalActionSet()
        self.actions = len(self._actions)
        self.spec = spec(self.actions)
        meanings = tuple(action.name for action in self._actions)
        self.interface = Interface("linear", max_of_last_two=True, meanings=meanings, pictures="the game's screen")
        height, width = self.ale.getScreenDims()
        self._screen = np.empty((height, width), np.uint8)
        self._shrink = Shrink((height, width), SIDE)
        self._frames = np.zeros((2, SIDE, SIDE), np.uint8)
        self.window = np.zeros((HISTORY, SIDE, SIDE), np.uint8)
        self._lives = 0
        self._over = True
        self._watched = False  # whether people watch, who are shown colours
        self._before: Array | None = None  # the screen before the newest, in colours

    def reset(self) -> TimeStep:
        """The first window of a game (after up to 30 no-ops), or of the next life."""
        if self._over:
            self.ale.reset_game()
            for _ in range(self.rng.integers(NOOPS + 1)):
                self.ale.act(0)
                if self.ale.game_over(with_truncation=True):
                    self.ale.reset_game()
        else:
            self.ale.act(0)  # the step after a lost life
        self._over = self.ale.game_over(with_truncation=True)
        self._lives = self.ale.lives()
        self._before = None
        self.window[:] = 0
        self._look(self.window[-1])
        return TimeStep(self.window, 0.0, False, False, False)

    def step(self, action: Any) -> TimeStep:
        """Repeat an action 4 times; the new frame is the maximum of the last two screens."""
        reward = 0.0
        self._frames[:] = 0
        self._before = None
        for repeat in range(REPEAT):
            reward += self.ale.act(self._actions[action])
            if self._watched and repeat == REPEAT - 2:
                self._before = self.ale.getScreenRGB()
            if repeat >= REPEAT - 2:
                self._look(self._frames[repeat - (REPEAT - 2)])
            if self.ale.game_over(with_truncation=True):
                break
        truncated = self.ale.game_truncated()
        if truncated and repeat < REPEAT - 2:  # neither screen was looked at, and returns go on from this window
            self._look(self._frames[0])
        self.window[:-1] = self.window[1:]
        np.maximum(self._frames[0], self._frames[1], out=self.window[-1])
        game_over = self.ale.game_over(with_truncation=False)
        lives = self.ale.lives()
        life_lost = self.training and 0 < lives < self._lives
        self._lives = lives
        self._over = game_over or truncated
        return TimeStep(self.window, reward, game_over or life_lost, truncated and not game_over, self._over)

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """The emulator's own state, the window, and the values that this environment keeps."""
        emulator = np.frombuffer(self.ale.cloneState(include_rng=True).serialize(), np.uint8)
        values = {"lives": self._lives, "over": self._over, "rng": self.rng.bit_generator.state}
        return {"emulator": emulator, "window": self.window}, values

    def restore(self, arrays: dict[str, Array], values: dict[str, Any]) -> None:
        self.ale.reset_game()
        self.ale.act(0)  # an emulator that never acted restores a slightly different state (seen on Qbert)
        self.ale.restoreState(ale_py.ALEState(arrays["emulator"].tobytes()))
        self.window[:] = arrays["window"]
        self._lives, self._over, self.rng.bit_generator.state = values["lives"], values["over"], values["rng"]

    def render(self) -> Array:
        """The maximum of the last two screens, as in the window: games draw much on every other screen only.

        Pixels are twice as wide as high: columns are doubled. The first picture shows one screen only.
        """
        screen: Array = self.ale.getScreenRGB()
        if self._before is not None:
            np.maximum(screen, self._before, out=screen)
        self._watched = True
        return screen.repeat(2, axis=1)

    def _look(self, into: Array) -> None:
        self.ale.getScreenGrayscale(self._screen)
        self._shrink(self._screen, into)
