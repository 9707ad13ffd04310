"""Settings of the agents, each declared once. What all agents have stands first."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from edgerl.config.setting import setting
from edgerl.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """What every agent has."""

    continuous: ClassVar[bool] = False  # whether its actions are vectors

    encoder: str = setting(
        "data_efficient, canonical, curl, impala or module:callable", option=True, identity="encoder"
    )
    cut: str = setting(
        "the encoder's last frozen layer, such as conv1, block2 or last", option=True, always=True, after_freeze=True
    )
    hidden: int = setting("features of a hidden layer of the heads", low=1, high=65536)
    learning_rate: float = setting("learning rate of Adam", low=0, high=10)
    target_every: int = setting("updates between two of the target network, counted from the first update", low=1)
    reset_heads_every: int = setting(  # added later
        "updates after T_f between two resets of the heads, which begin anew (Nikishin et al. 2022); 0: never",
        default=0, low=0, after_freeze=True,
    )  # fmt: skip
    weight_decay: float = setting(  # added later
        "decoupled weight decay of the networks, biases included (AdamW, Loshchilov & Hutter 2019; BBF: 0.1); 0: none",
        default=0.0, low=0, high=1,
    )  # fmt: skip

    def check(self) -> None:
        """Raise ConfigError for what is wrong only between two settings."""


@dataclass(frozen=True, kw_only=True)
class ValueConfig(NetworkConfig):
    """What Rainbow and DQN have in common."""

    # An epsilon above zero: a gradient of zero over a mean of zero is no number.
    adam_eps: float = setting("epsilon of Adam", low=1e-15, high=1)
    clip_norm: float = setting("largest norm of an update's gradient", low=0)
    # Random actions explore. Rainbow's defaults, added later: in BBF 2,000 are random, then epsilon falls over 2,001.
    epsilon_start: float = setting("probability of a random action at first", default=1.0, low=0, high=1)
    epsilon_end: float = setting("probability of a random action at last", default=0.01, low=0, high=1)
    epsilon_steps: int = setting("actions over which it falls", default=4000, low=1)


@dataclass(frozen=True, kw_only=True)
class RainbowConfig(ValueConfig):
    """Rainbow's. Random actions explore only where layers are not noisy."""

    atoms: int = setting("atoms of the return's distribution", low=2, high=10_001)
    v_min: float = setting("the lowest atom", low=-1e9, high=1e9)
    v_max: float = setting("the highest atom", low=-1e9, high=1e9)
    sigma0: float = setting("initial noise of noisy layers", low=0, high=10)
    priority: Literal["kl", "cross_entropy"] = setting(  # added later
        "the loss that rows are prioritised by: kl (Hessel et al. 2018), or cross_entropy, as public code has it "
        "(default: cross_entropy)",
        default="cross_entropy", option=True,
    )  # fmt: skip
    noisy: bool = setting(  # added later
        "whether noisy layers explore; false: plain layers, and random actions as epsilon_start, epsilon_end and "
        "epsilon_steps say (BBF, Schwarzer et al. 2023)",
        default=True,
    )  # fmt: skip

    def check(self) -> None:
        if not self.v_max - self.v_min > 1e-6 * max(abs(self.v_min), abs(self.v_max)):  # what float32 tells apart
            raise ConfigError(f"agent.v_min = {self.v_min:g} is not below agent.v_max = {self.v_max:g}")


@dataclass(frozen=True, kw_only=True)
class DqnConfig(ValueConfig):
    """Plain DQN's."""


@dataclass(frozen=True, kw_only=True)
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
