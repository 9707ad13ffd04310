"""What it costs to depend on edgerl: docs/dependencies.md has what pyproject.toml requires, and an import is cheap."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/dependencies.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
HEAVY = ("torch", "matplotlib", "gymnasium", "numpy", "onnxruntime", "rich", "typer")
MOST_SECONDS = 0.15
IMPORT = f"""
import json, sys, time
began = time.process_time()
import edgerl
seconds = time.process_time() - began
print(json.dumps([seconds, [name for name in {HEAVY} if name in sys.modules]]))
"""


def name(requirement):
    return re.match(r"[\w.-]+", requirement)[0]


def rows(title):
    """The first cell of each row of the page's table whose head begins with `title`."""
    table = PAGE.split(title, 1)[1].split("\n\n", 1)[0]
    return [line.split("|")[1].strip() for line in table.splitlines()[2:]]


def test_importing_edgerl_is_cheap():
    ended = [subprocess.check_output([sys.executable, "-c", IMPORT], cwd=ROOT, text=True) for _ in range(5)]
    seconds, heavy = zip(*map(json.loads, ended), strict=True)
    assert heavy == ([],) * 5
    assert min(seconds) < MOST_SECONDS  # of CPU time: another process may have the core


def test_the_page_has_every_required_package_and_no_other():
    required = [name(requirement) for requirement in PROJECT["dependencies"]]
    assert sorted(rows("| package | why |")) == sorted(f"`{package}`" for package in required)
    assert sorted(rows("| package | version |")) == sorted([*required, "all"])


def test_the_page_has_every_extra():
    named = [extra for row in rows("| extra |") for extra in re.findall(r"`(\w+)`", row)]
    assert sorted([*named, "test"]) == sorted(PROJECT["optional-dependencies"])


def test_the_runner_requires_the_first_two_alone():
    runner = tomllib.loads((ROOT / "edgerl_run/pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert [name(requirement) for requirement in runner["dependencies"]] == ["numpy", "onnxruntime"]
