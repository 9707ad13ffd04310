"""A sweep's cell by itself: what the end of its job leads to, and its progress as its folder shows it."""

import json

import pytest

from edgerl.experiments.sweeps import manifest
from edgerl.experiments.sweeps.cell import CellRun
from edgerl.experiments.sweeps.manifest import Cell, Sweep
from edgerl.runs.status import RunProgress


def test_a_cell_whose_jobs_a_cluster_ends_goes_on_unless_that_leads_nowhere(tmp_path):
    run = CellRun(Cell("a", "a", "toy/catch", "b", 0, (), 1, 1, 1), tmp_path)
    ends = []
    for step in (0, 500, 500, 500, 700, 700, 700, 700):
        (tmp_path / "a" / "checkpoint" / f"{step:09d}").mkdir(parents=True, exist_ok=True)
        ends.append(run._ended(130, stopped=False, preempted=True))
    assert ends == [*["waiting"] * 7, "interrupted"]
    assert "before there was a new checkpoint" in run.reason
    assert run._ended(130, stopped=False, preempted=False) == "interrupted"
    assert run._ended(130, stopped=True, preempted=False) == "waiting"
    assert (run._ended(-9, stopped=False, preempted=False), run.reason) == ("failed", "killed by signal 9")


def test_files_of_no_new_run_are_kept_and_fail_the_cell(tmp_path, program):
    manifest.write(Sweep(None, 1, None, (cell_of(),), ()), tmp_path)
    kept = tmp_path / "a" / "checkpoint" / "000000040"  # of a run whose config.toml is lost
    kept.mkdir(parents=True)
    (tmp_path / "a" / "metrics.jsonl").touch()
    code, _, lines = program("sweep", "--resume", tmp_path, "--quiet")
    assert (code, len(lines), kept.exists()) == (1, 1, True)
    assert (
        f"a (failed: {tmp_path / 'a'} has no config.toml, but checkpoint, which no new run leaves: move it" in lines[0]
    )


def test_a_fork_that_was_killed_as_it_began_leaves_its_copy_of_a_checkpoint(tmp_path):
    run = CellRun(cell_of(), tmp_path, CellRun(cell_of(), tmp_path))
    (tmp_path / "a" / "checkpoint").mkdir(parents=True)
    (tmp_path / "a" / ".lock").touch()
    assert run._foreign_file() is None
    (tmp_path / "a" / "summary.json").touch()
    assert run._foreign_file() == "summary.json"


def cell_of(*arguments, steps=80):
    return Cell("a", "a", "toy/catch", "b", 0, arguments, steps, 1, 1)


@pytest.mark.parametrize(
    ("code", "summary", "state", "said"),
    [
        (0, None, "failed", "it has no summary"),
        (0, "torn", "failed", "it has no summary"),
        (0, {"status": "failed", "steps": 40}, "failed", "its summary says failed after 40 of 80 steps"),
        (0, {"status": "interrupted", "steps": 40}, "failed", "its summary says interrupted after 40 of 80 steps"),
        (0, {"status": "finished", "steps": 79}, "failed", "its summary says finished after 79 of 80 steps"),
        (0, {"status": "finished", "steps": "80"}, "failed", "its summary says finished after 80 of 80 steps"),
        (0, {"status": "finished"}, "failed", "its summary says finished after None of 80 steps"),
        (0, {"status": "finished", "steps": 80}, "finished", ""),
        (0, {"status": "finished", "steps": 90}, "finished", ""),
        (1, {"status": "finished", "steps": 80}, "finished", ""),
    ],
)
def test_a_cell_has_finished_if_its_summary_says_so(code, summary, state, said, tmp_path):
    run = CellRun(cell_of(), tmp_path)
    run.folder.mkdir()
    if summary is not None:
        (run.folder / "summary.json").write_text(summary if summary == "torn" else json.dumps(summary))
    assert run._ended(code, stopped=False, preempted=False) == state
    assert said in run.reason
    assert (str(run.log) in run.reason) == (state == "failed")
    assert run.state_of_folder() == ("finished" if state == "finished" else "waiting")


def test_a_cell_may_end_before_its_steps_if_it_was_asked_to():
    assert cell_of().last_step == 80
    assert cell_of("--steps", "80", "--until", "50").last_step == 50
    assert cell_of("--until", "90").last_step == 80
    assert cell_of("--stop-at-flops", "1e9", "--steps", "80").last_step == 0
    assert cell_of("--until", "never", "--stop-at-flops", "never").last_step == 80  # where everything is said


def test_progress_is_read_as_it_grows_and_after_it_was_cut_back(tmp_path):
    file = tmp_path / "metrics.jsonl"
    progress = RunProgress(file)
    progress.read()
    assert (progress.step, progress.speed, progress.score) == (0, None, None)
    file.write_text('{"step": 500, "throughput/steps_per_s": 40.5}\n{"step": 600, "eval/mean": 3.5}\n{"step": 70')
    progress.read()
    assert (progress.step, progress.speed, progress.score) == (600, 40.5, 3.5)
    with file.open("a") as lines:
        lines.write('0}\n{"step": 1000, "throughput/steps_per_s": 50.5}\n')
    progress.read()
    assert (progress.step, progress.speed, progress.score) == (1000, 50.5, 3.5)
    file.write_text('{"step": 500}\nno json\n')
    progress.read()
    assert progress.step == 500
