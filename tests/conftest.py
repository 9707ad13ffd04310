"""What several tests need: a small configuration, and the command line in its own process."""

import gc
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, settings
from misbehaving import MODULE

from edgerl import configure, train
from edgerl.agents.engine_choice import has_torch
from edgerl.commands import app
from edgerl.errors import ConfigError

SNAPSHOTTED = {"budget": 1_500_000, "threads": 1, "steps": 170, "freeze_at": 110, "learn_start": 30, "hidden": 8}
SNAPSHOTTED |= {"batch_size": 4, "eval_every": 0, "checkpoint_every": 50, "snapshot_every": 40}

settings.register_profile(
    "slow machines too", deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("slow machines too")


@pytest.fixture(scope="session", autouse=True)
def interruptible():
    """What a shell starts behind its back ignores SIGINT, and so would all that the tests start and interrupt."""
    kept = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, kept)


@pytest.fixture(scope="session", autouse=True)
def frozen_heap():
    """Keep the collector from what is imported by now: a run collects several times, and that is most of the heap."""
    for name in ("torch", "runtime"):
        if has_torch() or name != "torch":
            importlib.import_module(name)
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Leave the other core to the other worker where a test asks torch itself; a run sets its own threads."""
    if has_torch():
        importlib.import_module("torch").set_num_threads(1)


@pytest.fixture(scope="session")
def small():
    """Build a Config of toy/catch with changes by table: small(run={"steps": 300})."""

    def build(env="toy/catch", **changes):
        settings = {"budget": 3_000_000, "threads": 1, "steps": 400, "freeze_at": 300}
        settings |= {"eval_every": 0, "checkpoint_every": 0}
        for table in changes.values():
            settings |= table
        return configure(env=env, **{name: "never" if value is None else value for name, value in settings.items()})

    return build


@pytest.fixture(scope="session")
def snapshotted(tmp_path_factory):
    """The folder of a run frozen at 110, with snapshots of 0, 40, 80, 110, 120, 160 and 170. To be read only."""
    folder = tmp_path_factory.mktemp("snapshotted") / "run"
    train(configure(env="toy/catch", **SNAPSHOTTED), folder)
    return folder


@pytest.fixture(scope="session")
def real(tmp_path_factory):
    """One finished run of toy/catch, evaluated at 200 and 400. To be read only."""
    folder = tmp_path_factory.mktemp("report") / "real"
    settings = {"env": "toy/catch", "budget": 3_000_000, "threads": 1, "steps": 400, "freeze_at": 300}
    settings |= {"eval_every": 200, "eval_episodes": 2, "checkpoint_every": 0}
    train(configure(**settings), folder, quiet=True)
    return folder


@pytest.fixture
def another(real, tmp_path):
    """Make a run like the real one, with other settings, scores at its two evaluations, and changes to its summary."""

    def make(name, scores=(0.0, 1.0), **changes):
        folder = tmp_path / name
        shutil.copytree(real, folder)
        text = (folder / "config.toml").read_text().partition("\n")[2]  # without its seal
        summary = json.loads((folder / "summary.json").read_text())
        for key, value in changes.pop("settings", {}).items():
            old = next(line for line in text.splitlines() if line.startswith(f"{key} = "))
            text = text.replace(f"{old}\n", f"{key} = {json.dumps(value)}\n")
        (folder / "config.toml").write_text(text)
        for evaluation, score in zip(summary["returns"], scores, strict=True):
            evaluation["mean"] = score
        (folder / "summary.json").write_text(json.dumps(summary | changes))
        return folder

    return make


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The folder of the finished run of a configuration, trained once for several resumes. To be read only."""
    folders = {}

    def finished(config):
        text = config.to_toml()
        if text not in folders:
            folders[text] = tmp_path_factory.mktemp("uninterrupted") / "run"
            train(config, folders[text], quiet=True)
        return folders[text]

    return finished


@pytest.fixture
def edgerl():
    """Run `edgerl ARGS` as a user does; returns the finished process with its text."""

    def run(*arguments, **options):
        command = [sys.executable, "-m", "edgerl", *map(str, arguments)]
        options["env"] = options.get("env", os.environ) | {"COLUMNS": "120"}
        return subprocess.run(command, capture_output=True, text=True, **options)

    return run


@pytest.fixture
def program(monkeypatch, capsys):
    """Run `edgerl ARGS` in this process; returns exit code, the text on stdout and the lines on stderr."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["edgerl", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            app.main()
        written = capsys.readouterr()
        return left.value.code or 0, written.out, written.err.splitlines()

    return call


@pytest.fixture
def parsed(program, monkeypatch, tmp_path):
    """The configuration with which `edgerl train OPTIONS` would begin."""

    def parse(options):
        kept = []

        def capture(config, *_, **__):
            kept.append(config)
            raise ConfigError("captured")

        monkeypatch.setattr("edgerl.training.train.train", capture)
        assert program("train", *options, "--out", tmp_path / "run")[2][-1:] == ["edgerl: captured"]
        return kept[0]

    return parse


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """The module of environments that misbehave, new for each test."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MODULE)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("mine")
    del sys.modules["mine"]


@pytest.fixture(scope="module")
def trained(uninterrupted, request):
    """The folder of a run of the module's RUNS, by its name, trained once. To be read only."""
    return lambda name: uninterrupted(configure(**request.module.RUNS[name]))


@pytest.fixture
def few(monkeypatch):
    """An export compares policies on few windows."""
    monkeypatch.setattr("edgerl.experiments.export.export.WINDOWS", 40)
