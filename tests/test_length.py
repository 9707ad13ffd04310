"""Where a run ends: at --steps, --until or --stop-at-flops, in the plan as in the run."""

import json
import re

import pytest

import edgerl
from edgerl.envs import suites
from edgerl.planning import forecast, plan
from edgerl.planning import introduction as beginning
from edgerl.planning.here import this_machine
from edgerl.planning.introduction import introduction, length
from edgerl.replay import representation
from edgerl.training import train

UPDATE = 16 * 5 * (1_280_000 + 87_116)  # multiply-adds of an update of toy/catch on pixels
SHORT = {"steps": 120, "freeze_at": 90, "learn_start": 60, "batch_size": 16}
LENGTHS = {
    "no limit": ({}, 120),
    "before the freeze": ({"stop_at_flops": 9.5 * UPDATE}, 70),
    "in the freeze": ({"stop_at_flops": 30 * UPDATE + 1}, 91),
    "after the freeze": ({"stop_at_flops": 32 * UPDATE}, None),
    "never reached": ({"stop_at_flops": 1e15}, 120),
    "until, at the freeze": ({"until": 90}, 90),
    "until, first": ({"until": 65, "stop_at_flops": 9.5 * UPDATE}, 65),
    "until, behind the end": ({"until": 500}, 120),
    "several environments": ({"envs": 3, "until": 70}, 72),
    "several environments, multiply-adds": ({"envs": 3, "stop_at_flops": 9.5 * UPDATE}, 72),
    "few updates": ({"updates_per_step": 0.5, "stop_at_flops": 3 * UPDATE}, 66),
}


@pytest.mark.parametrize("name", LENGTHS)
def test_a_run_ends_where_its_plan_says_and_takes_as_many_multiply_adds(name, small, tmp_path):
    changes, expected = LENGTHS[name]
    config = small(run=SHORT | changes)
    planned = plan.make_plan(config, suites.describe("toy/catch"))
    found = train.train(config, tmp_path / "run", quiet=True)
    assert (found["steps"], found["flops"]["total"]) == (planned.last_step, planned.total_flops)
    assert planned.last_step == expected or (expected is None and 91 < planned.last_step < 120)


def test_the_forecast_is_of_the_steps_that_are_made(small):
    spec, profile = suites.describe("toy/catch"), this_machine(1)
    hours = []
    for changes in ({"steps": 50_000}, {"until": 50_000}, {"stop_at_flops": 48_000 * UPDATE}):
        config = small(run={"steps": 100_000, "freeze_at": None, "learn_start": 2000, "batch_size": 16} | changes)
        planned = plan.make_plan(config, spec)
        window = representation.pixels(spec, config.replay).shape
        assert planned.last_step == 50_000
        hours.append(forecast.forecast(config, planned, window, profile)["hours"])
    assert hours[0] == hours[1] == hours[2]


def test_the_plan_and_the_first_line_of_a_run_say_which_option_ends_it(small, program):
    assert length(small(), 400) == "400 steps"
    assert length(small(run={"until": 500}), 400) == "400 steps"
    assert length(small(run={"until": 90}), 90) == "90 of 400 steps (--until)"
    assert length(small(run={"until": 90, "envs": 4}), 92) == "92 of 400 steps (--until)"
    assert length(small(run={"until": 90, "stop_at_flops": 1e9}), 70) == "70 of 400 steps (--stop-at-flops)"
    words = ("plan", "--env", "toy/catch", "--steps", 5000, "--until", 1500)
    assert "toy/catch, rainbow, 1,500 of 5,000 steps (--until)" in program(*words)[1]
    assert json.loads(program(*words, "--json")[1])["last_step"] == 1500


def test_what_is_said_to_be_shorter_is_a_run_that_begins_and_its_own_time(tmp_path, monkeypatch):
    here = this_machine(1)
    monkeypatch.setattr(beginning, "this_machine", lambda threads: here)  # whose clock changes all the time

    def time_of(**settings):
        config = edgerl.configure(env="atari/qbert", budget="0.07GB", threads=1, **settings)
        spec = suites.describe("atari/qbert")
        window = representation.pixels(spec, config.replay).shape
        lines = introduction(config, plan.make_plan(config, spec), None, "", tmp_path, window).splitlines()
        return next(line for line in lines if line.startswith("time "))

    whole = time_of(steps=499_998, envs=3, freeze_at=100_000)
    options, took = re.search(r"; --steps (\d+ --freeze-at \d+) takes (.*)$", whole).groups()
    steps, half = options.split(" --freeze-at ")
    assert (steps, half) == ("49998", "24999")
    assert time_of(steps=int(steps), envs=3, freeze_at=int(half)).startswith(f"time     {took} here (a forecast")
    for settings in ({"freeze_at": "auto", "freeze_by": 100_000}, {"until": 450_000}):
        assert time_of(steps=500_000, **settings).endswith(" h here (a forecast, without evaluations)")
