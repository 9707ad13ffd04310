"""The settings of a run, each declared once: in its dataclass, with its bounds, its help and how a user gives it.

Options, `--set`, plan, sweep, the commands that repeat a run, what may change at a resume and docs/settings.md are all
enumerated from here (`SETTINGS`).
"""

from collections.abc import Iterator
from dataclasses import MISSING, asdict, dataclass, fields
from fractions import Fraction
from math import floor
from typing import Any, ClassVar, Literal, get_type_hints

import tomli_w

from edgerl.config.setting import Setting, setting
from edgerl.envs.base import EnvOptions
from edgerl.errors import ConfigError
from edgerl.types import Phases


@dataclass(frozen=True)
class RunConfig:
    """What runs and for how long. None is "never" in TOML: no device, no freeze, no limit of its own."""

    env: str = setting(
        "such as atari/qbert (the default), dmc/cartpole-swingup, gym/CartPole-v1 or toy/catch",
        option=True, always=True, identity="environment",
    )  # fmt: skip
    algo: str = setting(
        "rainbow or dqn; curl or sac where actions are vectors", option=True, always=True, identity="algorithm"
    )
    budget: int | Literal["unbounded"] = setting(
        "bytes the replay holds, such as 0.07GB, or unbounded: as many rows as there are steps",
        low=1, option=True, always=True, size=True,
    )  # fmt: skip
    device: str | None = setting(
        "a board or phone (see edgerl devices), or a profile's file", option=True, always=True, metavar="NAME[:MODE]"
    )
    process_limit: int | None = setting(
        "bytes the process tree may hold (default: what the device leaves)",
        low=1, option=True, size=True, resumable=True,
    )  # fmt: skip
    steps: int = setting("agent steps", low=1, option=True, always=True, resumable=True)
    stop_at_flops: float | None = setting(
        "end at this many multiply-adds, such as 45e12", low=1, option=True, resumable=True
    )
    freeze_at: int | None = setting(
        "T_f, the agent step of the freeze, or never (default: the preset's)",
        low=0,
        option=True,
        always=True,
        metavar="N|never",
    )
    seed: int = setting(
        "seeds environment, replay and agent (default: 0)",
        low=0, high=2**63 - 1, option=True, always=True, identity="seed",
    )  # fmt: skip
    threads: int = setting(
        "compute threads (default: the device's, or all cores)",
        low=1, high=1024, option=True, always=True, resumable=True,
    )  # fmt: skip
    accelerator: Literal["cpu", "cuda", "auto"] = setting(
        "where the networks are trained; cuda needs torch", option=True
    )
    action_repeat: int | None = setting(
        "environment steps that an action of dmc lasts (default: the preset's)", low=1, high=1000, option=True
    )
    eval_every: int = setting("agent steps between evaluations; 0: none", low=0, option=True, resumable=True)
    eval_episodes: int = setting("whole games an evaluation plays", low=1, option=True, resumable=True)
    eval_epsilon: float = setting("probability of a random action in an evaluation", low=0, high=1)
    checkpoint_every: int = setting(
        "agent steps between checkpoints; 0: only at the start and the end", low=0, option=True, resumable=True
    )
    sticky_actions: float = setting("probability that Atari repeats the last action", low=0, high=1, option=True)
    full_action_set: bool = setting("all 18 Atari actions, not the game's own", option=True)
    # Added later; the defaults are what older runs did.
    encoder_from: str | None = setting(
        "begin with the networks of another run, in this folder", default=None, option=True, always=True, metavar="RUN"
    )
    transfer: Literal["all", "encoder"] | None = setting(
        "which of its networks (default: encoder)", default=None, option=True, always=True
    )
    snapshot_every: int = setting(
        "agent steps between weights kept for edgerl analyze; 0: none", default=0, low=0, option=True, resumable=True
    )
    ort_provider: str = setting(
        "ONNX Runtime's execution provider that encodes after T_f (default: cpu)",
        default="CPUExecutionProvider", option=True, resumable=True, metavar="cpu|cuda|...",
    )  # fmt: skip
    engine: Literal["auto", "numpy", "torch"] = setting(
        "what trains; auto: numpy where all convolutions are of patches, else torch until T_f (default: auto)",
        default="auto", option=True,
    )  # fmt: skip
    keep_torch: bool = setting(
        "go on with torch after T_f: the fastest, but not the smallest", default=False, option=True, resumable=True
    )

    @property
    def env_options(self) -> EnvOptions:
        """What it asks of its environment."""
        return EnvOptions(self.sticky_actions, self.full_action_set, self.action_repeat)


