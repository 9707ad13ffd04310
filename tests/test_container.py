"""The container that trains: its file, its documented command and the tools that ran both name what edgerl has."""

import os
import re
import shlex
import tomllib
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[1]
FILE = (ROOT / "examples/deploy/Containerfile").read_text(encoding="utf-8").replace("\\\n", " ")
PAGE = (ROOT / "docs/deploy.md").read_text(encoding="utf-8").replace("\\\n", " ")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def steps(name):
    """What stands behind an instruction of the Containerfile, wherever it is given."""
    return re.findall(rf"^{name} (.*)$", FILE, re.MULTILINE)


def let_through():
    """What .dockerignore lets into the build."""
    first, *others = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert first == "*"
    return {line.removeprefix("!") for line in others if line.startswith("!")}


def test_the_documented_command_fits_the_image_and_the_program(parsed):
    (line,) = re.findall(r"^ {4}(docker run -d .*)$", PAGE, re.MULTILINE)
    words = shlex.split(line)
    image = words.index("edgerl")
    folder, *options = words[image + 1 :]
    (volume,), (place,) = steps("VOLUME"), steps("WORKDIR")[1:]
    assert words[words.index("-v") + 1].split(":")[1] == volume
    assert (PurePosixPath(place) / folder).parent == PurePosixPath(volume)
    assert parsed(options).run.device == "pi_zero_2_w"
    (build,) = re.findall(r"^ {4}docker build -f (\S+) -t edgerl \.$", PAGE, re.MULTILINE)
    assert (ROOT / build).is_file()


def test_the_image_is_made_of_what_is_there():
    copied = [step.split()[0] for step in steps("COPY") if not step.startswith(("--from", ". "))]
    assert copied == ["examples/deploy/train-or-resume"]
    assert os.access(ROOT / copied[0], os.X_OK)
    assert steps("ENTRYPOINT") == ['["/opt/edgerl/train-or-resume"]']
    packages = {pattern.rstrip("*.") for pattern in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]}
    files = {"pyproject.toml", "constraints.txt", PROJECT["project"]["readme"], *PROJECT["project"]["license-files"]}
    assert let_through() == packages | files | set(copied)
    assert all((ROOT / name).exists() for name in let_through())


def test_the_image_has_no_torch_and_no_root():
    (extras,) = re.findall(r"'\.\[([\w,]+)\]'", FILE)
    requirements = [line for extra in extras.split(",") for line in PROJECT["project"]["optional-dependencies"][extra]]
    assert requirements
    assert not any(line.startswith("torch") for line in [*requirements, *PROJECT["project"]["dependencies"]])
    assert steps("USER") == ["edgerl"]


def test_the_tools_run_what_the_program_takes(parsed, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    import check_container
    import check_service

    assert parsed(check_container.JOB).run.freeze_at == 120
    assert parsed(["--env", "atari/qbert", *check_service.SHORT.split()]).run.freeze_at == 400
    assert f"useradd --uid {check_container.USER} edgerl" in FILE
