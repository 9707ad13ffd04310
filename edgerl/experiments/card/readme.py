"""The README.md of a card, as a reader meets it on a model hub or on a disk."""

import shlex
from typing import Any

from edgerl.envs.human_scores import human_normalised
from edgerl.experiments.card.contents import BEGINNING, CONFIG, FILM, POLICY, SCORES, SECONDS, Contents
from edgerl.experiments.card.front_matter import front_matter
from edgerl.experiments.card.markdown import block, code, escaped, table
from edgerl.experiments.card.scores import below_random
from edgerl.experiments.reports.repeat import command
from edgerl.output.messages import figure
from memory_budget import format_bytes

EVALUATIONS = 10  # in the table, at most
RESULTS = ["games", "mean score", "standard deviation", "lowest to highest"]
RESIZED = {"linear": ", resized by linear interpolation", "area": ", resized by averaging areas"}
BRIGHTER = " It is the brighter, pixel by pixel, of the last two screens."
SNIPPET = f"""
from edgerl_run import Player

player = Player("{POLICY}")
action = player.act(frame)      # uint8, gray [H, W] or RGB [H, W, 3], of any size
player.reset()                  # the next frame begins an episode
"""


def text(contents: Contents) -> str:
    """All of it: front matter for hubs, then Markdown for people."""
    run, scores = contents.config.run, contents.scores
    paragraphs = [
        *_head(contents),
        *_scores(scores),
        *_interface(contents.about),
        *_running(contents),
        *_training(contents),
        *_files(is_filmed=contents.is_filmed),
        *_licence(contents.license),
    ]
    matter = front_matter(run.env, run.algo, scores["evaluation"], contents.license)
    return "\n\n".join([matter, *paragraphs]) + "\n"


def _head(contents: Contents) -> list[str]:
    run, steps = contents.config.run, contents.about["steps"]
    memory = "" if run.budget == "unbounded" else f", with {format_bytes(run.budget)} for all the experience it keeps"
    film = [
        f"![The first game of the evaluation]({BEGINNING})",
        f"The first game of the evaluation below, at most {SECONDS} seconds of it. [{FILM}]({FILM}) has all of it.",
    ]
    return [
        f"# {code(run.env)}, played by {code(run.algo)}",
        f"A reinforcement-learning agent that plays {code(run.env)}. It sees pixels and nothing else. edgerl trained "
        f"it by the algorithm {code(run.algo)} for {steps:,} agent steps{memory}.",
        *(film if contents.is_filmed else []),
    ]


def _scores(scores: dict[str, Any]) -> list[str]:
    played, known = scores["evaluation"], scores["references"]
    rows = [_row("**this agent**", played)]
    if scores["random_play"] is not None:
        rows.append(_row("random play", scores["random_play"]))
    if known is not None:
        rows.append(["random play, published", "", f"{known['random']:,.1f}", "", ""])
        rows.append(["a human tester, published", "", f"{known['human']:,.1f}", "", ""])
    evaluation = f"edgerl eval RUN --episodes {played['episodes']} --seed {played['seed']}"
    paragraphs = [
        "## Scores",
        table(["who plays", *RESULTS], rows, numbers=len(RESULTS)),
        f"A score is the sum of a whole game's rewards. {_random_actions(played['random_actions'])} The games are "
        f"those of {code(evaluation)}; [{SCORES}]({SCORES}) has the score of each.",
    ]
    if known is not None:
        paragraphs.append(
            f"Human-normalised the score is {human_normalised(scores['env'], played['mean']):.3f}, where 0 is random "
            f"play and 1 a human tester ({known['source']})."
        )
    if below_random(scores):
        paragraphs.append("**The score is below that of random play: it shows no learning.**")
    if scores["during_training"]:
        rows = [_row(f"{entry['step']:,}", entry) for entry in _spread(scores["during_training"])]
        paragraphs += ["During training:", table(["agent steps", *RESULTS], rows, numbers=len(RESULTS))]
    return paragraphs


def _random_actions(share: float) -> str:
    if not share:
        return "The agent does not explore."
    return f"The agent does not explore, but {100 * share:g}% of its actions are random."


def _row(who: str, played: dict[str, Any]) -> list[str]:
    extremes = f"{figure(played['min'])} to {figure(played['max'])}"
    return [who, f"{played['episodes']}", figure(played["mean"]), figure(played["std"]), extremes]


