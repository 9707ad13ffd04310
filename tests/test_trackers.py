"""--track: a run's metrics in real trackers, offline; `make test-peers` runs it where they are installed."""

import importlib
import json
from pathlib import Path

import pytest

import edgerl
from edgerl.config.resolve import configured
from edgerl.errors import ConfigError
from edgerl.experiments.tracking import trackers
from edgerl.experiments.tracking.trackers import tracking
from edgerl.training.train import train

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what trackers import

TINY = {"env": "toy/catch", "budget": 1_500_000, "threads": 1, "steps": 600, "freeze_at": 500, "learn_start": 100}
TINY |= {"hidden": 8, "batch_size": 4, "eval_every": 300, "eval_episodes": 2, "checkpoint_every": 0}


def trained(name, folder, **changes):
    """Train, tracked, in this folder; returns the scores of its evaluations by step."""
    config, resume = configured(TINY | changes), (folder / "config.toml").exists()
    with tracking(name, config, folder) as listeners:
        summary = train(config, folder, quiet=True, resume=resume, listeners=listeners)
    return {result["step"]: result["mean"] for result in summary["returns"]}


def test_mlflow_has_the_runs_metrics_and_goes_on_at_a_resume(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    trained("mlflow", tmp_path / "run")
    scores = trained("mlflow", tmp_path / "run", steps=900)
    client = mlflow.MlflowClient()
    (own,) = client.search_runs([client.get_experiment_by_name("edgerl").experiment_id])
    assert own.info.run_id == json.loads((tmp_path / "run" / trackers.FILE).read_text())["mlflow"]
    assert (own.info.run_name, own.info.status, own.data.params["run.env"]) == ("run", "FINISHED", "toy/catch")
    history = client.get_metric_history(own.info.run_id, "eval/mean")
    assert {metric.step: metric.value for metric in history} == scores
    assert len(scores) == 3


def test_wandb_has_the_runs_metrics_and_goes_on_at_a_resume(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    trained("wandb", tmp_path / "run")
    first = json.loads((tmp_path / "run" / trackers.FILE).read_text())["wandb"]
    trained("wandb", tmp_path / "run", steps=900)
    kept = sorted((tmp_path / "run/wandb").glob("offline-run-*"))
    assert len(kept) == 2
    assert all(folder.name.endswith(first) for folder in kept)
    for folder in kept:
        (file,) = folder.glob("*.wandb")
        assert b"eval/mean" in file.read_bytes()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("tensorboard", "--track: 'tensorboard' is neither wandb nor mlflow"),
        ("wandb", "--track: wandb is not installed; pip install 'edgerl[wandb]'"),
    ],
)
def test_a_tracker_that_is_not_there_is_refused_before_the_run(name, says, tmp_path, program, monkeypatch):
    monkeypatch.setattr(trackers, "find_spec", lambda module: None)
    with pytest.raises(ConfigError, match=says.partition(";")[0]), tracking(name, configured(TINY), tmp_path):
        pass
    code, _, lines = program("train", "--env", "toy/catch", "--track", "tensorboard", "--out", tmp_path / "run")
    assert (code, lines) == (2, ["edgerl: --track: 'tensorboard' is neither wandb nor mlflow"])
    assert not (tmp_path / "run").exists()


def test_a_tracker_whose_server_is_gone_is_begun_once_and_ends_no_run(tmp_path, monkeypatch, capsys):
    begun = []

    class Gone:
        id = "1"

        def __init__(self, folder, settings, known):
            begun.append(folder)
            if folder.name == "unreachable":
                raise OSError("no server")

        def log(self, step, values):
            pass

        def close(self):
            raise TimeoutError("no answer")

    monkeypatch.setitem(trackers.TRACKERS, "wandb", Gone)
    monkeypatch.setattr(trackers, "find_spec", lambda name: name)
    for name, said in (("unreachable", "no server"), ("gone", "wandb could not be closed: no answer")):
        trained("wandb", tmp_path / name)
        assert said in capsys.readouterr().err
    assert begun == [tmp_path / "unreachable", tmp_path / "gone"]


def test_the_example_of_optuna_prunes_by_a_listener(tmp_path, monkeypatch):
    optuna = pytest.importorskip("optuna")
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "examples")
    tune = importlib.import_module("tune")
    study = optuna.create_study(pruner=optuna.pruners.ThresholdPruner(lower=2.0), direction="maximize")
    study.optimize(lambda trial: tune.score(trial, tmp_path, 250), n_trials=1)
    (trial,) = study.trials
    assert trial.state == optuna.trial.TrialState.PRUNED  # no score of catch is 2
    assert list(trial.intermediate_values) == [50]
    assert edgerl.load(tmp_path / "trial-0").step == 50
    study.pruner = optuna.pruners.NopPruner()
    study.optimize(lambda trial: tune.score(trial, tmp_path, 250), n_trials=1)
    assert study.trials[1].state == optuna.trial.TrialState.COMPLETE
