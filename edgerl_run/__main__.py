"""`python -m edgerl_run POLICY`: plays games of Gymnasium, or acts on the frames of a camera."""

import argparse
import io
import os
import re
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np

from edgerl_run import LARGEST, Array, FrameError, Player, PolicyError
from edgerl_run.policy_file import MOST_THREADS

LONGEST = 18  # digits of a number that a user gives
LONGEST_GAME = 27_000  # steps after which a game is cut, where neither the policy nor the environment says one
USERS, FAILED, INTERRUPTED = 2, 1, 130  # exit codes: the user's input, an environment that failed, Ctrl-C


class Refused(ValueError):
    """What a user asked for and cannot have; the message is one line that names the option."""


class Game:
    """A Gymnasium environment as frames and actions. `name`: its id; `about`: what the policy says of itself.

    `most`: policy's steps after which a game is cut, None if the environment does it. Raises Refused without Gymnasium,
    and for an environment that the policy cannot act in or that shows no frames.
    """

    def __init__(self, name: str, about: dict[str, Any]) -> None:
        action, trained_in = about["action"], about.get("environment") or {}
        if sys.platform == "linux" and "DISPLAY" not in os.environ:
            os.environ.setdefault("MUJOCO_GL", "egl")
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # draws without a screen
        try:
            import gymnasium
        except ImportError:
            raise Refused("--env: needs the package gymnasium: pip install 'gymnasium[classic-control]'") from None
        gymnasium.logger.min_level = gymnasium.logger.ERROR
        try:
            env: Any = gymnasium.make(name, disable_env_checker=True)
            self._observed = _observed(env.observation_space, trained_in.get("observation"))
            if self._observed is None:
                env.close()
                env = gymnasium.make(name, disable_env_checker=True, render_mode="rgb_array")
        except (Exception, SystemExit) as error:  # an environment may raise anything
            raise Refused(f"--env: {name} cannot be made: {_line(error)}") from None
        self._env, self._space = env, env.action_space
        self._seen: Any = None
        self.most = trained_in.get("most_steps") or (
            None if getattr(env.spec, "max_episode_steps", 0) else LONGEST_GAME
        )
        self._sizes = getattr(self._space, "nvec", None)  # of a MultiDiscrete, whose last component is the fastest
        if action["kind"] == "discrete":
            count = getattr(self._space, "n", None) if self._sizes is None else int(np.prod(self._sizes))
            agrees = count == action["count"]
        else:
            agrees = self._space.shape == (action["size"],)
        if not agrees:
            gives = f"{action['kind']} actions, {action.get('count') or action.get('size')}"
            raise Refused(f"--env: {name} takes {' '.join(str(self._space).split())}; the policy gives {gives}")

    def reset(self, seed: int) -> None:
        """Begin an episode."""
        self._seen = self._env.reset(seed=seed)[0]

    def step(self, action: Any) -> tuple[float, bool]:
        """Act once: the reward, and whether the episode is over."""
        space = self._space
        taken: Any
        if isinstance(action, int) and self._sizes is not None:
            parts = np.array(np.unravel_index(action, self._sizes.ravel())).reshape(self._sizes.shape)
            taken = (parts + space.start).astype(space.dtype)
        elif isinstance(action, int):
            taken = int(space.start + action)
        else:  # rounding to the space's type may pass its bounds
            taken = np.clip(action.astype(space.dtype), space.low, space.high)
        self._seen, reward, terminated, truncated, _ = self._env.step(taken)
        return float(reward), bool(terminated or truncated)

    def frame(self) -> Array:
        """What it shows now, uint8 [H, W] or [H, W, 3]."""
        if self._observed is None:
            return _as_taken(np.asarray(self._env.render()))
        key = self._observed.get("key")
        shown = np.asarray(self._seen if key is None else self._seen[key])
        if np.issubdtype(shown.dtype, np.floating):
            shown = np.rint(np.clip(shown, 0, 1) * 255).astype(np.uint8)
        return _as_taken(shown.transpose(1, 2, 0) if self._observed.get("channels_first") else shown)


def _observed(space: Any, said: Any) -> dict[str, Any] | None:
    """How the picture is read of an observation; None: it is what the environment draws.

    `said`: by the policy; where an older one says nothing, observations that look like pictures are taken.
    """
    if said is None:
        return {} if space.dtype == np.uint8 and len(space.shape) in (2, 3) else None
    return None if said == "render" else dict(said)


def _as_taken(shown: Array) -> Array:
    """A picture as the policy takes it, uint8 [H, W] or [H, W, 3]: gray without its axis, without transparency."""
    if shown.ndim != 3:
        return shown
    return shown[:, :, 0] if shown.shape[2] == 1 else shown[:, :, :3] if shown.shape[2] == 4 else shown


def episode(player: Player, game: Game, seed: int) -> float:
    """The score of one episode; actions are repeated as in training."""
    trained_in = player.about.get("environment") or {}
    repeats, looks_twice = int(trained_in.get("frame_skip") or 1), bool(trained_in.get("max_of_last_two"))
    player.reset()
    game.reset(seed)
    score, steps, over, before = 0.0, 0, False, None
    while not over and (game.most is None or steps < game.most):
        steps += 1
        action = player.act(game.frame(), before)
        for repeat in range(repeats):
            before = game.frame() if looks_twice and repeat and repeat == repeats - 1 else None
            reward, over = game.step(action)
            score += reward
            if over:
                break
    return score


