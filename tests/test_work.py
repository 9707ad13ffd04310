"""What a run does, in counts: both engines' calls counted on real updates, and phases that add up to the whole run."""

import dataclasses
import json
from collections import Counter
from functools import partial

import numpy as np
import pytest
from counting import count_numpy, counted, counting
from torch.utils._python_dispatch import TorchDispatchMode

import edgerl
from edgerl.agents.build import make_agent
from edgerl.envs import suites
from edgerl.planning import plan, workload
from edgerl.planning.workload import Work
from edgerl.replay import representation
from edgerl.training.build import make_replay
from edgerl.training.freeze import FreezeSettings, freeze


class Operations(TorchDispatchMode):
    """Counts the operations that torch is asked for."""

    def __init__(self):
        super().__init__()
        self.calls = Counter()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.calls[operation] += 1
        return operation(*args, **(kwargs or {}))


def made(algo, env, encoder, **settings):
    config = edgerl.configure(env=env, algo=algo, encoder=encoder, budget="6MB", threads=1, **settings)
    spec = suites.describe(env)
    pixels = representation.pixels(spec, config.replay)
    return config, spec, pixels, plan.make_plan(config, spec)


def calls_of(agent, action, times=1):
    """The mean number of calls of the engine's library in so many times this."""
    with Operations() if agent.needs_torch else counting() as found:
        for _ in range(times):
            action()
    return sum(found.calls.values()) / times


def as_counted(batch):
    """A batch whose arrays are counted, but its rows' numbers."""
    names = [field.name for field in dataclasses.fields(batch) if field.name != "index"]
    return dataclasses.replace(batch, **{name: counted(getattr(batch, name)) for name in names})


def calls_in_phases(algo, env, encoder, folder, **settings):
    """Calls of an update (mean of two) and an act, before the freeze and after it, and what the counts say of them."""
    config, spec, pixels, planned = made(algo, env, encoder, batch_size=4, freeze_at=60, learn_start=50, **settings)
    if hasattr(config.agent, "random_steps"):
        config = dataclasses.replace(config, agent=dataclasses.replace(config.agent, random_steps=0))
    if hasattr(config.agent, "epsilon_start"):
        greedy = dataclasses.replace(config.agent, epsilon_start=0.0, epsilon_end=0.0)
        config = dataclasses.replace(config, agent=greedy)
    rng = np.random.default_rng(0)
    agent = make_agent(config, pixels.shape, spec.actions, np.random.default_rng(0))
    replay = make_replay(config, spec, planned.budget, pixels, rng)
    for _ in range(60):
        action = rng.uniform(-1, 1, spec.actions) if spec.continuous else int(rng.integers(spec.actions))
        replay.append(rng.integers(0, 256, spec.frame, np.uint8), action, 0.0, terminated=False)
    window = np.zeros((spec.history, *spec.frame), np.uint8)

    for frozen in (False, True):
        if frozen:
            settings = FreezeSettings(config.agent.cut)
            freeze(agent, replay, pixels=pixels, window=window, folder=folder, settings=settings)
        unit = workload.step_work(config, planned, pixels.shape).at(frozen)
        batch, seen = replay.sample(4, 1.0), replay.representation.observe(window)[0]
        if not agent.needs_torch:
            batch, seen = as_counted(batch), counted(seen)
        update = calls_of(agent, partial(agent.update, batch), times=2)
        act = calls_of(agent, partial(agent.act, seen, explore=True))
        yield frozen, (update, act), (unit.updating.calls, unit.acting.calls)


@pytest.mark.parametrize(
    "settings",
    [{}, pytest.param({"engine": "torch", "keep_torch": True}, marks=pytest.mark.long)],
    ids=["as chosen", "torch"],
)
@pytest.mark.parametrize(
    ("algo", "env", "encoder"),
    [
        ("rainbow", "atari/qbert", "data_efficient"),
        ("rainbow", "atari/qbert", "canonical"),
        ("rainbow", "atari/qbert", "impala"),
        ("dqn", "atari/qbert", "data_efficient"),
        ("curl", "dmc/walker-walk", "curl"),
        pytest.param("curl", "dmc/walker-walk", "data_efficient", marks=pytest.mark.long),
        pytest.param("sac", "dmc/walker-walk", "curl", marks=pytest.mark.long),
        ("sac", "dmc/walker-walk", "data_efficient"),
    ],
)
def test_calls_are_what_the_library_is_asked_for(algo, env, encoder, settings, tmp_path, monkeypatch):
    count_numpy(monkeypatch)
    for frozen, (update, act), (said_update, said_act) in calls_in_phases(algo, env, encoder, tmp_path, **settings):
        assert said_update == pytest.approx(update, rel=0.15), (frozen, "update")
        assert said_act == pytest.approx(act, abs=12), (frozen, "act")


