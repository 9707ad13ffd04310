"""Wheels and source archives, built of a copy of the files that belong to them."""

import subprocess
import sys

KINDS = {"wheel": "whl", "sdist": "tar.gz"}


def build(tree, folder, name, kind="wheel"):
    """Build the wheel (or sdist) of the project in `tree` into `folder`, offline; its file, whose name begins so."""
    built = subprocess.run(
        [sys.executable, "-m", "build", f"--{kind}", "--no-isolation", "--outdir", folder, tree],
        cwd=folder.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (file,) = folder.glob(f"{name}-*.{KINDS[kind]}")
    return file
