"""Frozen before the first step, a random encoder or another run's: every store, resumes, plan, summary and report."""

import json
import subprocess
import sys

import numpy as np
import pytest
from cases import quick
from rich.console import Console
from stopping import stopped_after
from test_control import final

from edgerl import configure
from edgerl.envs import suites
from edgerl.envs.base import EnvOptions
from edgerl.experiments.reports import contents, reading, write
from edgerl.planning import plan, plan_report, plan_table
from edgerl.planning.introduction import introduction
from edgerl.training import train
from edgerl.training.evaluate import evaluate_run
from runtime import Session

TINY = {"budget": 1_500_000, "threads": 1, "steps": 12, "freeze_at": 0, "learn_start": 6, "batch_size": 2, "hidden": 8}
TINY |= {"eval_every": 0, "checkpoint_every": 0}
STORES = {  # settings, what is held from the first step on
    "latents": ({}, ("latents", "float32")),
    "float16": ({"latent_dtype": "float16"}, ("latents", "float16")),
    "no rows to lay scales over": ({"latent_dtype": "uint8"}, ("latents", "float16")),
    "after lz4": ({"pixel_codec": "lz4"}, ("latents", "float32")),
    "after lz4, no scales": ({"pixel_codec": "lz4", "latent_dtype": "uint8"}, ("latents", "float16")),
    "lz4 kept": ({"pixel_codec": "lz4", "store": "pixels"}, ("pixels", "lz4")),
    "pixels by choice": ({"store": "pixels"}, ("pixels", "raw")),
    "latents by choice": ({"store": "latents"}, ("latents", "float32")),
    "larger than frames": ({"cut": "conv1"}, ("pixels", "raw")),
    "plain DQN": ({"algo": "dqn"}, ("latents", "float32")),
}


def tiny(env="toy/catch", **changes):
    return configure(env=env, **(TINY | changes))


@pytest.mark.parametrize("case", quick(STORES, "latents", "after lz4, no scales", "lz4 kept", "larger than frames"))
def test_every_store_begins_empty_and_holds_what_the_plan_says(case, tmp_path, capfd):
    changes, (store, codec) = STORES[case]
    settings = tiny(**changes)
    found = train.train(settings, tmp_path / "run")
    said = " ".join(capfd.readouterr().err.split())
    freeze, planned = found["freeze"], plan.make_plan(settings, suites.describe("toy/catch"))
    assert (found["status"], found["store"], found["codec"]) == ("finished", store, codec)
    assert (freeze["step"], freeze["rows_before"], freeze["rows_after"], freeze["rows_dropped"]) == (0, 0, 0, 0)
    assert (freeze["store"], freeze["codec"]) == (store, codec)
    assert 0 <= freeze["parity_max_abs_diff"] <= 1e-4
    assert found["replay"]["rows"] == 12
    assert found["throughput"]["steps_per_s_before"] is None
    assert (planned.after.stores, planned.after.codec) == (store, codec)
    if codec != "lz4":
        assert found["capacity"]["after_freeze"] == planned.after.rows
    assert "frozen from the start" in said
    assert ("fewer than 100 rows give uint8 no scales" in said) == ("no scales" in case or "no rows" in case)
    counts = planned.flops
    assert found["flops"]["total"] == 6 * counts.after.per_update
    exact = 6 * counts.after.acting + 6 * counts.after.exact_per_update
    assert found["flops"]["exact_total"] == exact
    scores = evaluate_run(tmp_path / "run", episodes=1, seed=0, threads=1, say=print)
    assert scores["step"] == 12


@pytest.mark.parametrize(
    ("stop", "changes"),
    [(1, {}), (7, {}), (1, {"pixel_codec": "lz4", "latent_dtype": "uint8"}), (7, {"cut": "conv1"})],
    ids=str,
)
def test_a_resumed_run_is_the_uninterrupted_one(stop, changes, uninterrupted, tmp_path):
    settings = tiny(**changes)
    whole = uninterrupted(settings)
    first = json.loads((whole / "checkpoint/000000000/state.json").read_text())
    assert first["trainer"]["freeze_report"]["step"] == 0
    with stopped_after(stop):
        assert train.train(settings, tmp_path / "parts", quiet=True)["steps"] == stop
    assert train.train(settings, tmp_path / "parts", resume=True, quiet=True)["status"] == "finished"
    (arrays, state, rows), (again, state_again, rows_again) = (
        final(whole, 12),
        final(tmp_path / "parts", 12),
    )
    assert arrays.keys() == again.keys()
    assert [name for name in arrays if not np.array_equal(arrays[name], again[name])] == []
    assert state == state_again
    assert len(rows) == len(rows_again)


def test_parity_is_checked_on_the_pending_window(tmp_path, monkeypatch):
    """There is no row yet. ONNX Runtime is given what is about to be acted on, and its answer counts."""
    seen = []
    encode = Session.__call__

    def wrong(session, windows):
        seen.append(windows)
        return encode(session, windows) + (len(seen) > 1)  # the first is the rehearsal's

    monkeypatch.setattr(Session, "__call__", wrong)
    with pytest.raises(RuntimeError, match="ONNX Runtime differs from the trained encoder by 1"):
        train.train(tiny(), tmp_path / "run", quiet=True)
    assert [len(windows) for windows in seen] == [1, 1]
    assert not seen[0].any()
    assert set(np.unique(seen[1])) == {0, 160, 255}  # catch's block and paddle
    assert not (tmp_path / "run").exists()


