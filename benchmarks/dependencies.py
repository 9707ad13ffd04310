"""What each package that edgerl requires takes, on disk and in resident memory (docs/dependencies.md).

    python benchmarks/dependencies.py

Resident memory is what an import adds in a fresh process to that of the rows above, the median of five processes. A
package's disk has what no row above brought, with the packages that it requires in turn.
"""

import os
import statistics
import subprocess
import sys
import tomllib
from importlib.metadata import distribution, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
IMPORTS = {  # as edgerl does it; first what every run needs, and last what only its printing does
    "numpy": "import numpy",
    "onnxruntime": "import onnxruntime",
    "lz4": "import lz4.block",
    "psutil": "import psutil",
    "threadpoolctl": "import threadpoolctl",
    "tomli-w": "import tomli_w",
    "rich": "import rich.console, rich.live, rich.progress, rich.table, rich.text",
    "typer": "import typer",
}
MEASURE = """
{imports}
with open("/proc/self/status") as status:
    (resident,) = (int(line.split()[1]) for line in status if line.startswith("VmRSS"))
print(resident * 1024)
"""
PROCESSES = 5


def main() -> None:
    """Print a row for each package, one for all, and what `import edgerl` takes."""
    required = required_by_edgerl()
    if set(required) != set(IMPORTS):
        sys.exit(f"IMPORTS has other packages than pyproject.toml: {sorted(set(required) ^ set(IMPORTS))}")
    print("| package | version | MB on disk | MB resident | brings |\n|---|---|---|---|---|")
    bare = before = resident_bytes([])
    counted: set[str] = set()
    for number, name in enumerate(IMPORTS, start=1):
        own = closure(name) - counted
        counted |= own
        after = resident_bytes(list(IMPORTS.values())[:number])
        brings = ", ".join(sorted(own - {name}))
        print(f"| {name} | {version(name)} | {disk_megabytes(own):.1f} | {(after - before) / 1e6:.1f} | {brings} |")
        before = after
    print(f"| all | | {disk_megabytes(counted):.1f} | {(before - bare) / 1e6:.1f} | |")
    edgerl = resident_bytes(["import edgerl"]) - bare
    print(f"\nPython alone: {bare / 1e6:.1f} MB resident; with `import edgerl`: {edgerl / 1e6:.1f} MB more")


def required_by_edgerl() -> list[str]:
    """The names in pyproject.toml's dependencies."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [canonicalize_name(Requirement(requirement).name) for requirement in project["dependencies"]]


def closure(name: str) -> set[str]:
    """A package and all that it requires in turn here, extras aside."""
    reached: set[str] = set()
    waiting = {name}
    while waiting:
        package = waiting.pop()
        reached.add(package)
        requirements = map(Requirement, distribution(package).requires or ())
        waiting |= {canonicalize_name(required.name) for required in requirements if is_met(required)} - reached
    return reached


def is_met(requirement: Requirement) -> bool:
    """Whether a requirement holds on this system, without an extra."""
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


def disk_megabytes(names: set[str]) -> float:
    """What the files of these packages hold, those that pip compiled among them."""
    files = [file for name in names for file in distribution(name).files or ()]
    paths = [Path(str(file.locate())) for file in files]
    return sum(path.stat().st_size for path in paths if path.exists()) / 1e6


def resident_bytes(imports: list[str]) -> float:
    """What a fresh process holds after these imports."""
    program = MEASURE.format(imports="\n".join(imports))
    environment = os.environ | {"ORT_DISABLE_TELEMETRY": "1"}  # as edgerl has it
    measured = [
        subprocess.check_output([sys.executable, "-c", program], text=True, cwd=ROOT, env=environment)
        for _ in range(PROCESSES)
    ]
    return statistics.median(map(int, measured))


if __name__ == "__main__":
    main()
