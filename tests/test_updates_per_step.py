"""How many updates a step makes: counted by hand, in plan and forecast, in a run's multiply-adds."""

import json

import pytest

from edgerl.config.resolve import configured
from edgerl.envs import suites
from edgerl.planning import plan, plan_report
from edgerl.training.train import train

TOY = {"env": "toy/catch", "steps": 90, "learn_start": 20, "freeze_at": 50, "eval_every": 0, "threads": 1}


def by_hand(steps, frozen_at, start, before, after):
    """Updates before and after the freeze, one step at a time: whenever enough of them have come together."""
    made, owed = [0, 0], [0.0, 0.0]
    for step in range(1, steps + 1):
        if step <= start:
            continue
        phase = int(frozen_at is not None and step > frozen_at)
        owed[phase] += after if phase else before
        while owed[phase] >= 1 - 1e-9:
            owed[phase] -= 1
            made[phase] += 1
    return tuple(made)


@pytest.mark.parametrize(("before", "after"), [(1.0, "same"), (0.5, 2.0), (2.0, 0.25), (0.1, 4.0), (1.5, 1.0)])
@pytest.mark.parametrize("frozen_at", [None, 0, 10, 20, 21, 50, 90])
def test_updates_are_those_that_come_together_step_by_step(before, after, frozen_at):
    config = configured(TOY | {"updates_per_step": before, "updates_per_step_after_freeze": after})
    expected = by_hand(90, frozen_at, 20, before, before if after == "same" else after)
    assert config.replay.updates(90, frozen_at) == expected


@pytest.mark.parametrize(("before", "after"), [(1.0, "same"), (0.5, 3.0), (2.0, 0.25)])
def test_a_run_makes_them_and_counts_them_as_its_plan_does(tmp_path, before, after):
    config = configured(TOY | {"updates_per_step": before, "updates_per_step_after_freeze": after})
    summary = train(config, tmp_path / "run", quiet=True)
    state = json.loads(next((tmp_path / "run" / "checkpoint").glob("*90/state.json")).read_text())
    updates = config.replay.updates(90, 50)
    assert state["agent"]["updates"] == sum(updates)
    spec = suites.describe("toy/catch")
    assert summary["flops"]["total"] == plan_report.report(config, spec, None)["flops"]["run"]
    counts = plan.make_plan(config, spec).flops
    exact = 20 * counts.before.acting + counts.before.exact(30, updates.before) + counts.after.exact(40, updates.after)
    assert summary["flops"]["exact_total"] == exact + counts.conversion(50)


@pytest.mark.parametrize("given", ["0", "nan", "inf", "-1", "1001", "often"])
@pytest.mark.parametrize("option", ["--updates-per-step", "--updates-per-step-after-freeze"])
def test_no_updates_is_refused_in_one_line(edgerl, tmp_path, option, given):
    ended = edgerl("train", "--env", "toy/catch", "--out", str(tmp_path / "run"), f"{option}={given}")
    assert ended.returncode == 2
    assert option in ended.stderr
    assert not (tmp_path / "run").exists()
