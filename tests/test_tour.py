"""The notebook runs from its first cell to its last, in one namespace as in Jupyter, and learns what it says."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TOUR = Path(__file__).parents[1] / "examples/tour.ipynb"


def played(tmp_path, steps):
    """What the notebook's cells print at this length, and what it says at its end: how many of 20 were caught."""
    cells = [cell for cell in json.loads(TOUR.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    script = tmp_path / "tour.py"
    script.write_text("\n\n".join("".join(cell["source"]) for cell in cells), encoding="utf-8")
    environment = os.environ | {"EDGERL_TOUR_STEPS": str(steps), "MPLBACKEND": "agg", "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-W", "ignore:FigureCanvasAgg is non-interactive", str(script)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, int(re.search(r"caught (\d+) of 20; the same actions as in training: True", done.stdout)[1])


def test_the_tour_in_short(tmp_path):
    printed, _ = played(tmp_path, 400)
    assert "finished after 400 steps" in printed
    assert "step 200: 200 rows kept" in printed


@pytest.mark.long
def test_the_tour_at_its_own_length_learns_to_catch(tmp_path):
    printed, caught = played(tmp_path, 3000)
    assert "finished after 3,000 steps" in printed
    assert caught >= 18


def test_the_notebook_is_kept_without_outputs():
    for cell in json.loads(TOUR.read_text(encoding="utf-8"))["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
