"""A wheel, built of a copy of the files that belong to it."""

import subprocess
import sys


def build(tree, folder, name):
    """Build the wheel of the project in `tree` into `folder`, without the network; its file, whose name begins so."""
    built = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, tree],
        cwd=folder.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = folder.glob(f"{name}-*.whl")
    return wheel
