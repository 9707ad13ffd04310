"""An analysed run: its files, its table, and what a report shows of it."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgerl import reading
from edgerl.experiments.reports.curves import plain
from edgerl.experiments.reports.groups import Group
from edgerl.experiments.reports.shapes import ANALYSIS
from edgerl.experiments.reports.tables import Table

ANALYSIS_FILE, SVCCA_FILE, ATTENTION_FILE = "analysis.json", "svcca.png", "attention.png"
INTERVALS = 6  # columns of a table, at most


@dataclass(frozen=True)
class AnalysedRun:
    """What a report shows of one analysed run. `image`: the file of its attention strip, if it has one."""

    name: str
    table: Table
    safe: str
    curves: dict[str, Any]
    image: str | None


def table(analysis: dict[str, Any], columns: int = INTERVALS) -> Table:
    """The scores, a row for each layer, and how far attention moved; at most `columns` intervals, spread evenly."""
    starts = sorted({score["from"] for layer in analysis["layers"] for score in layer["scores"]})
    indices = np.unique(np.linspace(0, len(starts) - 1, min(columns, len(starts))).round().astype(int))
    steps = [starts[index] for index in indices]
    rows, frozen_at = [], math.inf if analysis["frozen_at"] is None else analysis["frozen_at"]
    for layer in analysis["layers"]:
        scores = {score["from"]: _two_decimals(score["score"]) for score in layer["scores"]}
        frozen_from = frozen_at if layer["part"] == "stem" else math.inf
        cells = [scores.get(step, "frozen" if step >= frozen_from else "-") for step in steps]
        untrained = _two_decimals(layer["untrained"])
        rows.append([layer["name"], layer["part"], f"{layer['neurons']:,}", untrained, *cells])
    moved = {move["from"]: _two_decimals(move["moved"]) for move in analysis["attention"]["moved"]}
    rows.append(["attention moved", "", "", "", *(moved.get(step, "-") for step in steps)])
    head = ["layer", "part", "neurons", "untrained", *(f"at {step:,}" for step in steps)]
    return Table(f"SVCCA of each layer with itself {analysis['gap']:,} steps later", head, rows, explained(analysis))


def explained(analysis: dict[str, Any]) -> str:
    """The observations behind the numbers, and the rule by which a freeze is safe."""
    observed, rule = analysis["observations"], analysis["rule"]
    episodes = f"{observed['episodes']} episode{'s' if observed['episodes'] > 1 else ''}"
    crops = f", each under {observed['crops']} random crops" if observed["crops"] > 1 else ""
    stem = [layer["name"] for layer in analysis["layers"] if layer["part"] == "stem"]
    return (
        f"On {observed['windows']:,} windows of {episodes}{crops}, played by the policy of step "
        f"{observed['played_by_step']:,} with {observed['random_actions']:.0%} random actions. "
        "Untrained: the last snapshot against a network of other random weights. Calm: an interval of learning in "
        f"which each layer of the stem ({', '.join(stem)}) keeps an SVCCA of {rule['similarity']:g} or more, and is "
        "at most half as far from 1 as the untrained one, and attention moves by "
        f"{rule['movement']:g} or less (1 - correlation of {analysis['attention']['layer']}'s maps)."
        f"{_dead(analysis)}"
    )


def _dead(analysis: dict[str, Any]) -> str:
    """A sentence on the neurons of each layer that gave 0 for everything; nothing for an analysis of before it."""
    shares = [
        f"{layer['name']} {layer['dead'][0]['share']:.0%} to {layer['dead'][-1]['share']:.0%}"
        for layer in analysis["layers"]
        if layer.get("dead")
    ]
    return f" Dead neurons, from the first snapshot to the last: {', '.join(shares)}." if shares else ""


def read_analyses(group: Group) -> list[AnalysedRun]:
    """The runs of a variant that have an analysis which can be read."""
    analysed = []
    for run in group.runs:
        try:
            analysis = reading.table(reading.inside(run.folder, ANALYSIS_FILE), ANALYSIS)
            name = f"{group.name}, seed {run.config.run.seed}"
            strip = reading.inside(run.folder, ATTENTION_FILE)
            image = str(strip) if strip.is_file() else None
            scores = table(analysis)
            notes = [scores.notes, *(f"{note[:1].upper()}{note[1:]}." for note in analysis["notes"])]
            scores = replace(scores, notes=" ".join(notes))
            analysed.append(AnalysedRun(name, scores, analysis["safe"]["text"], _curves(analysis), image))
        except (OSError, ValueError):
            continue
    return analysed


def lowest(analysis: dict[str, Any]) -> float:
    """Where an axis of scores begins: about a tenth below the lowest score drawn."""
    drawn = [analysis["rule"]["similarity"], *(layer["untrained"] for layer in analysis["layers"])]
    drawn += [score["score"] for layer in analysis["layers"] for score in layer["scores"]]
    low = min(float(score) for score in drawn if score is not None)
    return max(0.0, math.floor(10 * low) / 10 - 0.1)


def _curves(analysis: dict[str, Any]) -> dict[str, Any]:
    """What is drawn: each layer's scores and how far attention moved, against the first step of the interval."""
    moves = analysis["attention"]["moved"]
    return {
        "gap": analysis["gap"],
        "freeze": analysis["frozen_at"],
        "safe": analysis["safe"]["step"],
        "similarity": analysis["rule"]["similarity"],
        "movement": analysis["rule"]["movement"],
        "low": lowest(analysis),
        "attention": analysis["attention"]["layer"],
        "layers": [
            {
                "name": layer["name"],
                "part": layer["part"],
                "untrained": plain([layer["untrained"]])[0],
                "x": [score["from"] for score in layer["scores"]],
                "y": plain([score["score"] for score in layer["scores"]]),
            }
            for layer in analysis["layers"]
        ],
        "moved": {"x": [move["from"] for move in moves], "y": plain([move["moved"] for move in moves])},
    }


def _two_decimals(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
