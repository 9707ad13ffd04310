"""The YAML before a README.md that model hubs read: what it is, and its score."""

import json
from typing import Any

TASK = "reinforcement-learning"


def front_matter(env: str, algo: str, evaluation: dict[str, Any], license: str) -> str:
    """The lines between two `---`, those included. The score is of `evaluation`, as hubs write it: mean +/- std."""
    score = f"{evaluation['mean']:.2f} +/- {evaluation['std']:.2f}"
    tags = [TASK, "deep-" + TASK, env, algo, "edgerl", "onnx"]
    return "\n".join(
        [
            "---",
            "library_name: edgerl",
            f"license: {quoted(license)}",
            f"pipeline_tag: {TASK}",
            "tags:",
            *(f"- {quoted(tag)}" for tag in tags),
            "model-index:",
            f"- name: {quoted(f'{algo} on {env}')}",
            "  results:",
            "  - task:",
            f"      type: {TASK}",
            f"      name: {TASK}",
            "    dataset:",
            f"      type: {quoted(env)}",
            f"      name: {quoted(env)}",
            "    metrics:",
            "    - type: mean_reward",
            f"      value: {quoted(score)}",
            "      name: mean_reward",
            "      verified: false",
            "---",
        ]
    )


def quoted(text: str) -> str:
    """Any text as a YAML string on one line: as JSON has it, and what cannot be printed as its number."""
    return "".join(_printable(character) for character in json.dumps(text, ensure_ascii=False))


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    return f"\\U{ord(character):08x}"