def _spread(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """EVALUATIONS of them at most, spread evenly, with the first and the last."""
    if len(results) <= EVALUATIONS:
        return results
    return [results[round(number * (len(results) - 1) / (EVALUATIONS - 1))] for number in range(EVALUATIONS)]


def _interface(about: dict[str, Any]) -> list[str]:
    frame, window, environment = about["frame"], about["window"], about["environment"]
    stored, seen = ("x".join(map(str, size)) for size in (frame["stored"], [frame["height"], frame["width"]]))
    colour = {"gray": "gray, ", "rgb": "RGB, "}.get(frame["colour"], "")
    crop = "" if seen == stored else f", of which it sees the middle, {seen}"
    brighter = BRIGHTER if environment["max_of_last_two"] else ""
    before = "copies of it" if window["before_first"] == "first" else "zeros"
    repeats = environment["frame_skip"]
    lasts = "one step" if repeats == 1 else f"{repeats} steps"
    points = [
        f"- **A frame** is {colour}{stored} pixels{RESIZED.get(frame['resize'], '')}{crop}.{brighter}",
        f"- **It sees** the last {window['frames']} frames; those before an episode's first one are {before}.",
        f"- **It does** {_actions(about['action'])}. An action lasts {lasts} of the environment.",
    ]
    return ["## What it sees and does", "\n".join(points)]


def _actions(action: dict[str, Any]) -> str:
    if action["kind"] == "continuous":
        ranges = [f"{low:g} to {high:g}" for low, high in zip(action["low"], action["high"], strict=True)]
        alike = f"each {ranges[0]}" if len(set(ranges)) == 1 else ", ".join(ranges)
        return f"{action['size']} numbers, {alike}" if action["size"] > 1 else f"one number, {ranges[0]}"
    meanings = action["meanings"]
    named = "" if meanings is None else ", from 0 on: " + ", ".join(code(meaning) for meaning in meanings)
    return f"one of {action['count']} actions{named}"


def _running(contents: Contents) -> list[str]:
    env, played = contents.config.run.env, contents.scores["evaluation"]
    size = format_bytes(contents.policy_bytes)
    what, options = "On the frames of a film or a camera", "--camera frames.rgb --camera-size 640x480"
    if env.startswith("gym/"):
        name = shlex.quote(env.replace("/", ":", 1))
        what, options = "Whole games", f"--env {name} --episodes {played['episodes']} --seed {played['seed']}"
    return [
        "## Run it",
        f"[{POLICY}]({POLICY}) is the whole agent, from pixels to actions, in {size}. It acts as the program that "
        f"trained it does ({contents.parity}). Its runner, a part of edgerl, needs NumPy and ONNX Runtime alone:",
        block("pip install ./edgerl_run      # in a copy of edgerl", "sh"),
        f"{what}:",
        block(f"python -m edgerl_run {POLICY} {options}", "sh"),
        "From Python:",
        block(SNIPPET.strip(), "python"),
    ]


def _training(contents: Contents) -> list[str]:
    facts = contents.facts
    rows = [[name, escaped(words)] for name, words in facts.lines]
    versions = facts.versions or contents.about["versions"]
    return [
        "## How it was trained",
        *([table(["", "this run"], rows)] if rows else []),
        f"[{CONFIG}]({CONFIG}) has every setting. This command repeats the run:",
        block(command(contents.config), "sh"),
        "Versions: " + ", ".join(f"{name} {escaped(version)}" for name, version in versions.items()) + ".",
    ]


def _files(*, is_filmed: bool) -> list[str]:
    meanings = {
        POLICY: "the agent; its metadata says what this page says of it, for programs",
        SCORES: "every evaluation: games, seeds and the score of each game",
        CONFIG: "every setting of the run",
    }
    if is_filmed:
        meanings |= {FILM: "the first game of the evaluation", BEGINNING: "its beginning"}
    return ["## Files", table(["file", "what it is"], ([f"[{name}]({name})", what] for name, what in meanings.items()))]


def _licence(license: str) -> list[str]:
    named = "whoever trained it has named none" if license == "other" else code(license)
    return ["## Licence", f"Of the agent: {named}. Of edgerl, which wrote this folder: MIT."]
