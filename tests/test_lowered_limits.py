"""What limits a run from outside while it goes on: control groups, stalls for memory, swap; and a run in every phase.

Files in a temporary folder stand for the kernel's; the last test makes a real control group, where that is allowed.
"""

import os
import sys
from pathlib import Path

import pytest
from stopping import stopped_after

from edgerl.errors import MemoryLimitError
from edgerl.planning import limits as planned_limits
from edgerl.runs import checkpoint
from edgerl.training import loop, resume, train
from memory_budget import Surroundings, Watchdog, limits, peak, ring, rss_bytes, surroundings, tree_bytes

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import limits as real_groups

MB = 10**6
CALM = "some avg10=90.00 avg60=0.00 avg300=0.00 total=9\nfull avg10=0.00 avg60=50.00 avg300=0.00 total=9\n"
BUSY = CALM.replace("full avg10=0.00", "full avg10=12.50")
STUCK = CALM.replace("full avg10=0.00", "full avg10=55.00")
# What a control group of v2 and one of v1 show of 600 MB that are charged to it, 250 MB of them the pages of files.
V2 = {
    "memory.current": 600 * MB,
    "memory.stat": f"anon 1\nactive_file {200 * MB}\ninactive_file {50 * MB}\nshmem {90 * MB}",
}
V1 = {
    "memory.usage_in_bytes": 600 * MB,
    "memory.stat": f"active_file 1\ninactive_file 1\ntotal_active_file {200 * MB}\ntotal_inactive_file {50 * MB}",
}


@pytest.fixture
def box(tmp_path, monkeypatch):
    """The folder of a v2 control group that this process seems to be in, without a limit, on a calm machine."""
    root, membership, machine = tmp_path / "cgroup", tmp_path / "membership", tmp_path / "pressure"
    (root / "box").mkdir(parents=True)
    membership.write_text("0::/box\n")
    machine.write_text(CALM)
    (root / "box/memory.max").write_text("max\n")
    for module, name, place in (
        (limits, "_ROOT", root),
        (limits, "_MEMBERSHIP", membership),
        (surroundings, "_MACHINE", machine),
    ):
        monkeypatch.setattr(module, name, place)
    return root / "box"


@pytest.mark.parametrize(
    ("files", "held"),
    [
        (V2, 350 * MB),
        (V2 | {"memory.swap.current": 30 * MB}, 380 * MB),
        (V2 | {"memory.stat": f"active_file 0\ninactive_file 0\nslab_reclaimable {10 * MB}"}, 590 * MB),
        (V1, 350 * MB),
        (V1 | {"memory.memsw.usage_in_bytes": 640 * MB}, 390 * MB),
        ({"memory.current": 600 * MB}, 600 * MB),
        (V2 | {"memory.stat": "no numbers here"}, 600 * MB),
        ({}, 0),
    ],
    ids=["v2", "v2, swapped", "v2, kernel's own", "v1", "v1, swapped", "no stat", "a stat that is none", "nothing"],
)
def test_what_a_group_cannot_give_back(files, held, tmp_path):
    for name, text in files.items():
        (tmp_path / name).write_text(f"{text}\n")
    assert surroundings.held_bytes(tmp_path) == held


@pytest.mark.parametrize("file", ["memory.max", "memory.high"])
def test_a_limit_that_is_lowered_or_lifted_counts_at_the_next_reading(file, box):
    (box / file).write_text("max\n")
    watchdog = Watchdog(2 * 10**12, surroundings=Surroundings())
    for text, smallest in (("max", 2 * 10**12), ("1000000000000", 10**12), ("max", 2 * 10**12)):
        (box / file).write_text(f"{text}\n")
        watchdog.check()
        assert (watchdog.smallest_limit, watchdog.exceeded) == (smallest, False)
    limit = int(tree_bytes() / 0.98)
    (box / file).write_text(f"{limit}\n")
    watchdog.check()
    (box / file).write_text("max\n")
    watchdog.check()
    assert watchdog.exceeded  # it stays so
    assert watchdog.reason == f"the process tree reached 97% of its limit of {limit:,} bytes"


