"""The settings there are: frozen dataclasses by table, with the type and the bounds of every key."""

import difflib
import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

import tomli_w

from edgerl.errors import ConfigError


@dataclass(frozen=True)
class RunConfig:
    """What runs and for how long.

    `budget`: bytes, or "unbounded" for as many rows as there are steps. None: no device, no freeze ("never" in TOML),
    no limit of its own (`process_limit`, bytes), no end but `steps` (`stop_at_flops`, multiply-adds); `action_repeat`
    is dm_control's. `encoder_from`: the folder of the run whose networks this one begins with, `transfer`: which.
    `ort_provider`: ONNX Runtime's execution provider that encodes after the freeze, if it has parity.
    """

    env: str
    algo: str
    budget: int | Literal["unbounded"]
    device: str | None
    steps: int
    freeze_at: int | None
    seed: int
    threads: int
    accelerator: Literal["cpu", "cuda", "auto"]
    action_repeat: int | None
    eval_every: int
    eval_episodes: int
    eval_epsilon: float
    checkpoint_every: int
    process_limit: int | None
    stop_at_flops: float | None
    sticky_actions: float
    full_action_set: bool
    encoder_from: str | None = None  # these came later: what runs of before them did
    transfer: Literal["all", "encoder"] | None = None
    snapshot_every: int = 0
    ort_provider: str = "CPUExecutionProvider"


@dataclass(frozen=True)
class ReplayConfig:
    """Replay and schedule; `learn_start` in agent steps.

    `crop`: the side of what encoders see of a frame, 0: all of it; `random_crop`: where a sample is cropped, at random
    or in the centre; `augmentations`: K, the latents of as many random crops that a row holds after the freeze;
    `batch_size_after_freeze`: 0 is as before it.
    """

    sampling: Literal["prioritized", "uniform"]
    store: Literal["auto", "pixels", "latents"]
    pixel_codec: Literal["raw", "lz4"]
    latent_dtype: Literal["float32", "float16", "uint8"]
    crop: int
    random_crop: bool
    augmentations: int
    batch_size: int
    learn_start: int
    n_step: int
    gamma: float
    omega: float
    beta_start: float
    beta_end: float
    reward_clip: float | None
    batch_size_after_freeze: int = 0  # came later: what runs of before it did

    def batch(self, *, frozen: bool) -> int:
        """Rows a batch holds, before the freeze or after it."""
        return (frozen and self.batch_size_after_freeze) or self.batch_size


@dataclass(frozen=True)
class RainbowConfig:
    """Rainbow's; `cut` names the encoder's last frozen layer."""

    encoder: str
    cut: str
    hidden: int
    atoms: int
    v_min: float
    v_max: float
    sigma0: float
    learning_rate: float
    adam_eps: float
    clip_norm: float
    target_every: int


@dataclass(frozen=True)
class DqnConfig:
    """Plain DQN's; exploration falls linearly from `epsilon_start` to `epsilon_end` over `epsilon_steps` actions."""

    encoder: str
    cut: str
    hidden: int
    learning_rate: float
    adam_eps: float
    clip_norm: float
    target_every: int
    epsilon_start: float
    epsilon_end: float
    epsilon_steps: int


@dataclass(frozen=True)
class SacConfig:
    """CURL-SAC's and SAC's. `random_steps`: actions drawn uniformly at first; `tau_...`: how fast targets follow."""

    encoder: str
    cut: str
    hidden: int
    random_steps: int
    learning_rate: float
    alpha_start: float
    alpha_learning_rate: float
    alpha_beta1: float
    actor_every: int
    target_every: int
    tau_q: float
    tau_encoder: float
    log_std_min: float
    log_std_max: float