def play(player: Player, name: str, episodes: int, seed: int) -> None:
    """Play whole games and print their scores, without random actions.

    The games are those of `edgerl eval` with this seed, which takes a random action with probability `eval_epsilon`.
    """
    game, rng, scores = Game(name, player.about), np.random.default_rng(seed), []
    for number in range(1, episodes + 1):
        try:
            scores.append(episode(player, game, int(rng.integers(2**31))))
        except FrameError:
            raise
        except (Exception, SystemExit) as error:  # an environment may raise anything
            _leave(f"{name} failed: {_line(error)}", FAILED)
        print(f"game {number}  score {_figure(scores[-1])}", flush=True)
    mean, deviation, low, high = (_figure(float(of(scores))) for of in (np.mean, np.std, min, max))
    print(f"score {mean} +- {deviation} ({low} to {high})")


def _figure(score: float) -> str:
    """A score for reading, in hundredths at most; never a negative zero."""
    return f"{round(float(score), 2) + 0.0:,.12g}"


def frames(stream: io.BufferedReader, width: int, height: int) -> Iterator[Array]:
    """The whole frames of a stream of RGB24, each uint8 [height, width, 3] and valid until the next one."""
    frame, count = np.empty((height, width, 3), np.uint8), 0
    while (read := stream.readinto(frame.reshape(-1).data)) == frame.size:
        count += 1
        yield frame
    if not count:
        raise Refused(f"--camera: it has {read:,} bytes, a frame of {width}x{height} has {frame.size:,}")


def watch(player: Player, stream: io.BufferedReader, width: int, height: int) -> None:
    """Print the action for each frame, a line each: its number and its name if it has one, or its components."""
    meanings = [_printable(str(meaning)) for meaning in player.about["action"].get("meanings") or []]
    for frame in frames(stream, width, height):
        action = player.act(frame)
        if isinstance(action, int):
            print(action, *meanings[action : action + 1], flush=True)
        else:
            print(*(f"{component:.6g}" for component in action), flush=True)


def main() -> None:
    """Run the command; what a user can cause is one line on stderr."""
    options = _options()
    try:
        player = Player(options.policy, options.threads)
        if options.env is not None:
            play(player, _id(options.env), options.episodes, options.seed)
        else:
            width, height = _size(options.camera_size)
            with open(sys.stdin.fileno() if options.camera == "-" else options.camera, "rb") as stream:
                watch(player, stream, width, height)
    except (PolicyError, FrameError, Refused) as error:
        _leave(str(error), USERS)
    except BrokenPipeError:  # whoever read the actions has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        _leave(f"{error.filename or 'the system'}: {error.strerror or error}", USERS)
    except KeyboardInterrupt:
        _leave("interrupted", INTERRUPTED)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        _leave(message, USERS)


def _options() -> argparse.Namespace:
    parser = _Parser("python -m edgerl_run", description=__doc__)
    parser.add_argument("policy", help="a file that `edgerl export` wrote")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--env", metavar="gym:ID", help="play whole games of this Gymnasium environment")
    source.add_argument("--camera", metavar="FILE", help="act on the RGB24 frames of a file or pipe (-: of stdin)")
    parser.add_argument("--camera-size", metavar="WxH", help="the size of the camera's frames in pixels")
    parser.add_argument("--episodes", type=_at_least(1), default=10, help="games to play")
    parser.add_argument("--seed", type=_at_least(0), default=0, help="seeds the games, as in `edgerl eval`")
    parser.add_argument("--threads", type=_at_least(1, MOST_THREADS), default=1, help="compute threads")
    options = parser.parse_args()
    if options.camera is not None and options.camera_size is None:
        parser.error("--camera needs --camera-size WxH, such as 640x480")
    return options


def _at_least(least: int, most: int = 2**31) -> Any:
    def number(text: str) -> int:
        if not text.isdecimal() or len(text) > LONGEST or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text} is no whole number from {least} to {most}")
        return int(text)

    return number


def _id(name: str) -> str:
    """The id in gym:ID, or in gym/ID as edgerl writes it."""
    if not re.match("gym[:/].", name):
        raise Refused(f"--env: {name!r} is not gym:ID, such as gym:CartPole-v1")
    return name[4:]


def _size(text: str) -> tuple[int, int]:
    """Width and height, of a text such as 640x480."""
    sides = re.fullmatch("([1-9][0-9]{0,3})x([1-9][0-9]{0,3})", text)
    if not sides or max(map(int, sides.groups())) > LARGEST:
        raise Refused(f"--camera-size: {text} is not WxH, such as 640x480, of at most {LARGEST} pixels a side")
    return int(sides[1]), int(sides[2])


def _line(error: BaseException) -> str:
    return ": ".join(filter(None, (type(error).__name__, " ".join(str(error).split()))))


def _printable(text: str) -> str:
    """A text with escapes for what cannot be printed: a policy's file may be anybody's."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def _leave(message: str, code: int) -> NoReturn:
    print(f"edgerl_run: {_printable(message)}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