@pytest.mark.parametrize("settings", [{}, {"engine": "torch", "keep_torch": True}], ids=["as chosen", "torch"])
def test_calls_without_noisy_layers_are_fewer(settings, tmp_path, monkeypatch):
    count_numpy(monkeypatch)
    game, settings = ("rainbow", "atari/qbert", "data_efficient"), settings | {"noisy": False}
    for frozen, (update, act), (said_update, said_act) in calls_in_phases(*game, tmp_path, **settings):
        assert said_update == pytest.approx(update, rel=0.05), (frozen, "update")
        assert said_act == pytest.approx(act, abs=4), (frozen, "act")


@pytest.mark.parametrize(
    ("env", "freeze_at"),
    [("atari/qbert", 700), pytest.param("dmc/walker-walk", 700, marks=pytest.mark.long), ("atari/qbert", "never")],
)
def test_phases_multiply_as_often_as_the_run_counts(env, freeze_at):
    algo = edgerl.configure(env=env).run.algo
    encoder = edgerl.configure(env=env).agent.encoder
    config, _, pixels, planned = made(
        algo, env, encoder, steps=2000, freeze_at=freeze_at, learn_start=600, checkpoint_every=500
    )
    found, counts = workload.run_work(config, planned, pixels.shape), planned.flops
    start, frozen_at = config.replay.learn_start, 2000 if freeze_at == "never" else freeze_at
    exact = 0
    for step in range(2000):
        frozen = step >= frozen_at
        learns = step >= start
        exact += counts.phases.at(frozen).exact_per_update if learns else counts.phases.at(frozen).acting
    if freeze_at != "never":
        exact += counts.conversion(min(planned.before.rows, frozen_at))
    together = sum(found.values(), Work())
    assert together.trained + together.acted + together.inferred == pytest.approx(exact)
    assert together.simulated == 2000
    assert together.written == pytest.approx(written_step_by_step(config, planned, pixels.shape))
    assert (found["conversion"] == Work()) == (freeze_at == "never")


def written_step_by_step(config, planned, window):
    """Bytes of the checkpoints of a run, by going through its steps."""
    total, new, phases = 0.0, 0, workload.saving(config, planned, window)
    for step in range(2001):
        if step == config.run.freeze_at:
            new = min(step, phases.before.rows)
        if step % 500 == 0:
            frozen = config.run.freeze_at is not None and step >= config.run.freeze_at
            total += phases.at(frozen).fixed + phases.at(frozen).row * min(new, phases.at(frozen).rows)
            new = 0
        new += 1
    return total


def test_what_a_checkpoint_is_said_to_write_is_what_it_writes(tmp_path):
    settings = {"freeze_at": 300, "steps": 600, "learn_start": 250, "checkpoint_every": 100, "eval_every": 0}
    config, _, pixels, planned = made("rainbow", "toy/catch", "data_efficient", **settings)
    edgerl.train(config, tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    measured = {line["step"]: line["checkpoint/bytes"] for line in lines if "checkpoint/bytes" in line}
    before, after = workload.saving(config, planned, pixels.shape)
    assert measured[200] == pytest.approx(before.after(100), rel=0.1)
    assert measured[500] == pytest.approx(after.after(100), rel=0.1)
    said = workload.written(config, planned, pixels.shape)["checkpoints"]
    assert sum(measured.values()) == pytest.approx(said, rel=0.1)


def test_part_of_a_run_is_less_in_every_phase():
    config, _, pixels, planned = made("rainbow", "atari/qbert", "data_efficient", steps=4000, freeze_at=2000)
    whole = workload.run_work(config, planned, pixels.shape)
    early = workload.run_work(config, planned, pixels.shape, 1800)
    assert early["updating after T_f"] == Work()
    assert early["conversion"] == Work()
    assert 0 < early["updating before T_f"].trained < whole["updating before T_f"].trained


def test_work_adds_up_and_multiplies():
    one = Work(trained=1, moved=2, calls=3)
    assert one + 2 * one == Work(trained=3, moved=6, calls=9)