def test_a_group_that_others_fill_counts_and_the_pages_of_files_do_not(box):
    room = 10**12
    (box / "memory.max").write_text(f"{room}\n")
    watchdog = Watchdog(None, surroundings=Surroundings())
    (box / "memory.current").write_text(f"{room}\n")
    (box / "memory.stat").write_text(f"active_file {room // 2}\ninactive_file {room // 4}\n")
    watchdog.check()
    assert not watchdog.exceeded
    assert watchdog.relieve() is None
    (box / "memory.stat").write_text(f"active_file 0\ninactive_file {room // 8}\n")
    watchdog.check()
    assert "the control group holds 875 GB, 88% of the limit of 1000 GB" in watchdog.relieve()
    assert watchdog.allows(room // 20)
    assert not watchdog.allows(room // 10)
    (box / "memory.stat").write_text("active_file 0\ninactive_file 0\n")
    watchdog.check()
    assert watchdog.reason == f"the control group reached 97% of its limit of {room:,} bytes"


def test_a_stall_for_memory_trims_and_one_that_lasts_ends_the_run(box, monkeypatch):
    monkeypatch.setattr(Watchdog, "STALL_SECONDS", 0.05)
    watchdog, pressure = Watchdog(None, surroundings=Surroundings()), box / "memory.pressure"
    pressure.write_text(CALM)
    watchdog.check()
    assert watchdog.relieve() is None
    pressure.write_text(BUSY)
    watchdog.check()
    assert watchdog.relieve().startswith("work stalls for memory 12% of the time: collected and trimmed")
    for _ in range(2):  # it is over before it has lasted
        pressure.write_text(STUCK)
        watchdog.check()
        pressure.write_text(BUSY)
        watchdog.check()
    assert not watchdog.exceeded
    pressure.write_text(STUCK)
    while not watchdog.exceeded:
        watchdog.check()
    assert watchdog.reason == f"work stalls for memory 55% of the time ({pressure})"


def test_where_the_stall_is_read(box):
    around, machine = Surroundings(), surroundings._MACHINE
    around.read()
    assert (around.stall, around.stall_file) == (0.0, machine)
    machine.write_text(BUSY)
    hybrid = limits._ROOT / "unified/box"
    hybrid.mkdir(parents=True)
    around.read()
    assert around.stall == 12.5
    (hybrid / "memory.pressure").write_text(STUCK)
    again = Surroundings()
    again.read()
    assert (again.stall, again.stall_file) == (55.0, hybrid / "memory.pressure")


@pytest.mark.parametrize("text", ["", "some avg10=9.00\n", "full\n", "full avg10=x\n", "full avg10=\n"])
def test_a_stall_that_cannot_be_read_is_none(text, tmp_path):
    file = tmp_path / "memory.pressure"
    assert surroundings.full_stall(file) == 0.0
    file.write_text(text)
    assert surroundings.full_stall(file) == 0.0


def test_what_was_swapped_out_is_no_room(tmp_path, monkeypatch):
    status = tmp_path / "status"
    monkeypatch.setattr(peak, "_STATUS", status)
    status.write_text("VmRSS:\t  1000 kB\n")
    before = tree_bytes()
    status.write_text("VmRSS:\t  1000 kB\nVmSwap:\t  900000 kB\n")
    assert tree_bytes() - before == pytest.approx(900_000 * 1024, abs=20 * MB)
    assert rss_bytes() < before + 20 * MB


PHASES = {  # what the phase begins with: a module or a class, and its function
    "arena": (planned_limits, "arena_of"),
    "pixel training": (loop.TrainingLoop, "learn"),
    "checkpoint": (resume, "save"),
    "freeze": (loop, "freeze"),
    "latent training": (loop.TrainingLoop, "begin_update"),
    "evaluation": (loop, "play"),
}


@pytest.fixture
def lowered(box, monkeypatch):
    """Lower the group's limit, as a function is called, to this share of what the process tree holds then."""

    def lower_in(place, name, share=0.9):
        function = getattr(place, name)

        def begins(*arguments, **options):
            if (box / "memory.max").read_text() == "max\n":
                (box / "memory.max").write_text(f"{int(share * tree_bytes())}\n")
            return function(*arguments, **options)

        monkeypatch.setattr(place, name, begins)

    return lower_in


def settings(small, **changes):
    return small(run={"steps": 2000, "freeze_at": 60, "eval_every": 80, "learn_start": 40} | changes)


@pytest.mark.parametrize("phase", PHASES)
def test_a_run_ends_by_itself_with_a_checkpoint_in_every_phase(phase, lowered, small, tmp_path):
    lowered(*PHASES[phase])
    summary = train.train(settings(small), tmp_path / "run", quiet=True)
    assert summary["status"] == "memory-limit"
    assert summary["steps"] < 2000
    assert "limit" in summary["memory"]["limit_reached"]
    assert summary["memory"]["limit_bytes"] < summary["memory"]["rss_peak"]
    assert checkpoint.newest(tmp_path / "run/checkpoint").values["step"] == summary["steps"]


def test_a_resumed_run_ends_by_itself_too_and_goes_on_once_there_is_room(lowered, small, box, tmp_path):
    config, folder = settings(small, steps=300), tmp_path / "run"
    with stopped_after(70):
        train.train(config, folder, quiet=True)
    lowered(train, "go_on")
    ended = train.train(config, folder, resume=True, quiet=True)
    assert (ended["status"], ended["steps"] < 300) == ("memory-limit", True)
    (box / "memory.max").write_text("1000000000000\n")
    finished = train.train(config, folder, resume=True, quiet=True)
    assert (finished["status"], finished["memory"]["limit_reached"]) == ("finished", None)


def test_a_group_without_room_for_the_replay_is_one_line_and_changes_nothing(lowered, small, box, tmp_path):
    config, folder = settings(small, steps=200), tmp_path / "run"
    with stopped_after(70):
        train.train(config, folder, quiet=True)
    lowered(planned_limits, "arena_of")
    (box / "memory.current").write_text(f"{tree_bytes()}\n")
    with pytest.raises(
        MemoryLimitError, match=rf"no room for the replay of 3.0 MB any more; go on with --resume {folder}"
    ):
        train.train(config, folder, resume=True, quiet=True)
    assert MemoryLimitError.exit_code == 3
    assert checkpoint.newest(folder / "checkpoint").values["step"] == 70


def test_room_is_asked_for_before_each_piece_of_an_arena():
    left = []
    arena = ring.arena_of(2 * ring.PIECE + 5, left.append)
    assert left == [2 * ring.PIECE + 5, ring.PIECE + 5, 5]
    assert arena.nbytes == 2 * ring.PIECE + 5
    assert not arena.any()


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a control group")
@pytest.mark.parametrize("phase", ["freeze", "hand-over", "files in memory"])
def test_a_real_control_group_does_not_kill(phase):
    outcome = real_groups.run(phase, *real_groups.shares(phase)[-1])
    if outcome is None:
        pytest.skip("no control group can be made here")
    assert (outcome.code, outcome.kills) == (3, 0), outcome
    assert outcome.step > 0
