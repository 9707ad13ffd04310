"""Every algorithm through all that must know of it: a new one cannot be forgotten anywhere."""

import shlex

import numpy as np
import pytest

import device_profiles
from edgerl import configure, train
from edgerl.agents.algorithms import ALGORITHMS, learned
from edgerl.agents.build import make_agent
from edgerl.config.agent_settings import AGENTS
from edgerl.envs import suites
from edgerl.experiments.analysis.compare import load_snapshot
from edgerl.planning import forecast, plan, plan_report
from edgerl.replay import representation
from edgerl.runs import snapshots
from edgerl.training.train import train as run

SMALL = {"budget": 4_000_000, "threads": 1, "steps": 24, "freeze_at": 16, "learn_start": 8, "batch_size": 2}
SMALL |= {"hidden": 8, "eval_every": 0, "checkpoint_every": 0, "snapshot_every": 12}


def env_of(algo):
    return "gym/Pendulum-v1" if AGENTS[algo].continuous else "toy/catch"


def config_of(algo, **changes):
    return configure(env=env_of(algo), algo=algo, **(SMALL | changes))


@pytest.fixture(scope="module", params=AGENTS)
def trained(request, tmp_path_factory):
    """An algorithm, and the folder of a small run of it through the freeze."""
    folder = tmp_path_factory.mktemp(request.param) / "run"
    assert train(config_of(request.param), folder)["status"] == "finished"
    return request.param, folder


def test_each_algorithm_has_its_facts():
    assert ALGORITHMS.keys() == AGENTS.keys()
    for algo, facts in ALGORITHMS.items():
        assert ALGORITHMS[facts.calibrated_as].calibrated_as == facts.calibrated_as, algo
        assert set(facts.head_settings) <= AGENTS[algo].__dataclass_fields__.keys(), algo


@pytest.mark.parametrize("algo", AGENTS)
def test_the_plan_knows_what_the_agent_holds(algo):
    config = config_of(algo)
    spec = suites.describe(config.run.env)
    planned, window = plan.make_plan(config, spec), representation.pixels(spec, config.replay).shape
    agent = make_agent(config, window, spec.actions, np.random.default_rng(0))
    for name, nbytes in agent.nbytes().items():
        assert planned.ledger[name] == pytest.approx(nbytes, rel=0.01), name
    assert planned.flops.after.per_update < planned.flops.before.per_update


@pytest.mark.parametrize("algo", AGENTS)
def test_a_device_has_a_forecast(algo):
    config = config_of(algo)
    report = plan_report.report(config, suites.describe(config.run.env), "jetson_nano")
    assert 0 < report["hours"]["low"] < report["hours"]["high"]
    assert report["phases"]["updating after T_f"]["high"] > 0


@pytest.mark.parametrize("algo", AGENTS)
def test_a_calibrated_device_has_its_rates(algo):
    known = ALGORITHMS[algo].calibrated_as
    numbers = {f"{known}_{part}": {"value": 9.0, "unit": "GFLOP/s"} for part in forecast.CALIBRATED}
    table = {"title": "a machine", "platform": "linux", "source": "here", "kind": "measured"}
    table |= {"clusters": [{"core": "x", "count": 1}], "calibrated": numbers | {"call": {"value": 2.0, "unit": "us"}}}
    assert forecast.device_rates(device_profiles.parse("mine", table), config_of(algo), (4, 84, 84)) is not None


@pytest.mark.parametrize("algo", AGENTS)
def test_a_sweep_trains_it(algo, program, tmp_path):
    options = ["--env", env_of(algo), "--algo", algo, "--steps", "20", "--freeze-at", "10,never", "--threads", "1"]
    options += ["--budgets", "4MB", "--batch-size", "2"]
    code, printed, errors = program("sweep", *options, "--out", tmp_path / "sweep", "--print-commands")
    assert (code, errors) == (0, [])
    commands = [shlex.split(line) for line in printed.splitlines()]
    assert [command[command.index("--algo") + 1] for command in commands] == [algo, algo]


@pytest.mark.parametrize("transfer", ["all", "encoder"])
def test_another_run_begins_with_its_networks(trained, transfer, tmp_path):
    algo, folder = trained
    config = config_of(algo, encoder_from=str(folder), transfer=transfer, freeze_at=0, steps=12)
    summary = run(config, tmp_path / "run", quiet=True)
    assert (summary["status"], summary["transfer"]["algo"], summary["transfer"]["what"]) == ("finished", algo, transfer)


def test_its_snapshots_hold_what_it_learned_and_nothing_that_only_training_needs(trained):
    algo, folder = trained
    config = config_of(algo)
    spec = suites.describe(config.run.env)
    window = representation.pixels(spec, config.replay).shape
    agent = make_agent(config, window, spec.actions, np.random.default_rng(1))
    before, after = (snapshots.read(snapshots.place(folder, step)) for step in (12, 24))
    assert (before.cut, after.cut) == (None, config.agent.cut)
    for snapshot in (before, after):
        load_snapshot(agent, snapshot)
        held = learned(agent.state()[0])
        assert held.keys() == snapshot.arrays.keys()
        assert all(np.array_equal(array, snapshot.arrays[name]) for name, array in held.items())
    dropped = agent.state()[0].keys() - held.keys()
    assert any(name.startswith("optimizer.") for name in dropped)
    assert any("target" in name for name in dropped)