AgentConfig = RainbowConfig | DqnConfig | SacConfig
AGENTS: dict[str, type[AgentConfig]] = {
    "rainbow": RainbowConfig,
    "dqn": DqnConfig,
    "curl": SacConfig,
    "sac": SacConfig,
}
CONTINUOUS = ("curl", "sac")  # the algorithms for actions that are vectors
TYPES: dict[str, dict[str, Any]] = {
    "run": get_type_hints(RunConfig),
    "replay": get_type_hints(ReplayConfig),
    "agent": {key: kind for each in AGENTS.values() for key, kind in get_type_hints(each).items()},
}
# The smallest and largest value allowed, where not every number is; both count as allowed.
BOUNDS: dict[str, tuple[float, float]] = {
    "steps": (1, math.inf),
    "freeze_at": (0, math.inf),
    "seed": (0, 2**63 - 1),
    "threads": (1, 1024),
    "eval_every": (0, math.inf),
    "eval_episodes": (1, math.inf),
    "eval_epsilon": (0, 1),
    "checkpoint_every": (0, math.inf),
    "snapshot_every": (0, math.inf),
    "sticky_actions": (0, 1),
    "stop_at_flops": (1, math.inf),
    "process_limit": (1, math.inf),
    "budget": (1, math.inf),
    "batch_size": (1, 65536),
    "batch_size_after_freeze": (0, 65536),
    "learn_start": (1, math.inf),
    "n_step": (1, 1000),
    "gamma": (0, 1),
    "omega": (0, 1),
    "beta_start": (0, 1),
    "beta_end": (0, 1),
    "reward_clip": (0, math.inf),
    "hidden": (1, 65536),
    "atoms": (2, 10_001),
    "v_min": (-1e9, 1e9),
    "v_max": (-1e9, 1e9),
    "learning_rate": (0, 10),
    "adam_eps": (1e-15, 1),  # above zero: a gradient of zero over a mean of zero is no number
    "clip_norm": (0, math.inf),
    "target_every": (1, math.inf),
    "action_repeat": (1, 1000),
    "crop": (0, 65536),
    "augmentations": (1, 255),
    "epsilon_start": (0, 1),
    "epsilon_end": (0, 1),
    "epsilon_steps": (1, math.inf),
    "random_steps": (0, math.inf),
    "alpha_start": (1e-9, 1e9),
    "alpha_learning_rate": (0, 10),
    "alpha_beta1": (0, 0.9999),
    "actor_every": (1, math.inf),
    "tau_q": (0, 1),
    "tau_encoder": (0, 1),
    "log_std_min": (-100, 100),
    "log_std_max": (-100, 100),
    "sigma0": (0, 10),
}


def find(key: str) -> tuple[str, str]:
    """The (table, key) of a key written as `table.key` or `key`; raises ConfigError, naming the nearest one."""
    table, _, name = key.rpartition(".")
    found = [(each, name) for each in TYPES if name in TYPES[each] and table in ("", each)]
    if not found:
        known = {full for each in TYPES for k in TYPES[each] for full in (k, f"{each}.{k}")}
        raise ConfigError(f"unknown key {key!r}{nearest(key, known)}")
    return found[0]


def check(key: str, value: Any) -> Any:
    """`value` as its key's type (a whole number may stand for a float); raises ConfigError, naming the key."""
    table, name = find(key)
    allowed = TYPES[table][name]
    kinds = get_args(allowed) if get_args(allowed) and get_origin(allowed) is not Literal else (allowed,)
    words = [word for kind in kinds if get_origin(kind) is Literal for word in get_args(kind)]
    plain = [kind for kind in kinds if isinstance(kind, type) and kind is not type(None)]
    if type(None) in kinds and value == "never":
        return value
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ConfigError(f"{key} = a number of {value.bit_length()} bits is beyond 64 bits")
    if isinstance(value, int) and not isinstance(value, bool) and float in plain:
        value = float(value)
    if value == "":
        raise ConfigError(f"{key} = '' is empty")
    if value not in words and type(value) not in plain:
        wanted = " or ".join([*({int: "a whole number", float: "a number", str: "text", bool: "true or false"}[k]
                                for k in plain), *map(repr, words)])  # fmt: skip
        raise ConfigError(f"{key} = {value!r} is not {wanted}")
    low, high = BOUNDS.get(name, (-math.inf, math.inf))
    if isinstance(value, int | float) and not isinstance(value, bool) and not low <= value <= high:
        side = f"below {low:g}" if value < low else f"not from {low:g} to {high:g}"
        raise ConfigError(f"{key} = {value!r} is {side}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{key} = {value!r} is not a finite number")
    return value


def nearest(word: str, known: Any) -> str:
    """`; the nearest is ...`, or nothing where none of `known` is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; the nearest is {near[0]}" if near else ""


@dataclass(frozen=True)
class Config:
    """Everything that determines a run, as written to its config.toml."""

    run: RunConfig
    replay: ReplayConfig
    agent: AgentConfig

    @property
    def identity(self) -> dict[str, Any]:
        """Whose a checkpoint is: no run where one of these is another can go on from it."""
        run, agent = self.run, self.agent
        return {"environment": run.env, "algorithm": run.algo, "encoder": agent.encoder, "seed": run.seed}

    def to_toml(self) -> str:
        """The same as TOML, which has no null: what does not apply is "never"."""
        tables = {
            name: {key: "never" if value is None else value for key, value in table.items()}
            for name, table in asdict(self).items()
        }
        return tomli_w.dumps(tables)