def test_a_pair_of_random_encoders_is_frozen_with_four_crops_a_row(tmp_path):
    changes = {"budget": 6_000_000, "steps": 8, "learn_start": 4, "random_steps": 2}
    found = train.train(tiny("dmc/cartpole-swingup", **changes), tmp_path / "run", quiet=True)
    assert (found["status"], found["store"], found["replay"]["bytes_per_row"]) == ("finished", "latents", 1616)
    assert (found["freeze"]["rows_after"], found["replay"]["rows"]) == (0, 8)


def test_the_plan_has_no_update_before_the_freeze_and_nothing_to_convert(program):
    code, written, _ = program("plan", "--json", "--env", "atari/qbert", "--freeze-at", "0", "--steps", "50000")
    assert code == 0
    found = json.loads(written)["flops"]
    assert found["conversion"] == 0
    assert found["run"] == (50_000 - 1600) * found["per_update_after"]
    code, written, _ = program("plan", "--env", "atari/qbert", "--freeze-at", "0", "--latent-dtype", "uint8")
    assert "frozen from the start" in written
    assert "59,924" in written  # float16: uint8 has no rows to lay its scales over


def test_nothing_is_planned_for_training_on_pixels_where_none_are_trained_on():
    for env, encoder in (("atari/qbert", "impala"), ("dmc/walker-walk", "curl")):
        settings = [configure(env=env, encoder=encoder, freeze_at=at, threads=1) for at in (0, 2000)]
        spec = suites.describe(env, EnvOptions(action_repeat=settings[0].run.action_repeat))
        at_once, later = (plan.make_plan(each, spec).ledger for each in settings)
        assert at_once["scratch"] < later["scratch"] / 3
        assert at_once["libraries"] <= later["libraries"]  # without torch, if it is never needed
        for line in ("networks", "optimizer", "replay"):
            assert at_once[line] == later[line]
        assert at_once.keys() == later.keys() == {"libraries", "networks", "optimizer", "replay", "scratch"}


def test_the_introduction_names_no_rows_of_pixels(tmp_path):
    for changes, says in (({}, "of 2,312 B (latents), frozen"), ({"cut": "conv1"}, "of 7,064 B (pixels), frozen")):
        settings = tiny(**changes)
        planned = plan.make_plan(settings, suites.describe("toy/catch"))
        text = introduction(settings, planned, None, "", tmp_path, (4, 84, 84))
        assert says + " from the start" in text
        assert "after the freeze" not in text


def test_a_plan_for_people_says_when(capsys):
    settings = tiny()
    plan_table.show(settings, [plan_report.report(settings, suites.describe("toy/catch"), None)], Console())
    assert "frozen from the start" in capsys.readouterr().out


def test_a_report_shows_runs_frozen_at_the_start_beside_others(tmp_path):
    changes = {"eval_every": 6, "eval_episodes": 1}
    for name, freeze_at in (("start", 0), ("later", 8), ("never", "never")):
        train.train(tiny(freeze_at=freeze_at, **changes), tmp_path / name, quiet=True)
    found = contents.collect(reading.read([tmp_path]), None)
    (section,) = found.sections
    variants = {variant["name"]: variant for variant in section.curves["variants"]}
    start = variants["frozen at 0"]
    assert [(freeze["steps"], freeze["env_steps"], freeze["flops"]) for freeze in start["freezes"]] == [(0, 0, 0)]
    assert variants["never frozen"]["freezes"] == []
    assert [freeze["steps"] for freeze in variants["frozen at 8"]["freezes"]] == [8]
    assert start["capacity"]["x"] == [0, 0, 0, 12]
    rows = {row[0]: row for row in section.cost.rows}
    assert rows["frozen at 0"][3] != "-"
    for form in ("html", "md", "json", "png"):
        assert write.write([tmp_path], tmp_path / f"report.{form}") == []


MEMORY = """
import json, sys, tempfile
import edgerl
settings = json.loads(sys.argv[1])
with tempfile.TemporaryDirectory() as folder:
    found = edgerl.train(edgerl.configure(**settings), folder + "/run")
print(json.dumps(found["freeze"]["peak_extra_bytes"]))
"""


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak")
@pytest.mark.parametrize(
    ("env", "encoder", "most"), [("atari/qbert", "impala", 16e6), ("dmc/walker-walk", "curl", 32e6)]
)
def test_the_freeze_takes_no_more_memory_where_there_is_no_heap_to_give_back(env, encoder, most, tmp_path):
    """Its stem is 4.4 MB and 15.8 MB: torch's, the file's and ONNX Runtime's are not there at once."""
    settings = {
        "env": env,
        "encoder": encoder,
        "budget": "10MB",
        "freeze_at": 0,
        "steps": 21,
        "learn_start": 20,
        "threads": 1,
    }
    settings |= {"eval_every": 0, "checkpoint_every": 0}
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, json.dumps(settings)], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) < most / 2
