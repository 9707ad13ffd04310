"""What a run writes to its storage: as planned, at the pace that the storage allows."""

import dataclasses

import pytest
import tomli_w

import device_profiles
import edgerl
from device_profiles import Number
from edgerl.config.settings import PACE
from edgerl.envs import suites
from edgerl.errors import ConfigError
from edgerl.planning import advice, forecast, plan, plan_report, workload
from edgerl.replay import representation


def planned(**settings):
    config = edgerl.configure(env="atari/qbert", budget="0.07GB", **settings)
    spec = suites.describe("atari/qbert")
    return config, plan.make_plan(config, spec), representation.pixels(spec, config.replay).shape


@pytest.mark.parametrize("name", ["raspberry_pi_4", "galaxy_s24", "pi_zero_2_w"])
def test_checkpoints_as_often_as_advised_keep_the_storage_busy_for_a_tenth_of_the_time(name):
    config, found, window = planned(steps=500_000)
    profile = device_profiles.load(name)
    every = plan_report.advise(config, found, window, profile, None)["checkpoint_every"]
    given = dataclasses.replace(config, run=dataclasses.replace(config.run, checkpoint_every=every))
    phases = forecast.forecast(given, found, window, profile)["phases"]
    training = sum(hours["low"] for phase, hours in phases.items() if phase != "checkpoints")
    slowest = (
        workload.written(given, found, window)["checkpoints"]
        / (profile.storage_write.bytes if profile.storage_write else forecast.CARD_SPEED)
        / 3600
    )
    assert slowest < 0.12 * training
    assert every == PACE or slowest > 0.03 * training


def test_a_pace_is_shorter_where_the_storage_is_known_to_endure_it_and_longer_where_it_is_not_to():
    config, found, window = planned(steps=500_000)
    fast = Number(400, "MB/s", "its maker", "sourced")
    board = dataclasses.replace(device_profiles.load("raspberry_pi_4"), storage_write=fast)

    def pace(terabytes):
        endurance = Number(terabytes, "TB", "its maker", "sourced")
        return advice.pace(config, found, window, dataclasses.replace(board, storage_endurance=endurance))

    def written(steps):
        run = dataclasses.replace(config.run, checkpoint_every=steps)
        return sum(workload.written(dataclasses.replace(config, run=run), found, window).values())

    assert advice.pace(config, found, window, board) == advice.pace(config, found, window, None) == PACE
    assert pace(100) == 500
    assert 500 < pace(10) < 3000 < pace(3)
    for terabytes in (1, 3, 10):
        assert written(pace(terabytes)) < 1.05 * terabytes * 1e9  # a thousandth


@pytest.mark.parametrize(("steps", "every", "freeze_at"), [
    (6_000, 2_500, 3_000), (6_000, 3_000, 3_000), (5_000, 2_500, 4_999), (6_000, 0, 3_000), (6_000, 700, "never"),
    (6_000, 50_000, 0), (60_000, 2_500, 30_000),
])  # fmt: skip
def test_checkpoints_write_what_they_do_one_by_one(steps, every, freeze_at):
    config, found, window = planned(steps=steps, checkpoint_every=every, freeze_at=freeze_at)
    before, after = workload.saving(config, found, window)
    frozen_at, total, last = steps + 1 if freeze_at == "never" else freeze_at, 0.0, 0
    for step in [*range(0, steps, every or steps), steps]:
        if step < frozen_at:
            total += before.after(step - last)
        else:
            kept = min(frozen_at, before.rows) + step - frozen_at  # the first one after T_f writes all rows
            total += after.after(kept if last < frozen_at or step == 0 else step - last)
        last = step
    assert workload.written(config, found, window)["checkpoints"] == pytest.approx(total)


def test_the_longest_run_with_the_most_checkpoints_is_planned_at_once():
    config, found, window = planned(steps=999_999_999, checkpoint_every=1)
    written = workload.written(config, found, window)["checkpoints"]
    assert written == pytest.approx(1e9 * workload.saving(config, found, window).after.after(1), rel=0.01)
    with pytest.raises(ConfigError, match=r"^steps = 1000000000 is not from 1 to 999999999$"):
        planned(steps=10**9)


def test_a_plan_says_what_is_written_and_how_many_such_runs_a_card_endures(tmp_path):
    table = {"title": "a board", "platform": "linux", "clusters": [{"core": "Cortex-A72", "count": 4, "clock": 1.8}]}
    table |= {"storage_endurance": {"value": 20, "unit": "TB"}, "source": "its maker", "kind": "sourced"}
    (tmp_path / "mine.toml").write_text(tomli_w.dumps(table))
    config, spec = (
        edgerl.configure(env="atari/qbert", budget="0.07GB", snapshot_every=50_000),
        suites.describe("atari/qbert"),
    )
    storage = plan_report.report(config, spec, str(tmp_path / "mine.toml"))["storage"]
    assert storage["checkpoint_every"] == PACE
    assert storage["written"] == storage["checkpoints"] + storage["snapshots"]
    assert 3e9 < storage["checkpoints"] < 5e9
    assert 10 * 2e6 < storage["snapshots"] < 14 * 4e6
    assert storage["runs"] == 20 * 10**12 // storage["written"]
    assert plan_report.report(config, spec, None)["storage"] == storage | {"runs": None}


def test_a_pace_follows_from_how_many_updates_a_step_makes():
    def hours(rate):
        config, found, window = planned(steps=60_000, updates_per_step=rate)
        advised = advice.advise(config, found, window, device_profiles.load("pi_zero_2_w"), None)
        return advised["hours_per_10000_steps"], advised["checkpoint_every"]

    (often, soon), (once, normal), (seldom, late) = hours(8.0), hours(1.0), hours(0.05)
    for phase in ("before", "after"):
        assert often[phase]["low"] > 5 * once[phase]["low"] > 25 * seldom[phase]["low"]
    assert soon <= normal < late
