"""The settings of a run, each declared once: in its dataclass, with its bounds, its help and how a user gives it.

Options, `--set`, plan, sweep, the commands that repeat a run, what may change at a resume and docs/settings.md are all
enumerated from here (`SETTINGS`).
"""

from collections.abc import Iterator
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Literal, get_type_hints

import tomli_w

from edgerl.config import inline
from edgerl.config.agent_settings import AGENTS, AgentConfig
from edgerl.config.replay_settings import ReplayConfig
from edgerl.config.setting import Setting, setting
from edgerl.envs.base import ENV_OPTIONS, EnvOptions

LONGEST = 999_999_999  # agent steps: checkpoints are named by nine digits
PACE = 2_500  # agent steps between checkpoints where nothing is known of the storage


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
        "bytes the process tree may hold, if device and control group do not allow less (default: what they allow)",
        low=1, option=True, size=True, resumable=True,
    )  # fmt: skip
    steps: int = setting("agent steps", low=1, high=LONGEST, option=True, always=True, resumable=True)
    stop_at_flops: float | None = setting(
        "end at this many multiply-adds, such as 45e12", low=1, option=True, resumable=True
    )
    freeze_at: int | Literal["auto"] | None = setting(
        "the agent step of the freeze, T_f; never; or auto: once the encoder is settled (default: the preset's)",
        low=0,
        option=True,
        always=True,
        after_freeze=True,
        metavar="N|never|auto",
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
    checkpoint_every: int | Literal["auto"] = setting(
        "agent steps between checkpoints; 0: only at the start and the end; auto: as the device's storage allows",
        low=0, option=True, resumable=True, metavar="N|auto",
    )  # fmt: skip
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
        "agent steps between weights kept for edgerl analyze; 0: none (default: 0)",
        default=0, low=0, option=True, resumable=True,
    )  # fmt: skip
    ort_provider: str = setting(
        "ONNX Runtime's execution provider that encodes after T_f (default: cpu)",
        default="CPUExecutionProvider", option=True, resumable=True, metavar="cpu|cuda|...",
    )  # fmt: skip
    engine: Literal["auto", "numpy", "torch"] = setting(
        "what trains; auto: numpy where kernels are as large as strides, else torch until T_f (default: auto)",
        default="auto", option=True,
    )  # fmt: skip
    until: int | None = setting(
        "end at this agent step; schedules go on to --steps; --resume with --until never goes on from here, or --fork",
        default=None, low=1, option=True, resumable=True, metavar="N|never",
    )  # fmt: skip
    keep_torch: bool = setting(
        "go on with torch after T_f, in the same process, which keeps torch's memory",
        default=False, option=True, resumable=True,
    )  # fmt: skip
    freeze_by: int | None = setting(
        "the latest step of --freeze-at auto (default: the preset's T_f)", default=None, low=1, option=True, always=True
    )
    eval_max_steps: int | None = setting(
        "agent steps after which an evaluation's game is cut (default: the environment's own limit, else 27000)",
        default=None, low=1, option=True, resumable=True,
    )  # fmt: skip
    envs: int = setting(
        "environments that act at once, each in a process of its own (default: 1)",
        default=1, low=1, high=256, option=True, identity="--envs",
    )  # fmt: skip
    # Added later, of gym and custom environments.
    env_arg: dict[str, Any] | None = setting(  # noqa: RUF009
        "an argument of what makes a gym or custom environment, such as size=9; may be given several times",
        default=None, hash=False, option=True, metavar="KEY=VALUE", identity="--env-arg",
    )  # fmt: skip
    frame_skip: int = setting(
        "environment steps that an agent step of a Gymnasium environment lasts (default: 1)",
        default=1, low=1, high=1000, option=True, identity="--frame-skip",
    )  # fmt: skip
    frame: Literal["gray", "rgb"] | None = setting(
        "colours of a Gymnasium environment's frames (default: gray where actions are choices, else rgb)",
        default=None, option=True, identity="--frame",
    )  # fmt: skip
    frame_size: int | None = setting(
        "height and width of a Gymnasium environment's frames in pixels (default: gray 84, else 100)",
        default=None, low=8, high=1024, option=True, identity="--frame-size",
    )  # fmt: skip
    observation: str = setting(
        "the key of the picture in a Gymnasium environment's Dict observations; render: what it draws; auto: the "
        "picture it observes if there is one, else what it draws (default: auto); older: as runs without this setting",
        default="older", option=True, metavar="KEY|auto|render", identity="--observation",
    )  # fmt: skip
    env_max_steps: int | None = setting(
        "agent steps after which an episode of a gym or custom environment is cut off (default: its own limit)",
        default=None, low=1, option=True, identity="--env-max-steps",
    )  # fmt: skip

    @property
    def latest_freeze(self) -> int | None:
        """The step by which the encoder is frozen: T_f, or with auto the latest step; None if it never is."""
        return self.freeze_by if self.freeze_at == "auto" else self.freeze_at

    @property
    def pace(self) -> int:
        """Agent steps between checkpoints; PACE if nobody has settled them. 0: only at the start and the end."""
        return PACE if self.checkpoint_every == "auto" else self.checkpoint_every

    @property
    def env_options(self) -> EnvOptions:
        """What it asks of its environment."""
        return EnvOptions(**{name: getattr(self, name) for name in ENV_OPTIONS})


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
                    default=None if declared.default is MISSING else declared.default,
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
    def code(self) -> list[str]:
        """The names that are imported for it, each a module of the user's with what is taken of it."""
        return [name for name in (self.run.env, self.agent.encoder) if ":" in name]

    @property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint must share with a run to be resumed by it; of later settings, what older runs were not."""
        return {
            setting.identity: inline.text(value) if isinstance(value, dict) else value
            for setting, value in self.values()
            if setting.identity and not (setting.added_later and value == setting.default)
        }

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
