"""What happens to files that somebody else made: a seeded mutator over real ones, and every reader of edgerl.

Each input is read in this process. It is accepted, or refused by one of the program's own errors, whose message is one
line. Anything else that is raised is a traceback. An audit hook counts files that are opened outside the folder of the
input and code that is run; an alarm ends what hangs; the address space is limited, so that a length that a file only
claims cannot be allocated. Every tenth input is traced: what Python and NumPy take at most, above what the real file
takes. ONNX Runtime's own memory is not seen by that; the limit on the address space holds it too.
"""

import argparse
import contextlib
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mutations
from hostile_kinds import COUNTED, Kind, all_readers, kinds, real_files, sign

import device_profiles
import edgerl_run
from edgerl.output.messages import one_line

LONGEST = 20  # seconds of one input
ROOM = 3 * 2**30  # bytes of address space above what is taken at the start


class Hook:
    """Counts what an input must not cause, while it is watched: files opened outside a folder, and code run."""

    def __init__(self, folder: Path) -> None:
        self.watching, self.outside, self.code = False, 0, 0
        self._inside = os.path.realpath(folder)
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.watching:
            return
        is_canary = event == "import" and str(arguments[0]).startswith("canary_of_hostile")
        if is_canary or event in ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork"):
            self.code += 1
        elif event == "open" and isinstance(arguments[0], str) and arguments[0].startswith(self._inside):
            leads_out = not os.path.realpath(arguments[0]).startswith((self._inside, "/dev/zero"))
            self.outside += leads_out
        elif event == "open" and str(arguments[0]).startswith("/etc/host"):
            self.outside += 1


def attack(kind: Kind, number: int, whole: Path, folder: Path, seed: int, hook: Hook) -> None:
    """Make one hostile input, have it read, and count what came of it."""
    rng = random.Random(f"{seed} {kind.name} {number}")  # noqa: S311
    name = rng.choice(kind.files)
    file = folder / name
    if kind.name == "no such file":
        mutations.odd(file, rng)
    else:
        file.write_bytes(kind.mutate((whole / name).read_bytes(), rng))
        kind.largest = max(kind.largest, file.stat().st_size)
        if name.endswith("weights.safetensors"):
            sign(folder)
    outcome, why = watched(lambda: kind.read(folder), kind, hook, traced=number % 10 == 0)
    kind.counts["inputs"] += 1
    kind.counts[outcome] += 1
    if outcome == "tracebacks" and len(kind.examples) < 3:
        kind.examples.append(f"{kind.name}, input {number}, {name}: {why}")
    restore(whole, folder, kind.files)


def watched(read: Callable[[], Any], kind: Kind, hook: Hook, *, traced: bool) -> tuple[str, str]:
    """What reading came to, and why; counts what it did on the way."""
    before, began = (hook.outside, hook.code), time.perf_counter()
    if traced:
        tracemalloc.start()
    signal.setitimer(signal.ITIMER_REAL, LONGEST)
    hook.watching = True
    try:
        read()
        outcome, why = "accepted", ""
    except (SystemExit, Exception) as error:
        outcome, why = judged(error)
    hook.watching = False
    signal.setitimer(signal.ITIMER_REAL, 0)
    kind.seconds = max(kind.seconds, time.perf_counter() - began)
    if traced:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        kind.memory = max(kind.memory, peak - kind.usual)
    kind.counts["outside"] += hook.outside - before[0]
    kind.counts["code"] += hook.code - before[1]
    return outcome, why


def judged(error: BaseException) -> tuple[str, str]:
    """Whether an error is a refusal, which the program prints as one line, or a traceback; and which."""
    is_own = hasattr(error, "exit_code") or isinstance(error, edgerl_run.PolicyError | device_profiles.ProfileError)
    if is_own or (isinstance(error, ValueError | OSError) and "ONNX file" in str(error)):
        return "refused", one_line(str(error))
    last = traceback.extract_tb(error.__traceback__)[-1]
    return "tracebacks", f"{type(error).__name__}: {str(error)[:100]} ({Path(last.filename).name}:{last.lineno})"


def restore(whole: Path, folder: Path, names: list[str]) -> None:
    """Put the real files back in the place of hostile ones."""
    state = [name for name in names if name.endswith("weights.safetensors")]
    for name in [*names, *(name.replace("weights.safetensors", "state.json") for name in state)]:
        file = folder / name
        if file.is_dir() and not file.is_symlink():
            shutil.rmtree(file)
        file.unlink(missing_ok=True)
        shutil.copyfile(whole / name, file)


def run(inputs: int, seed: int, only: str | None = None) -> list[Kind]:
    """Attack every reader with its share of the inputs."""
    chosen = [kind for kind in kinds() if only in (None, kind.name)]
    with tempfile.TemporaryDirectory() as temporary, hanging():
        whole, folder = Path(temporary) / "whole", Path(temporary) / "hostile"
        whole.mkdir()
        real_files(whole)
        shutil.copytree(whole, folder)
        hook = Hook(folder)
        all_readers(folder)
        with limited():
            for kind in chosen:
                watched(lambda kind=kind: kind.read(folder), kind, hook, traced=True)
                kind.usual, kind.memory, kind.seconds = kind.memory, 0, 0.0
                for number in range(max(1, round(inputs * kind.share))):
                    attack(kind, number, whole, folder, seed, hook)
    return chosen


@contextlib.contextmanager
def hanging() -> Iterator[None]:
    """Have the alarm end what takes too long."""

    def stop(*_: object) -> None:
        raise RuntimeError(f"it took more than {LONGEST} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Leave this process ROOM bytes of address space."""
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (taken + ROOM, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def show(attacked: list[Kind]) -> None:
    """Print the table, and an example of every traceback."""
    print(f"| file | {' | '.join(COUNTED)} | largest file, kB | more memory, kB | slowest, s |")
    print("|---|" + "---:|" * (len(COUNTED) + 3))
    for kind in attacked:
        counts = " | ".join(f"{kind.counts[name]:,}" for name in COUNTED)
        print(f"| {kind.name} | {counts} | {kind.largest / 1e3:,.0f} | {kind.memory / 1e3:,.0f} | {kind.seconds:.2f} |")
    print(f"\n{sum(kind.counts['inputs'] for kind in attacked):,} inputs, {time.process_time():,.0f} s of CPU time")
    for example in (example for kind in attacked for example in kind.examples):
        print(example)


def main() -> None:
    """Attack, print, and leave with 1 if anything but a refusal or an acceptance came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000, help="of all kinds together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="one kind, by its name in the table")
    args = parser.parse_args()
    attacked = run(args.inputs, args.seed, args.only)
    show(attacked)
    sys.exit(any(kind.counts[name] for kind in attacked for name in ("tracebacks", "outside", "code")))


if __name__ == "__main__":
    main()
