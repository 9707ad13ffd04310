"""Does a run come through whatever happens to its machine? Real programs, thousands of faults, one table.

    python benchmarks/durability.py --kills 1000 --faults 1000 --seed 0 --results durability.jsonl

Tiny runs of toy/catch through the freeze, in three stores, new or resumed. A fault meets each in a process of its own.
It is then gone on with, without faults, and must end as the undisturbed run ended, to the bit: weights, moments,
generators, environment, replay, snapshots, metrics, encoder.onnx. A damaged file may also be refused in one line.
"Steps lost" are steps that were done and are in no checkpoint; one is due every 15 steps.

Each result is a line in the file of --results. What is there already is not done again, so that a long benchmark can
be stopped and gone on with. A fault follows from the seed, its kind and its number; `--only KIND:NUMBER` shows it
again. Needs Linux and a C compiler; memory limits need root and control groups (see limits.py).
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from faults import disk, kinds
from faults.result import FAILED, MISSED, OUTCOMES, WRONG, Result
from faults.runs import Lab

FOLDER = "FAULTS_FOLDER"  # the variable that names the folder to work in
Line = dict[str, Any]  # of the file of results


def preloaded(work: Path | None) -> int:
    """Run this program again, with disk.c preloaded, so that its forks can be disturbed; returns its exit code."""
    with tempfile.TemporaryDirectory(prefix="durability-", dir=work) as folder:
        environment = os.environ | {"LD_PRELOAD": str(disk.library(Path(folder))), FOLDER: folder}
        return subprocess.run([sys.executable, *sys.argv], env=environment, check=False).returncode


def inject(lab: Lab, name: str, kind: kinds.Kind, number: int, seed: int) -> Line:
    """Inject one fault; returns its line of the results. What cannot be judged, as a file is missing, has failed."""
    began, rng = time.monotonic(), random.Random(f"{seed} {name} {number}")  # noqa: S311
    try:
        result = kind.inject(lab, rng)
    except (OSError, LookupError, ValueError) as error:
        result = Result(FAILED, "not judged", said=repr(error))
    seconds = round(time.monotonic() - began, 2)
    return {"seed": seed, "kind": name, "number": number, **result._asdict(), "seconds": seconds}


def read(file: Path | None, seed: int) -> list[Line]:
    """The results of this seed so far."""
    if file is None or not file.exists():
        return []
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return [line for line in lines if line["seed"] == seed]


def table(lines: list[Line], known: dict[str, kinds.Kind]) -> list[str]:
    """The results by kind, as a table in Markdown."""
    shown = [
        "| injected | times | the same bits in the end | refused in one line | steps lost at most | wrong or failed |"
    ]
    shown += ["|---|---|---|---|---|---|"]
    for name, kind in known.items():
        own = [line for line in lines if line["kind"] == name and line["outcome"] != MISSED]
        if own:
            count = {outcome: sum(line["outcome"] == outcome for line in own) for outcome in OUTCOMES}
            lost = max((line["lost"] for line in own if line["lost"] is not None), default="")
            bad = count[WRONG] + count[FAILED]
            shown.append(f"| {kind.title} | {len(own)} | {count['survived']} | {count['refused']} | {lost} | {bad} |")
    return shown


def arguments() -> argparse.Namespace:
    """What the user asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=0, help="kills and power cuts")
    parser.add_argument("--faults", type=int, default=0, help="all other faults")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, help="file of JSON lines, which is gone on with")
    parser.add_argument("--only", action="append", default=[], metavar="KIND[:NUMBER]", help="this kind, or this fault")
    parser.add_argument("--without", action="append", default=[], metavar="KIND")
    parser.add_argument("--stop-seconds", type=float, default=60.0, help="how long SIGSTOP lasts")
    parser.add_argument("--work", type=Path, help="folder to work in (default: /dev/shm, where it is)")
    return parser.parse_args()


def chosen(args: argparse.Namespace) -> list[tuple[str, int]]:
    """The faults that are asked for: their kinds and numbers."""
    only = [(name, int(number or -1)) for name, _, number in (text.partition(":") for text in args.only)]
    if exact := [(name, number) for name, number in only if number >= 0]:
        return exact
    wanted = []
    for group, count in ((kinds.KILLS, args.kills), (kinds.faults(args.stop_seconds), args.faults)):
        left = {name: kind for name, kind in group.items() if name not in args.without}
        if only:
            left = {name: kind for name, kind in left.items() if (name, -1) in only}
        wanted += [(kinds.of_number(left, number), number) for number in range(count if left else 0)]
    return wanted


def main() -> None:
    """Inject what is asked for, and print the table."""
    args = arguments()
    if (reason := disk.missing()) is not None:
        sys.exit(f"nothing can be preloaded here: {reason}")
    if FOLDER not in os.environ:
        memory = Path("/dev/shm")  # noqa: S108
        sys.exit(preloaded(args.work or (memory if memory.is_dir() else None)))
    known, lines = kinds.KILLS | kinds.faults(args.stop_seconds), read(args.results, args.seed)
    done, wanted, lab = {(line["kind"], line["number"]) for line in lines}, chosen(args), Lab(Path(os.environ[FOLDER]))
    for count, (name, number) in enumerate(wanted):
        if (name, number) in done:
            continue
        line = inject(lab, name, known[name], number, args.seed)
        lines.append(line)
        if args.results is not None:
            with args.results.open("a") as results:
                results.write(json.dumps(line) + "\n")
        if line["outcome"] in (WRONG, FAILED) or args.only:
            print(json.dumps(line), flush=True)
        if sys.stderr.isatty():
            print(f"\r{count + 1} of {len(wanted)}", end="", file=sys.stderr, flush=True)
    print("\n".join(table(lines, known)))
    sys.exit(any(line["outcome"] in (WRONG, FAILED) for line in lines))


if __name__ == "__main__":
    main()
