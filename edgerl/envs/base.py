"""An environment's spec, and the protocol that the training loop uses."""

from dataclasses import dataclass, field, fields
from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from edgerl.types import Array, TimeStep

if TYPE_CHECKING:
    import numpy as np

PARTS = ("spec", "actions", "window", "reset", "step")  # that an environment must have
MOST_ACTIONS = 256  # a row of the replay holds the number of an action in one byte


class EnvSpec(NamedTuple):
    """What a plan needs of an environment.

    `frame`: the shape of one frame, [H, W] or [C, H, W]; `history`: frames in a window; `actions`: how many there are;
    if they are `continuous`, how many components an action has, float32 in [-1, 1]; `repeat`: env steps in one agent
    step; `refill`: whether missing history is the episode's first frame again, or zeros.
    """

    frame: tuple[int, ...]
    history: int
    actions: int
    repeat: int
    continuous: bool = False
    refill: bool = False

    @property
    def action(self) -> "np.dtype[Any]":
        """The dtype of an action in a row."""
        import numpy as np

        return np.dtype((np.float32, (self.actions,))) if self.continuous else np.dtype(np.uint8)

    @property
    def window(self) -> tuple[int, int, int]:
        """The shape of a window as encoders see it, the channels of its frames one after another: [history C, H, W]."""
        channels = 1 if len(self.frame) == 2 else self.frame[0]
        return (self.history * channels, self.frame[-2], self.frame[-1])

    def plain(self) -> "EnvSpec":
        """The same, with Python's own whole numbers: a spec may be computed with NumPy's."""
        return EnvSpec(
            tuple(int(side) for side in self.frame),
            int(self.history),
            int(self.actions),
            int(self.repeat),
            bool(self.continuous),
            bool(self.refill),
        )


@dataclass(frozen=True)
class EnvOptions:
    """What a run may ask of its environment; the settings of these names (RunConfig) say what they are.

    Of Atari: `sticky_actions`, `full_action_set`. Of dmc: `action_repeat` (None: 1). Of gym and custom environments:
    `env_arg`, the keyword arguments of what makes them; `frame_skip`; `frame` and `frame_size` (None: by their
    actions); `observation`, where pictures come from; `env_max_steps`.
    """

    sticky_actions: float = 0.0
    full_action_set: bool = False
    action_repeat: int | None = None
    env_arg: dict[str, Any] | None = field(default=None, hash=False)
    frame_skip: int = 1
    frame: str | None = None
    frame_size: int | None = None
    observation: str = "auto"
    env_max_steps: int | None = None


ENV_OPTIONS = tuple(option.name for option in fields(EnvOptions))


class Interface(NamedTuple):
    """What lies between an environment as agents see it and the real one, for who plays the real one with a policy.

    `resize`: how screens become frames, linear or area as OpenCV has them, or none; `max_of_last_two`: whether a frame
    is the maximum of the last two screens; `meanings`: of whole-number actions, in words, if there are any; `bounds`:
    the lowest and the highest action [A] that -1 and 1 are scaled to; `pictures`: where they come from, in words.
    `observation`, of a Gymnasium environment: "render", or the `key` of the picture in Dict observations (None: all of
    an observation is the picture), and whether its channels come first.
    """

    resize: str = "none"
    max_of_last_two: bool = False
    meanings: tuple[str, ...] | None = None
    bounds: tuple[Array, Array] | None = None
    pictures: str | None = None
    observation: str | dict[str, Any] | None = None


def interface(env: Any) -> Interface:
    """An environment's `interface`; one that has none, or something else of that name, is taken as it is."""
    own = getattr(env, "interface", None)
    return own if isinstance(own, Interface) else Interface()


def sees(env: Any) -> str | None:
    """What the agent sees of an environment, in one line; None if it does not say where its pictures come from."""
    pictures, spec = interface(env).pictures, env.spec
    if pictures is None:
        return None
    colours, (height, width) = "gray" if len(spec.frame) == 2 else "RGB", spec.frame[-2:]
    return f"{pictures}, {colours} {height}x{width}, {spec.history} frames"


