"""What a card says, before it is text: the names of its files, and all that its README.md is made of."""

from dataclasses import dataclass, field
from typing import Any

from edgerl.config.settings import Config
from edgerl.training.summary import rows

README, POLICY, SCORES, CONFIG = "README.md", "policy.onnx", "scores.json", "config.toml"
FILM, BEGINNING = "replay.mp4", "replay.gif"  # hubs play an MP4 of that name beside the page; the page shows the GIF
FILES = (README, POLICY, FILM, BEGINNING, SCORES, CONFIG)
SECONDS = 20  # of the GIF at most: a page loads all of it

# Of the summary's lines for people, which have names there, and how a card calls them. Scores have their own section.
TOLD = {name: name for name in ("begun", "forked", "replay", "why then", "freeze", "capacity", "memory", "speed")}
TOLD |= {"status": "run", "arithmetic": "multiply-adds"}


@dataclass(frozen=True)
class Facts:
    """What a run's summary says: lines for people as (name, text), and versions by name; empty if there is none."""

    lines: list[tuple[str, str]] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)


def facts(summary: dict[str, Any]) -> Facts:
    """Of a summary.json; raises what `rows` does if it is not as this version writes it."""
    lines = [(TOLD[name], text) for name, text in rows(summary) if name in TOLD]
    return Facts(lines, {name: str(version) for name, version in summary["versions"].items() if version})


@dataclass(frozen=True)
class Contents:
    """What README.md is made of.

    `about`: what policy.onnx says of itself; `scores`: scores.json; `policy_bytes`: the size of policy.onnx; `parity`:
    how it compares with the program, in words; `license`: of the policy, as hubs write it.
    """

    config: Config
    about: dict[str, Any]
    scores: dict[str, Any]
    facts: Facts
    policy_bytes: int
    parity: str
    is_filmed: bool
    license: str
