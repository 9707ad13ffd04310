"""Sweeps on clusters: Ray's tasks on a real local Ray, Slurm's class on submitit's local processes."""

import contextlib
import json
import logging
import shutil
import signal
import sys
import threading

import psutil
import pytest
from waiting import until

from edgerl.errors import ConfigError
from edgerl.experiments.sweeps import launch
from edgerl.experiments.sweeps.executors import clusters

SHORT = ("--env", "toy/catch", "--budgets", "2MB", "--freeze-at", "never", "--eval-every", "0")
TRAIN = [
    sys.executable,
    "-m",
    "edgerl",
    "train",
    *("--budget" if word == "--budgets" else word for word in SHORT),
]
LONG = [*TRAIN, "--steps", "1000000", "--threads", "1", "--quiet"]
PLANNED = 350_000_000


def patient(get_node):
    """Ray gives its node 30 seconds to begin, too few on a busy machine: wait for it in here."""

    def waiting(*arguments):
        found = []

        def seen():
            with contextlib.suppress(RuntimeError):
                found.append(get_node(*arguments))
            return found

        until(seen)
        return found[0]

    return waiting


@pytest.fixture(scope="module")
def ray():
    ray = pytest.importorskip("ray")
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setenv("RAY_worker_niceness", "0")  # 15: other tests beside these would leave nothing to them
    monkeypatch.setattr("ray._private.services.get_node", patient(ray._private.services.get_node))
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    yield ray
    ray.shutdown()
    monkeypatch.undo()


def ended(job):
    """The exit code of a job, waited for."""
    until(lambda: job.poll() is not None)
    return job.poll()


def status(folder):
    """How a run ended; None where it has not."""
    summary = folder / "summary.json"
    return json.loads(summary.read_text())["status"] if summary.exists() else None


def stopped(executor, folder):
    """The exit code of a long run that was stopped once it had begun; its folder is looked at by the caller."""
    job = executor.submit([*LONG, "--out", str(folder)], folder.with_suffix(".log"), 1, PLANNED)
    until((folder / "metrics.jsonl").exists)
    assert job.poll() is None
    job.stop()
    return ended(job)


@pytest.mark.long
def test_a_sweep_on_ray(ray, tmp_path, program):
    out = tmp_path / "sweep"
    options = (*SHORT, "--steps", "5", "--seeds", "2", "--vary", "hidden=32", "--executor", "ray")
    code, printed, lines = program("sweep", *options, "--out", out)
    assert code == 0, lines
    assert "2 finished" in printed
    assert {status(folder) for folder in out.glob("toy*__[01]")} == {"finished"}


@pytest.mark.long
def test_ray_stops_a_cell_with_a_checkpoint_and_tells_what_failed(ray, tmp_path):
    executor = clusters.Ray(threads=1, nbytes=PLANNED)
    assert stopped(executor, tmp_path / "run") == 130
    until(lambda: status(tmp_path / "run") == "interrupted")
    log = tmp_path / "bad.log"
    assert ended(executor.submit([*TRAIN, "--seed", "-1"], log, 1, PLANNED)) == 2
    assert "--seed" in log.read_text()


@pytest.mark.long
def test_a_cell_whose_worker_is_lost_saves_a_checkpoint_and_has_failed(ray, tmp_path):
    folder, log = tmp_path / "run", tmp_path / "run.log"
    job = clusters.Ray(threads=1, nbytes=PLANNED).submit([*LONG, "--out", str(folder)], log, 1, PLANNED)
    until((folder / "metrics.jsonl").exists)
    (train,) = [each for each in psutil.process_iter(["cmdline"]) if str(folder) in (each.info["cmdline"] or [])]
    train.parent().kill()
    assert ended(job) == 1
    assert "the job failed" in log.read_text()
    until(lambda: status(folder))
    assert status(folder) == "interrupted"


@pytest.mark.long
def test_a_cell_that_no_machine_of_rays_can_run_is_refused(ray):
    with pytest.raises(ConfigError, match="no machine of ray's has 99 cores"):
        clusters.Ray(threads=99, nbytes=PLANNED)
    with pytest.raises(ConfigError, match="bytes for a cell"):
        clusters.Ray(threads=1, nbytes=10**15)


@pytest.mark.long
def test_slurms_class_runs_stops_and_tells_what_failed(tmp_path):
    pytest.importorskip("submitit")
    executor = clusters.Slurm(tmp_path / ".slurm", {"partition": "gpu", "time": 60}, cluster="local")
    short = executor.submit([*TRAIN, "--steps", "5", "--out", str(tmp_path / "a")], tmp_path / "a.log", 1, PLANNED)
    assert ended(short) == 0
    assert status(tmp_path / "a") == "finished"
    assert ended(executor.submit([*TRAIN, "--seed", "-1"], tmp_path / "bad.log", 1, PLANNED)) == 2
    assert "--seed" in (tmp_path / "bad.log").read_text()
    assert stopped(executor, tmp_path / "b") == 130
    until(lambda: status(tmp_path / "b") == "interrupted")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_what_a_cluster_sends_before_it_ends_a_job_is_passed_on(number, tmp_path):
    """Slurm announces the end of a job's time to the job's own process, which is this one here."""
    folder = tmp_path / "run"

    def announce():
        until((folder / "metrics.jsonl").exists)
        signal.pthread_kill(threading.main_thread().ident, number)

    thread = threading.Thread(target=announce)
    thread.start()
    kept = signal.getsignal(number)
    assert clusters.launch([*LONG, "--out", str(folder)], str(tmp_path / "run.log"), str(tmp_path)) == 130
    thread.join()
    assert status(folder) == "interrupted"
    assert signal.getsignal(number) == kept


BAD = {
    "without Slurm": ({}, "slurm", "slurm is not on this machine"),
    "an unknown parameter": ({"partitoin": "gpu"}, "local", "partitoin"),
}


@pytest.mark.parametrize("case", BAD, ids=lambda case: case)
def test_what_slurm_does_not_take_is_one_line(case, tmp_path):
    pytest.importorskip("submitit")
    parameters, cluster, says = BAD[case]
    if cluster == "slurm" and shutil.which("srun"):
        pytest.skip("this machine is one of Slurm's")
    with pytest.raises(ConfigError) as error:
        clusters.Slurm(tmp_path / ".slurm", parameters, cluster=cluster)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_given_to_slurm_is_a_number_where_it_is_one():
    assert launch._parameters(["partition=gpu", "time=600"]) == {"partition": "gpu", "time": 600}


@pytest.mark.parametrize(("name", "extra"), [("slurm", "submitit"), ("ray", "ray")])
def test_a_missing_package_is_one_line_that_names_the_extra(name, extra, program, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, extra, None)
    code, _, (line,) = program("sweep", *SHORT, "--executor", name, "--out", tmp_path / "sweep")
    assert code == 2
    assert f"pip install 'edgerl[{name}]'" in line
    assert not (tmp_path / "sweep").exists()