class Environment(Protocol):
    """A pixel environment with windows uint8 [history, *frame].

    Actions are whole numbers from 0 to `actions` - 1 or, if the spec says continuous, float32 [actions] in [-1, 1].
    All of it passes `Door`. One without `state` and `restore` is played again at a resume. It may have a `close()`,
    called once at the end, and `most_steps`, the agent steps after which it truncates an episode.
    """

    name: str
    spec: EnvSpec
    actions: int

    def reset(self) -> TimeStep: ...

    def step(self, action: Any) -> TimeStep: ...

    @property
    def window(self) -> Array:
        """The window to act on, as the last reset or step returned it."""

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """All that determines what follows: arrays, and values for JSON."""

    def restore(self, arrays: dict[str, Array], values: dict[str, Any]) -> None:
        """Go on from what `state` gave. Raises EpisodeLost if that cannot be done; the window is undefined then."""

    def render(self) -> Array:
        """The screen as people see it, uint8 [H, W, 3]."""


def random_action(env: Environment, rng: "np.random.Generator") -> Any:
    """An action drawn uniformly."""
    if env.spec.continuous:
        return rng.uniform(-1, 1, env.actions).astype("float32")
    return int(rng.integers(env.actions))


def fault(env: Any) -> str | None:
    """What keeps something from being an environment to train on, in words; None if nothing does."""
    if missing := [part for part in PARTS if not hasattr(env, part)]:
        if hasattr(env, "single_action_space"):
            return "is a vector environment; name what makes one environment, and give --envs"
        gym = "; Gymnasium's environments are subclasses of gymnasium.Env" if hasattr(env, "action_space") else ""
        return f"is no environment: it has no {', '.join(missing)}{gym}"
    spec = env.spec
    if not isinstance(spec, EnvSpec):
        return f"is no environment: its spec is a {type(spec).__name__}, not an EnvSpec"
    wrong = _spec_fault(spec)
    if wrong is None and env.actions != spec.actions:
        wrong = f"it has {env.actions!r} actions, its spec {spec.actions}"
    if wrong is None:
        wrong = window_fault(env.window, (spec.history, *spec.frame))
    most = getattr(env, "most_steps", None)
    if wrong is None and most is not None and not _counts(most):
        wrong = f"its most_steps is {most!r}; allowed is a whole number from 1, or None"
    return None if wrong is None else f"cannot be trained on: {wrong}"


def _spec_fault(spec: EnvSpec) -> str | None:
    """What is wrong with a spec, in words; None if nothing is."""
    sides = spec.frame if isinstance(spec.frame, tuple) else ()
    if len(sides) not in (2, 3) or not all(_counts(side) for side in sides):
        return f"its spec's frame is {spec.frame!r}; allowed is (H, W) or (C, H, W)"
    for name in ("history", "actions", "repeat"):
        if not _counts(getattr(spec, name)):
            return f"its spec has {name} = {getattr(spec, name)!r}; allowed is a whole number from 1"
    if not spec.continuous and spec.actions > MOST_ACTIONS:
        return (
            f"its spec has {spec.actions} actions; allowed are {MOST_ACTIONS} at most, as a row holds one byte of them"
        )
    return None


def window_fault(window: Any, shape: tuple[int, ...]) -> str | None:
    """What keeps a value from being a window, uint8 of this shape, in words; None if nothing does."""
    import numpy as np

    if isinstance(window, np.ndarray) and window.dtype == np.uint8 and window.shape == shape:
        return None
    what = f"{window.dtype} {list(window.shape)}" if isinstance(window, np.ndarray) else in_words(window)
    return f"the window is {what}; allowed is uint8 {list(shape)}"


def in_words(value: Any) -> str:
    """A value in a few words; the five of Gymnasium's step and the two of its reset are named as such."""
    if isinstance(value, tuple) and len(value) in (2, 5):
        return f"a tuple of {len(value)}, as Gymnasium's environments do"
    return f"a {type(value).__name__}"


def _counts(value: Any) -> bool:
    """Whether a value is a whole number from 1 up."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1
