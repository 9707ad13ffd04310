"""What an exported policy says of itself: all that whoever runs it must know, as strict JSON in the file."""

from typing import Any

from edgerl.envs.base import EnvSpec, Interface, interface
from edgerl.envs.door import Door
from edgerl.envs.resumable import LONGEST
from edgerl.experiments.export.parity import Parity
from edgerl.replay import representation
from edgerl.runs import strict_json, versions
from edgerl.training.policy import Policy
from edgerl.types import Array

KEY, FORMAT = "edgerl", 1
LICENCE = "MIT for edgerl, which wrote this file; the policy belongs to who trained it"
COLOURS = {1: "gray", 3: "rgb"}
SCORES = ("step", "episodes", "mean", "std")


def metadata(
    policy: Policy,
    env: Door,
    bounds: tuple[Array, Array] | None,
    parity: Parity,
    int8: dict[str, Any] | None = None,
) -> dict[str, str]:
    """The entries of the file, by key: one, whose value is JSON. `bounds`: of actions that are vectors.

    `env`: as evaluations play it.
    `int8`: how the policy in 8 bits compares with the float one, if this is that policy.
    """
    run, spec, saved, own = policy.config.run, policy.spec, policy.saved, interface(env)
    said = {
        "format": FORMAT,
        "env": run.env,
        "algo": run.algo,
        "seed": run.seed,
        "steps": policy.step,
        "licence": LICENCE,
        "checkpoint_sha256": saved.values["sha256"]["weights.safetensors"],
        "versions": dict(_versions()),
        "scores": [{name: score[name] for name in SCORES} for score in saved.values["trainer"]["returns"]],
        "frame": _frame(policy, own),
        "window": {"frames": spec.history, "before_first": "first" if spec.refill else "zeros"},
        "environment": {
            "frame_skip": spec.repeat,
            "max_of_last_two": own.max_of_last_two,
            "observation": own.observation,
            "most_steps": run.eval_max_steps or env.most_steps or LONGEST,
        },
        "action": _action(spec, own, bounds),
        "parity": parity.summary(),
        **({} if int8 is None else {"int8": int8}),
    }
    return {KEY: strict_json.dumps(said)}


def _versions() -> list[tuple[str, str]]:
    """The packages that a policy depends on, those that are here, with their versions."""
    return [(name, own) for name, own in versions.installed().items() if name in versions.PACKAGES and own]


def _frame(policy: Policy, env_interface: Interface) -> dict[str, Any]:
    """One frame as the encoder sees it, and before it is cropped; `colour` is null if it is neither gray nor RGB."""
    frame = policy.spec.frame
    _, height, width = representation.pixels(policy.spec, policy.config.replay).shape
    colour = COLOURS.get(1 if len(frame) == 2 else frame[0])
    stored = list(frame[-2:])
    return {"height": height, "width": width, "colour": colour, "resize": env_interface.resize, "stored": stored}


def _action(spec: EnvSpec, env_interface: Interface, bounds: tuple[Array, Array] | None) -> dict[str, Any]:
    if bounds is None:
        meanings = env_interface.meanings
        return {"kind": "discrete", "count": spec.actions, "meanings": None if meanings is None else list(meanings)}
    low, high = (bound.astype(float).tolist() for bound in bounds)
    return {"kind": "continuous", "size": spec.actions, "low": low, "high": high}
