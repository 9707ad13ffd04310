"""Does a run end by itself before the kernel kills it? Real control groups, real runs of toy/catch.

    python benchmarks/limits.py                 # every phase
    python benchmarks/limits.py freeze arena    # these phases

A run goes on in a control group whose memory limit is lowered as a phase begins: to 1.05 and 0.9 of the phase's planned
bytes, and to 0.9 of what the process tree holds then, as a plan is a little generous. "from the start": the limit is
there before the run; "torch" in one that begins with torch and sheds it at its freeze. "a leak": 1 MB more at every
step is held by the process; "files in memory": lies in a file on /dev/shm, which is charged to the group and is no part
of the process; "a stall": a file larger than the group may keep is read again and again, so that the run waits for
pages that were just dropped. For these three the limit is 1.3 times the plan.

Making a control group needs root, and a memory controller (v1 or v2) that may be used. Where a group of v2 can be made
too, the run is in it as well: the kernel then tells how long it stalls (memory.pressure).
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from edgerl.errors import CheckpointError
from edgerl.runs import checkpoint

ROOT = Path("/sys/fs/cgroup")
CHILD = Path(__file__).with_name("limits_child.py")
OPTIONS = ["--env", "toy/catch", "--budget", "40MB", "--threads", "1", "--freeze-at", "250", "--set", "learn_start=60"]
OPTIONS += ["--eval-every", "360", "--eval-episodes", "3", "--checkpoint-every", "100", "--quiet"]
STEPS = 400
CROWDED = ("a leak", "files in memory", "a stall")
LARGE_FILE = 250_000_000  # bytes
FROM_START = ("from the start", "torch")
PHASES = (
    *FROM_START,
    "arena",
    "pixel training",
    "checkpoint",
    "freeze",
    "hand-over",
    "latent training",
    "evaluation",
    "resume",
    *CROWDED,
)


class Groups(NamedTuple):
    """A control group with a memory limit, and all groups that a run is to be in."""

    limited: Path
    joined: list[Path]

    @property
    def limit_file(self) -> Path:
        v2 = self.limited / "memory.max"
        return v2 if v2.exists() else self.limited / "memory.limit_in_bytes"

    @property
    def kills(self) -> int:
        """How many processes the kernel has killed in the group."""
        files = (self.limited / "memory.events", self.limited / "memory.oom_control")
        lines = next(file for file in files if file.exists()).read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


@contextlib.contextmanager
def control_group() -> Iterator[Groups | None]:
    """A new control group that limits memory; None, with the reason on stderr, where none can be made."""
    name, created = f"edgerl-limits-{os.getpid()}-{time.monotonic_ns()}", []
    v2 = ROOT / "unified" if (ROOT / "unified").exists() else ROOT
    with contextlib.suppress(OSError):
        (v2 / "cgroup.subtree_control").write_text("+memory")
    try:
        for parent in (ROOT / "memory", v2):
            if parent.exists():
                (parent / name).mkdir()
                created.append(parent / name)
        limits = ("memory.max", "memory.limit_in_bytes")
        limiting = [group for group in created if any((group / file).exists() for file in limits)]
        if not limiting:
            print("no control group here limits memory", file=sys.stderr)
        yield Groups(limiting[0], created) if limiting else None
    except PermissionError as error:
        print(f"no control group can be made: {error}; this needs root", file=sys.stderr)
        yield None
    finally:
        for group in created:
            group.rmdir()


class Outcome(NamedTuple):
    """How a run ended: the limit in bytes, exit code, step of its newest whole checkpoint, kills, its last line."""

    limit: int
    code: int
    step: int | None
    kills: int
    said: str


def shares(phase: str) -> list[tuple[float, str]]:
    """The limits to run a phase at: a share, of the "plan" or of what is "held"."""
    if phase in CROWDED:
        return [(1.3, "plan")]
    planned_ones = [(1.05, "plan"), (0.9, "plan")]
    return planned_ones if phase in FROM_START else [*planned_ones, (0.9, "held")]


def run(phase: str, share: float, of: str) -> Outcome | None:
    """One run whose limit is lowered as the phase begins; None where no control group can be made."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        out, told = Path(folder, "run"), Path(folder, "told")
        options = ["train", *OPTIONS, "--steps", str(STEPS), "--out", str(out)]
        options += ["--engine", "torch"] if phase in ("hand-over", "torch") else []
        if phase == "resume":
            options[options.index("--steps") + 1] = str(STEPS - 50)
            subprocess.run([sys.executable, "-m", "edgerl", *options], check=True)
            options = ["train", "--resume", str(out), "--steps", str(STEPS), "--quiet"]
        with control_group() as groups:
            if groups is None:
                return None
            if phase in FROM_START:
                groups.limit_file.write_text(str(int(share * planned(options))))
            lowered = {"phase": phase, "share": share, "of": of, "file": str(groups.limit_file), "told": str(told)}
            lowered |= {"memory_file": f"{memory}/file", "large_file": f"{folder}/file"}
            if phase == "a stall":
                write_uncached(Path(lowered["large_file"]))
            joining = " && ".join(f"echo $$ > '{group}/cgroup.procs'" for group in groups.joined)
            ended = subprocess.run(  # the shell joins the groups, and becomes the run
                ["/bin/sh", "-c", f'{joining} && exec "$@"', "sh", sys.executable, str(CHILD), *options],
                env=os.environ | {"EDGERL_LOWERED": json.dumps(lowered)},
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
            lines = [f"limit {told.read_text()}" for _ in range(told.exists() and told.read_text() != "yes")]
            said = [*lines, *ended.stderr.splitlines()[-1:]]
            limit = int(groups.limit_file.read_text().replace("max", "-1"))
            return Outcome(limit, ended.returncode, newest(out), groups.kills, "; ".join(said))


def write_uncached(file: Path) -> None:
    """Write LARGE_FILE bytes, none of which stay in memory: its pages are to be charged to who reads them."""
    with file.open("wb") as stream:
        stream.write(bytes(LARGE_FILE))
        stream.flush()
        os.fsync(stream.fileno())
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def newest(out: Path) -> int | None:
    """The step of the newest whole checkpoint; None if there is none."""
    try:
        return int(checkpoint.newest(out / "checkpoint").values["step"])
    except CheckpointError:
        return None


def planned(options: list[str]) -> int:
    """What `edgerl plan` says of the process."""
    until = options.index("--quiet")
    command = [sys.executable, "-m", "edgerl", "plan", *options[1:until], "--steps", str(STEPS), "--json"]
    command += ["--engine", "torch"] if "torch" in options else []
    report = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return int(report["bytes"]["process"])


def main() -> None:
    """Print a line for every run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("phases", nargs="*", metavar="PHASE", help=f"of {', '.join(PHASES)}; without any, all of them")
    args = parser.parse_args()
    if unknown := [name for name in args.phases if name not in PHASES]:
        parser.error(f"{unknown[0]} is none of {', '.join(PHASES)}")
    print(f"{'lowered in':16} {'limit':>9} {'MB':>7} {'exit':>4} {'checkpoint':>10} {'killed':>6}  last line")
    for phase in args.phases or PHASES:
        for share, of in shares(phase):
            outcome = run(phase, share, of)
            if outcome is None:
                sys.exit(1)
            limit, step = f"{share} {of}", "none" if outcome.step is None else outcome.step
            ended = f"{outcome.limit / 1e6:7.1f} {outcome.code:4} {step:>10} {outcome.kills:6}"
            print(f"{phase:16} {limit:>9} {ended}  {outcome.said}", flush=True)


if __name__ == "__main__":
    main()
