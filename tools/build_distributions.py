"""Builds and checks what a package index takes, in dist/: `make dist`.

A source archive of edgerl and of edgerl-run, each of the tracked files alone, and the wheel that each archive builds.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"


def main() -> None:
    """Leave four files in dist/ that pass their checks, or end with the exit code of the tool that failed."""
    shutil.rmtree(DIST, ignore_errors=True)
    with TemporaryDirectory() as folder:
        tree = Path(folder) / "edgerl"
        copy_tracked(tree)
        for project in (tree, tree / "edgerl_run"):
            run("build", "--no-isolation", "--outdir", DIST, project)
    files = sorted(DIST.iterdir())
    run("twine", "check", "--strict", *files)
    run("check_wheel_contents", *(file for file in files if file.suffix == ".whl"))
    for file in files:
        print(f"{file.relative_to(ROOT)}  {file.stat().st_size / 1e6:.2f} MB")


def copy_tracked(tree: Path) -> None:
    """Copy the files under version control, as they are now: no leftover of an earlier build is in the way."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S607
    for name in filter(None, listed.split("\0")):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tree / name)


def run(module: str, *arguments: str | Path) -> None:
    """Run a tool of this environment; what it prints is shown if it fails."""
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        sys.exit(done.returncode)
    print(f"{module}: passed")


if __name__ == "__main__":
    main()
