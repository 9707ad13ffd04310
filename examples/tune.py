"""Choose settings with Optuna; a trial that falls behind is stopped early, by a listener.

pip install optuna
python examples/tune.py --trials 8 --steps 1500
"""

import argparse
import tempfile
from pathlib import Path

import optuna

import edgerl


def score(trial: optuna.Trial, folder: Path, steps: int) -> float:
    """The last score of a run with settings of the trial's choice."""
    config = edgerl.configure(
        env="toy/catch",
        budget="3MB",
        steps=steps,
        freeze_at=steps // 2,
        eval_every=steps // 5,
        learning_rate=trial.suggest_float("learning_rate", 1e-5, 1e-2, log=True),
        n_step=trial.suggest_int("n_step", 1, 10),
        threads=1,
    )

    def on_metrics(step: int, values: dict[str, float]) -> None:
        if "eval/mean" in values:
            trial.report(values["eval/mean"], step)
            if trial.should_prune():
                raise edgerl.StopTraining

    summary = edgerl.train(config, folder / f"trial-{trial.number}", on_metrics=on_metrics)
    if summary["status"] != "finished":
        raise optuna.TrialPruned
    return float(summary["returns"][-1]["mean"])


def main() -> None:
    """Run the trials, and print the best one's settings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--steps", type=int, default=1500, help="agent steps of a trial")
    args = parser.parse_args()
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    with tempfile.TemporaryDirectory() as folder:
        study.optimize(lambda trial: score(trial, Path(folder), args.steps), n_trials=args.trials)
    print(f"best: score {study.best_value:g} with {study.best_params}")


if __name__ == "__main__":
    main()
