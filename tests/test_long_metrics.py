"""Metrics of long runs: so many lines of a kind at most, the same ones however often the run was resumed."""

import json

import pytest
from stopping import stopped_after

from edgerl.experiments.reports.reading import read_run
from edgerl.runs import metrics
from edgerl.runs.metrics import Metrics
from edgerl.training import train

KINDS = {"train/score": 7, "replay/rows": 500, "checkpoint/bytes": 1000, "eval/mean": 2500}  # a line in so many steps


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def log(written, steps, first=1):
    """Log lines of all kinds, as a run from one step to another does; the ledger at both."""
    for step in range(first, steps + 1):
        for name, every in KINDS.items():
            if step % every == 0:
                written.write(step, {name: step, f"{name}_2": 0.5})
        if step in (1, steps):
            written.write(step, {"ledger/networks": 1})
            written.write(step, {"ledger/networks": 2})


def test_a_run_of_as_many_steps_as_lines_is_logged_in_full(tmp_path):
    log(Metrics(tmp_path, metrics.MOST_LINES), 3000)
    assert len(lines(tmp_path)) == sum(3000 // every for every in KINDS.values()) + 4


def test_of_a_longer_run_there_are_so_many_lines_of_a_kind(tmp_path, monkeypatch):
    monkeypatch.setattr(metrics, "MOST_LINES", 100)
    told = []
    log(Metrics(tmp_path, 10_000, say=told.append), 10_000)
    logged = lines(tmp_path)
    counts = {name: sum(name in line for line in logged) for name in (*KINDS, "ledger/networks")}
    assert counts == {
        "train/score": 100,
        "replay/rows": 20,
        "checkpoint/bytes": 10,
        "eval/mean": 4,
        "ledger/networks": 4,
    }
    assert [line["step"] for line in logged if "train/score" in line][:3] == [
        7,
        105,
        203,
    ]  # the first of each 100 steps
    assert told == ["step 14: metrics are thinned: one line of a kind in 100 steps"]
    (events,) = tmp_path.glob("events.*")
    assert events.stat().st_size < 20_000


@pytest.mark.parametrize("stop", [1, 104, 105, 106, 250, 999])
def test_a_resumed_run_leaves_out_the_same_lines(stop, tmp_path, monkeypatch):
    monkeypatch.setattr(metrics, "MOST_LINES", 10)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
    log(Metrics(whole, 1000), 1000)
    begun = Metrics(parts, 1000)
    log(begun, stop)
    nbytes = begun.sync()
    log(begun, stop + 300, first=stop + 1)  # lost: the process was killed, and its last line is torn
    with (parts / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 9')
    resumed = Metrics(parts, 1000)
    resumed.cut(nbytes, stop)
    log(resumed, 1000, first=stop + 1)
    as_logged = [[(line["step"], *list(line)[3:]) for line in lines(folder)] for folder in (whole, parts)]
    ledger = [(stop, "ledger/networks")] * 2 * (stop != 1)  # at the end of the first part
    assert sorted(as_logged[1]) == sorted(as_logged[0] + ledger)


def test_another_program_of_the_process_goes_on_with_the_same_lines(tmp_path):
    first = Metrics(tmp_path, 10**6)
    first.write(50, {"train/score": 1.0})
    kept = json.loads(json.dumps(first.kept()))
    second = Metrics(tmp_path, 10**6, **kept)
    second.write(60, {"train/score": 2.0})
    second.write(80, {"train/score": 3.0})
    assert [line["step"] for line in lines(tmp_path)] == [50, 80]


@pytest.mark.parametrize(
    "tail", [b"", b'{"step": 1', b"\x00" * 100, b'[1]\n{"a": 1}\n', b'{"step": 4, "seconds": "x"}\n']
)
def test_a_file_is_cut_by_reading_its_end(tail, tmp_path, monkeypatch):
    monkeypatch.setattr(metrics, "BLOCK", 32)  # lines lie across blocks
    monkeypatch.setattr(metrics, "MOST_LINES", 10)
    log(Metrics(tmp_path, 1000), 500)
    file = tmp_path / "metrics.jsonl"
    before = file.read_bytes()
    file.write_bytes(before + tail)
    again = Metrics(tmp_path, 1000)
    again.cut(len(before) + len(tail), 500)
    assert file.read_bytes() == before + tail[: tail.rfind(b"\n") + 1]
    again.write(501, {"train/score": 1.0})
    assert json.loads(file.read_bytes().splitlines()[-1])["step"] == 501


@pytest.mark.long
def test_a_run_whose_metrics_are_thinned_is_resumed_and_reported(small, tmp_path, monkeypatch):
    monkeypatch.setattr(metrics, "MOST_LINES", 8)
    config = small(run={"steps": 400, "freeze_at": 200, "eval_every": 100, "eval_episodes": 1})
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train.train(config, whole, quiet=True)
    with stopped_after(130):
        train.train(config, parts, quiet=True)
    train.train(config, parts, resume=True, quiet=True)
    scores = [
        [(line["step"], line["train/score"]) for line in lines(run) if "train/score" in line] for run in (whole, parts)
    ]
    assert scores[0] == scores[1]
    assert 4 <= len(scores[0]) <= 8
    steps, _ = read_run(whole, None).metrics["train/score"]
    assert len(steps) == len(scores[0])