@dataclass(frozen=True)
class ReplayConfig:
    """The replay and the schedule of updates."""

    sampling: Literal["prioritized", "uniform"] = setting("how rows are drawn", option=True)
    store: Literal["auto", "pixels", "latents"] = setting("what the replay holds after T_f", option=True, always=True)
    pixel_codec: Literal["raw", "lz4"] = setting("how frames are stored", option=True, always=True)
    latent_dtype: Literal["float32", "float16", "uint8"] = setting("how latents are stored", option=True, always=True)
    crop: int = setting("the side of what encoders see of a frame, in pixels; 0: the whole frame", low=0, high=65536)
    random_crop: bool = setting("whether a sampled window is cropped at random, or in the centre")
    augmentations: int = setting(
        "K: latents of as many random crops that a row holds after the freeze", low=1, high=255
    )
    batch_size: int = setting("rows a batch holds", low=1, high=65536, option=True)
    learn_start: int = setting("agent steps before the first update", low=1)
    n_step: int = setting("steps of a return", low=1, high=1000)
    gamma: float = setting("discount of one step", low=0, high=1)
    omega: float = setting("exponent of priorities", low=0, high=1)
    beta_start: float = setting("exponent of importance weights at the first update", low=0, high=1)
    beta_end: float = setting("exponent of importance weights at the last step", low=0, high=1)
    reward_clip: float | None = setting("rewards are clipped to plus or minus this while training", low=0)
    batch_size_after_freeze: int = setting(  # added later
        "rows a batch holds after T_f; 0: as before it", default=0, low=0, high=65536, option=True
    )

    updates_per_step: float = setting(  # added later
        "updates an agent step, before T_f; 0.5: one every second step", default=1.0, low=0.001, high=1000, option=True
    )
    updates_per_step_after_freeze: float | Literal["same"] = setting(  # added later
        "updates an agent step after T_f; same: as before it (default: same)",
        default="same", low=0.001, high=1000, option=True,
    )  # fmt: skip

    @property
    def batches(self) -> Phases[int]:
        """Rows that a batch holds."""
        return Phases(self.batch_size, self.batch_size_after_freeze or self.batch_size)

    def updates(self, steps: int, frozen_at: int | None) -> Phases[int]:
        """How many updates the first `steps` agent steps make, before the freeze at step `frozen_at` and after it."""
        rate, after = self.updates_per_step, self.updates_per_step_after_freeze
        until = steps if frozen_at is None else min(steps, frozen_at)
        since = steps if frozen_at is None else max(frozen_at, self.learn_start)
        return Phases(
            floor(max(0, until - self.learn_start) * Fraction(str(rate))),
            floor(max(0, steps - since) * Fraction(str(rate if after == "same" else after))),
        )


@dataclass(frozen=True)
class NetworkConfig:
    """What every agent has."""

    continuous: ClassVar[bool] = False  # whether its actions are vectors

    encoder: str = setting(
        "data_efficient, canonical, curl, impala or module:callable", option=True, identity="encoder"
    )
    cut: str = setting("the encoder's last frozen layer, such as conv1, block2 or last", option=True, always=True)
    hidden: int = setting("features of a hidden layer of the heads", low=1, high=65536)
    learning_rate: float = setting("learning rate of Adam", low=0, high=10)
    target_every: int = setting("updates between two updates of the target network", low=1)

    def check(self) -> None:
        """Raise ConfigError for what is wrong only between two settings."""


@dataclass(frozen=True)
class ValueConfig(NetworkConfig):
    """What Rainbow and DQN have in common."""

    # An epsilon above zero: a gradient of zero over a mean of zero is no number.
    adam_eps: float = setting("epsilon of Adam", low=1e-15, high=1)
    clip_norm: float = setting("largest norm of an update's gradient", low=0)


