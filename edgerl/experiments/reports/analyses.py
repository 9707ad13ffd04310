"""An analysis as files in a folder, as a table, and as a run's report shows it."""

import json
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgerl.experiments.reports.curves import plain
from edgerl.experiments.reports.groups import Group
from edgerl.experiments.reports.tables import Table

JSON, SVCCA, ATTENTION = "analysis.json", "svcca.png", "attention.png"
COLUMNS = 6  # of intervals in a table, at most


@dataclass(frozen=True)
class Analysis:
    """What a report shows of one analysed run. `image`: its attention strip's file, where there is one."""

    name: str
    table: Table
    safe: str
    curves: dict[str, Any]
    image: str | None


def table(found: dict[str, Any], columns: int = COLUMNS) -> Table:
    """The scores, a row for each layer, and how far attention moved; of many intervals some, spread evenly."""
    starts = sorted({each["from"] for layer in found["layers"] for each in layer["scores"]})
    chosen = np.unique(np.linspace(0, len(starts) - 1, min(columns, len(starts))).round().astype(int))
    steps = [starts[at] for at in chosen]
    rows = []
    for layer in found["layers"]:
        scores = {each["from"]: _number(each["score"]) for each in layer["scores"]}
        absent = "frozen" if layer["part"] == "stem" else "-"
        cells = [scores.get(step, absent) for step in steps]
        rows.append([layer["name"], layer["part"], f"{layer['neurons']:,}", _number(layer["untrained"]), *cells])
    moved = {each["from"]: _number(each["moved"]) for each in found["attention"]["moved"]}
    rows.append(["attention moved", "", "", "", *(moved.get(step, "-") for step in steps)])
    head = ["layer", "part", "neurons", "untrained", *(f"at {step:,}" for step in steps)]
    return Table(f"SVCCA of each layer with itself {found['gap']:,} steps later", head, rows, explained(found))


def explained(found: dict[str, Any]) -> str:
    """What the numbers were taken on, and by which rule a freeze is safe."""
    seen, rule = found["observations"], found["rule"]
    crops = f", each under {seen['crops']} random crops" if seen["crops"] > 1 else ""
    stem = [layer["name"] for layer in found["layers"] if layer["part"] == "stem"]
    return (
        f"On {seen['windows']:,} windows of {seen['episodes']} episode{'s' if seen['episodes'] > 1 else ''}{crops}, "
        f"played by the policy of step {seen['played_by_step']:,} with {seen['random_actions']:.0%} random actions. "
        "Untrained: the last snapshot against a network of other random weights. Calm: an interval of learning in "
        f"which each layer of the stem ({', '.join(stem)}) keeps an SVCCA of {rule['similarity']:g} or more, and is "
        "at most half as far from 1 as the untrained one, and attention moves by "
        f"{rule['movement']:g} or less (1 - correlation of {found['attention']['layer']}'s maps)."
    )


def read_analyses(group: Group) -> list[Analysis]:
    """The analyses of a variant's runs, where they have one that can be read."""
    analyses = []
    for run in group.runs:
        try:
            found = json.loads((run.folder / JSON).read_text())
            name = f"{group.name}, seed {run.config.run.seed}"
            image = run.folder / ATTENTION
            shown = str(image) if image.is_file() else None
            rows = table(found)
            rows = replace(
                rows, notes=" ".join([rows.notes, *(f"{each[0].upper()}{each[1:]}." for each in found["notes"])])
            )
            analyses.append(Analysis(name, rows, found["safe"]["text"], _curves(found), shown))
        except (OSError, ValueError, LookupError, TypeError):
            continue
    return analyses


def lowest(found: dict[str, Any]) -> float:
    """Where an axis of scores begins: a tenth or so below the lowest one that is drawn."""
    drawn = [found["rule"]["similarity"], *(each["untrained"] for each in found["layers"])]
    drawn += [score["score"] for each in found["layers"] for score in each["scores"]]
    low = min(float(each) for each in drawn if each is not None)
    return max(0.0, math.floor(10 * low) / 10 - 0.1)


def _curves(found: dict[str, Any]) -> dict[str, Any]:
    """What is drawn: each layer's scores and attention's movement, against the step an interval begins at."""
    moved = found["attention"]["moved"]
    return {
        "gap": found["gap"],
        "freeze": found["frozen_at"],
        "safe": found["safe"]["step"],
        "similarity": found["rule"]["similarity"],
        "movement": found["rule"]["movement"],
        "low": lowest(found),
        "attention": found["attention"]["layer"],
        "layers": [
            {
                "name": each["name"],
                "part": each["part"],
                "untrained": plain([each["untrained"]])[0],
                "x": [score["from"] for score in each["scores"]],
                "y": plain([score["score"] for score in each["scores"]]),
            }
            for each in found["layers"]
        ],
        "moved": {"x": [each["from"] for each in moved], "y": plain([each["moved"] for each in moved])},
    }


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
