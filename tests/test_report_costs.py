"""Capacity and cost in a report: means over unlike seeds by hand, and what a seed lacks."""

import json

import pytest

from edgerl.experiments.reports import contents, reading
from edgerl.experiments.reports.groups import groups
from memory_budget import format_bytes


@pytest.fixture
def seed(another, real):
    """Make a run of this seed with changes to parts of its summary; it takes `seconds` (None: it has no log)."""
    whole = json.loads((real / "summary.json").read_text())

    def make(number, seconds=60.0, **parts):
        changes = {name: whole[name] | part for name, part in parts.items()}
        folder = another(f"seed{number}", settings={"seed": number}, **changes)
        lines = [{"step": step, "seconds": seconds and seconds * step / 400} for step in (0, 400)]
        (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
        if seconds is None:
            (folder / "metrics.jsonl").unlink()
        return folder

    return make


def section(folders):
    (only,) = contents.collect(reading.read(folders), None).sections
    return only


def cost(folders):
    table = section(folders).cost
    (row,) = table.rows
    return dict(zip(table.head, row, strict=True))


def test_the_cost_of_two_unlike_seeds_by_hand(seed):
    first = seed(
        0,
        seconds=120,
        capacity={"initial": 100, "after_freeze": 300, "paper_initial": 110, "paper_after_freeze": 330},
        replay={"rows": 50, "bytes_per_row": 2000},
        flops={"total": 4e12},
        throughput={"steps_per_s_before": 10, "steps_per_s_after": 40},
        memory={"rss_peak": 90_000_000},
    )
    second = seed(
        1,
        seconds=240,
        capacity={"initial": 200, "after_freeze": 500},
        replay={"rows": 70, "bytes_per_row": 3000},
        flops={"total": 2e12},
        throughput={"steps_per_s_before": 30, "steps_per_s_after": None},
        memory={"rss_peak": 80_000_000},
    )
    assert cost([first, second]) == {
        "variant": "rainbow, 3.0 MB, frozen at 300",
        "budget": "3.0 MB",
        "rows before T_f": "150",
        "rows after T_f": "400",
        "by the paper's count": "110 / 330",
        "rows at the end": "60",
        "bytes a row": "2,500",
        "TFLOP": "3",
        "minutes": "3.0",
        "steps/s before": "20",
        "steps/s after": "40",
        "peak memory": format_bytes(90_000_000),
    }
    (variant,) = section([first, second]).curves["variants"]
    assert variant["capacity"] == {"x": [0, 300, 300, 400], "y": [150, 150, 400, 400]}


def test_seeds_that_freeze_at_unlike_steps_or_never_count_with_their_own(seed):
    fits = {"initial": 100, "after_freeze": 400}
    folders = [
        seed(0, capacity=fits, freeze={"step": 100}),
        seed(1, capacity=fits, freeze={"step": None}),
        seed(2, capacity=fits | {"after_freeze": 700}, freeze={"step": 300}),
    ]
    (variant,) = section(folders).curves["variants"]
    assert variant["capacity"] == {"x": [0, 100, 100, 300, 300, 400], "y": [100, 100, 200, 200, 400, 400]}
    assert [freeze["steps"] for freeze in variant["freezes"]] == [100, 300]
    assert cost(folders)["rows after T_f"] == "550"
    unfrozen = seed(3, capacity=fits | {"after_freeze": None}, freeze={"step": None})
    assert cost([unfrozen])["rows after T_f"] == "-"
    assert section([unfrozen]).curves["variants"][0]["freezes"] == []


def test_minutes_are_of_the_seeds_that_have_a_log(seed):
    folders = [seed(0, seconds=120), seed(1, seconds=None)]
    assert cost(folders)["minutes"] == "2.0"
    assert section(folders).curves["variants"][0]["x"]["minutes"] == [1, 2]
    assert cost(folders[1:])["minutes"] == "-"


def test_an_agent_step_may_be_several_steps_of_the_environment(seed):
    folder = seed(0)
    summary = json.loads((folder / "summary.json").read_text())
    for evaluation in summary["returns"]:
        evaluation["env_steps"] = 4 * evaluation["step"]
    (folder / "summary.json").write_text(json.dumps(summary))
    (group,) = groups(reading.read([folder]).runs)["toy/catch"]
    assert group.axis("env_steps", [100, 400]).tolist() == [400, 1600]


def test_a_ledger_has_the_lines_of_every_seed(seed, real):
    ledger = json.loads((real / "summary.json").read_text())["budget"]["ledger"]
    more = ledger | {"settling": {"planned": 10**6, "measured": 3 * 10**6}}
    (variant,) = section([seed(0), seed(1, budget={"ledger": more})]).curves["variants"]
    assert list(variant["ledger"]["planned"]) == list(more)
    assert variant["ledger"]["measured"]["settling"] == 3
