"""What a release is checked on is what it says of itself."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
JOBS = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_workflow_does_what_ci_does_on_both_architectures():
    assert "bash .ci/run" in [step.get("run") for step in JOBS["tests"]["steps"]]
    for job in JOBS.values():
        assert [runner.endswith("-arm") for runner in job["strategy"]["matrix"]["runner"]] == [False, True]


def test_the_pythons_that_are_promised_are_checked():
    promised = re.findall(r"Python :: (3\.\d+)", " ".join(PROJECT["classifiers"]))
    (in_make,) = re.findall(r"^PYTHONS := (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    (in_workflow,) = [
        step["with"]["python-version"]
        for step in JOBS["distributions"]["steps"]
        if "setup-python" in step.get("uses", "")
    ]
    assert promised == in_make.split() == in_workflow.split()
    assert PROJECT["requires-python"] == f">={promised[0]}"


def test_a_citation_names_no_second_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert "version" not in citation
    assert citation["license"] == PROJECT["license"]
    assert citation["title"].startswith(PROJECT["name"])