@dataclass(frozen=True)
class RainbowConfig(ValueConfig):
    """Rainbow's."""

    atoms: int = setting("atoms of the return's distribution", low=2, high=10_001)
    v_min: float = setting("the lowest atom", low=-1e9, high=1e9)
    v_max: float = setting("the highest atom", low=-1e9, high=1e9)
    sigma0: float = setting("initial noise of noisy layers", low=0, high=10)
    priority: Literal["kl", "cross_entropy"] = setting(  # added later
        "the loss that rows are prioritised by: kl (Hessel et al. 2018), or cross_entropy, as public code has it",
        default="cross_entropy", option=True,
    )  # fmt: skip

    def check(self) -> None:
        if not self.v_max - self.v_min > 1e-6 * max(abs(self.v_min), abs(self.v_max)):  # what float32 tells apart
            raise ConfigError(f"agent.v_min = {self.v_min:g} is not below agent.v_max = {self.v_max:g}")


@dataclass(frozen=True)
class DqnConfig(ValueConfig):
    """Plain DQN's. Exploration falls linearly."""

    epsilon_start: float = setting("probability of a random action at first", low=0, high=1)
    epsilon_end: float = setting("probability of a random action at last", low=0, high=1)
    epsilon_steps: int = setting("actions over which it falls", low=1)


@dataclass(frozen=True)
class SacConfig(NetworkConfig):
    """CURL-SAC's and SAC's."""

    continuous: ClassVar[bool] = True

    random_steps: int = setting("actions drawn uniformly at first", low=0)
    alpha_start: float = setting("the temperature at first", low=1e-9, high=1e9)
    alpha_learning_rate: float = setting("learning rate of the temperature", low=0, high=10)
    alpha_beta1: float = setting("beta1 of the temperature's Adam", low=0, high=0.9999)
    actor_every: int = setting("updates of the critics for one of the actor", low=1)
    tau_q: float = setting("how fast target critics follow", low=0, high=1)
    tau_encoder: float = setting("how fast the target encoder follows", low=0, high=1)
    log_std_min: float = setting("least log standard deviation of an action", low=-100, high=100)
    log_std_max: float = setting("greatest log standard deviation of an action", low=-100, high=100)

    def check(self) -> None:
        if self.log_std_min >= self.log_std_max:
            raise ConfigError(f"agent.log_std_min = {self.log_std_min:g} is not below agent.log_std_max")


AgentConfig = RainbowConfig | DqnConfig | SacConfig
AGENTS: dict[str, type[AgentConfig]] = {
    "rainbow": RainbowConfig,
    "dqn": DqnConfig,
    "curl": SacConfig,
    "sac": SacConfig,
}
TABLES: dict[str, tuple[type, ...]] = {
    "run": (RunConfig,),
    "replay": (ReplayConfig,),
    "agent": tuple(dict.fromkeys(AGENTS.values())),
}


def _declared() -> Iterator[Setting]:
    for table, kinds in TABLES.items():
        for kind in kinds:
            types = get_type_hints(kind)
            for declared in fields(kind):
                yield Setting(
                    table,
                    declared.name,
                    types[declared.name],
                    added_later=declared.default is not MISSING,
                    **declared.metadata,
                )


SETTINGS: dict[str, Setting] = {setting.key: setting for setting in _declared()}


@dataclass(frozen=True)
class Config:
    """Everything that determines a run, as written to its config.toml."""

    run: RunConfig
    replay: ReplayConfig
    agent: AgentConfig

    @property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint must share with a run to be resumed by it."""
        return {setting.identity: value for setting, value in self.values() if setting.identity}

    def values(self) -> Iterator[tuple[Setting, Any]]:
        """Every setting of this run with its value."""
        for table, own in (("run", self.run), ("replay", self.replay), ("agent", self.agent)):
            for name, value in vars(own).items():
                yield SETTINGS[f"{table}.{name}"], value

    def to_toml(self) -> str:
        """The same as TOML, which has no null: None is "never"."""
        tables = {
            name: {key: "never" if value is None else value for key, value in table.items()}
            for name, table in asdict(self).items()
        }
        return tomli_w.dumps(tables)
