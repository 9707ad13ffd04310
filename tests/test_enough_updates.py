"""A run that could not learn is refused before its first step; a short one begins its updates earlier."""

import json

import pytest

import edgerl
from edgerl.config.resolve import started
from edgerl.envs.suites import describe
from edgerl.errors import ConfigError
from edgerl.planning.plan_report import report


def chosen(*assignments, **options):
    return started({"env": "toy/catch", "budget": "3MB"} | options, None, list(assignments))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"env": "atari/qbert", "steps": 1600}, "--steps: 1600 steps make no update.*after step 1600.*learn_start"),
        ({"steps": 1000, "freeze_at": 100}, "--freeze-at: 100 comes before the first update, as .* step 100.*0 to"),
        ({"steps": 1000, "freeze_at": "auto", "freeze_by": 90}, "--freeze-by: 90 comes before the first update"),
        ({"steps": 1000, "freeze_at": 105, "updates_per_step": 0.1}, "--freeze-at: 105 comes before the first update"),
    ],
)
def test_a_run_that_could_not_learn_is_refused_by_name(options, message):
    with pytest.raises(ConfigError, match=message):
        chosen(**options)


def test_frozen_from_the_start_the_heads_alone_learn():
    assert chosen(steps=1000, freeze_at=0)[0].run.freeze_at == 0


def test_few_updates_before_the_freeze_are_a_note():
    few = {"env": "atari/qbert", "steps": 6000, "freeze_at": 2599}
    assert chosen(**few)[1] == [
        "few updates: 999 before the encoder is frozen at step 2,599, and 4,400 in all; "
        "the encoder may have learned little by then"
    ]
    assert chosen(**few | {"freeze_at": 2600})[1] == []
    assert chosen(**few | {"updates_per_step": 2.0})[1] == []


@pytest.mark.parametrize(
    ("options", "start"),
    [
        ({"steps": 500}, 50),
        ({"steps": 20}, 3),  # not below n_step
        ({"steps": 50_000, "freeze_at": 10_000}, 200),  # the preset's
        ({"env": "gym/CartPole-v1", "steps": 3000}, 300),
        ({"env": "gym/CartPole-v1", "steps": 30_000}, 1600),
        ({"env": "atari/qbert", "steps": 3000, "freeze_at": 2900}, 1600),  # Atari keeps the paper's
    ],
)
def test_updates_begin_after_a_tenth_of_a_short_run(options, start):
    assert chosen(**{"freeze_at": "never"} | options)[0].replay.learn_start == start


def test_a_given_learn_start_stays():
    assert chosen("learn_start=400", steps=1000, freeze_at=500)[0].replay.learn_start == 400


def test_plan_and_summary_count_the_updates_that_a_run_makes(tmp_path, monkeypatch):
    from edgerl.agents.rainbow import Rainbow

    made = []
    update = Rainbow.update
    monkeypatch.setattr(Rainbow, "update", lambda self, batch: made.append(1) or update(self, batch))
    config = edgerl.configure(
        env="toy/catch", budget="3MB", steps=120, freeze_at=60, threads=1, eval_every=0, checkpoint_every=0,
        updates_per_step_after_freeze=0.5,
    )  # fmt: skip
    summary = edgerl.train(config, tmp_path / "run", quiet=True)
    counted = {"before_freeze": 48, "total": 48 + 30}
    assert len(made) == counted["total"]
    assert json.loads((tmp_path / "run/summary.json").read_text())["updates"] == summary["updates"] == counted
    assert report(config, describe("toy/catch"), None)["updates"] == {"after_step": 12} | counted
