"""What a setting is: how its dataclass declares it, and what options, checks and pages read of it."""

import math
from dataclasses import MISSING, dataclass, field
from typing import Any, Literal, get_args, get_origin

MARKS = ("low", "high", "option", "metavar", "size", "resumable", "identity", "always", "after_freeze")


def flag(name: str) -> str:
    """The option of a name, written out."""
    return f"--{name.replace('_', '-')}"


def setting(help: str, *, default: Any = MISSING, hash: bool | None = None, **marks: Any) -> Any:
    """A dataclass field that is a setting; `help` says what it is, `marks` are those of `Setting`.

    `hash`: False for a table, which has none.
    """
    if unknown := marks.keys() - set(MARKS):
        raise TypeError(f"unknown marks: {unknown}")
    return field(default=default, hash=hash, metadata={"help": help, **marks})


@dataclass(frozen=True)
class Setting:
    """One setting: its table and name, its type, and what its dataclass says of it.

    `low`, `high`: the least and greatest number allowed. `option`: it has an option of its own, besides `--set`;
    `metavar`: what stands for the value in its help; `size`: bytes, given as text such as 0.07GB; `resumable`: it may
    change at a resume; `identity`: what a checkpoint calls it, if a run of another value cannot go on from it;
    `always`: a command that repeats a run always says it; `after_freeze`: it matters only from T_f on, so that runs
    which differ in it share their beginning. `added_later`: older runs lack it, so it has a `default`.
    """

    table: str
    name: str
    kind: Any
    help: str
    low: float = -math.inf
    high: float = math.inf
    option: bool = False
    metavar: str | None = None
    size: bool = False
    resumable: bool = False
    identity: str | None = None
    always: bool = False
    after_freeze: bool = False
    added_later: bool = False
    default: Any = None

    @property
    def from_preset(self) -> bool:
        """Whether its value is a preset's if nobody gives one; else its help says what is."""
        return not self.added_later and "default" not in self.help and not self.optional

    @property
    def key(self) -> str:
        return f"{self.table}.{self.name}"

    @property
    def flag(self) -> str:
        """Its option, written out."""
        return flag(self.name)

    @property
    def kinds(self) -> tuple[Any, ...]:
        """The alternatives of its type."""
        return get_args(self.kind) if get_origin(self.kind) not in (None, Literal) else (self.kind,)

    @property
    def optional(self) -> bool:
        """Whether None, "never" in TOML, is allowed."""
        return type(None) in self.kinds

    @property
    def takes_never(self) -> bool:
        """Whether its option takes "never"."""
        return self.metavar is not None and "never" in self.metavar

    @property
    def types(self) -> list[type]:
        """The types of its values, words and None aside."""
        plain = [get_origin(kind) if get_origin(kind) is dict else kind for kind in self.kinds]
        return [kind for kind in plain if isinstance(kind, type) and kind is not type(None)]

    @property
    def words(self) -> list[str]:
        """The words that stand for a value."""
        return [word for kind in self.kinds if get_origin(kind) is Literal for word in get_args(kind)]

    @property
    def stand_ins(self) -> list[str]:
        """These words, and the one that stands for None."""
        return [*self.words, *(["never"] if self.optional else [])]
