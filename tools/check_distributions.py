"""Installs the wheels of dist/ as a user would, under several Pythons, and runs the main job: `make dist-check`.

    python tools/check_distributions.py 3.11 3.12 3.13

Each Python gets new environments, outside the checkout: edgerl without torch, with torch, and edgerl-run alone. pip
takes the newest packages that the wheels allow. torch's CPU build is not on PyPI for x86-64:
`PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu` is where pip finds it. The exit code is 0 only if nothing
failed and every Python was there.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
SHORT = ["--steps", "200", "--freeze-at", "120", "--eval-every", "0", "--set", "replay.learn_start=50", "--quiet"]
JOBS = {
    "toy/catch": ["--budget", "3MB"],
    "atari/qbert": ["--budget", "0.07GB", "--device", "jetson_nano"],
}
TORCH = ["--engine", "torch", "--keep-torch"]
FILM = bytes(3 * 84 * 84 * 3)  # three black frames, RGB


class CheckError(Exception):
    """What a release must not do, in words."""


@dataclass(frozen=True)
class Place:
    """A new virtual environment with a folder to work in: `python` is its interpreter."""

    folder: Path
    python: Path

    def run(self, *command: str | Path, fed: bytes = b"") -> str:
        """What a program of this environment prints on stdout. Raises CheckError with its stderr if it fails."""
        program, *arguments = map(str, command)
        done = subprocess.run(
            [self.python.with_name(program), *arguments],
            input=fed,
            cwd=self.folder,
            env={name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")},
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise CheckError(f"{program} {' '.join(arguments)}: {done.stderr.decode().strip()}")
        return done.stdout.decode()

    def install(self, *requirements: str) -> None:
        """Install into it. Raises CheckError if pip cannot, or leaves what does not fit together."""
        self.run("python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements)
        self.run("python", "-m", "pip", "check", "--disable-pip-version-check")

    def has(self, module: str) -> bool:
        """Whether a module can be imported."""
        program = f"from importlib.util import find_spec; print(find_spec({module!r}) is not None)"
        return self.run("python", "-I", "-c", program).strip() == "True"


def main() -> None:
    """Check every version of Python that is named, and print a line for each thing that was checked."""
    passed = [passes(version) for version in sys.argv[1:]]
    sys.exit(0 if passed and all(passed) else 1)


def passes(version: str) -> bool:
    """Whether all that can be checked under one version of Python is as it must be."""
    if (python := interpreter(version)) is None:
        say(version, "not checked: no such Python here")
        return False
    with TemporaryDirectory() as folder:
        try:
            policy = without_torch(version, new_place(python, Path(folder, "without")))
            runner(version, new_place(python, Path(folder, "runner")), policy)
            with_torch(version, new_place(python, Path(folder, "with")))
        except CheckError as error:
            say(version, f"FAILED: {error}")
            return False
    return True


def without_torch(version: str, place: Place) -> Path:
    """Check edgerl without torch; returns a policy that it exported."""
    place.install(f"{wheel('edgerl')}[atari]")
    expect(not place.has("torch"), "torch was installed")
    origin = place.run("python", "-I", "-c", "import edgerl; print(edgerl.__file__)").strip()
    expect(Path(origin).is_relative_to(place.folder), f"edgerl is imported from {origin}")
    printed, expected = place.run("edgerl", "--version").strip(), wheel("edgerl").name.split("-")[1]
    expect(printed == f"edgerl {expected}", f"--version prints {printed!r}, the wheel is {expected}")
    for env, options in JOBS.items():
        memory = trained(place, env, options)["memory"]
        expect(memory["torch_loaded"] is False, "torch was loaded")
        say(version, f"without torch, {env}: 200 steps, frozen at 120, {memory['rss_peak'] / 1e6:.0f} MB")
    policy = place.folder / "policy.onnx"
    place.run("edgerl", "export", folder_of("toy/catch"), "--out", policy)
    return policy


def runner(version: str, place: Place, policy: Path) -> None:
    """Check edgerl-run alone: it plays a policy and needs nothing of edgerl."""
    place.install(str(wheel("edgerl_run")))
    expect(not place.has("edgerl"), "edgerl was installed with edgerl-run")
    actions = place.run("edgerl-run", policy, "--camera", "-", "--camera-size", "84x84", fed=FILM).splitlines()
    expect(len(actions) == 3, f"edgerl-run printed {actions}")
    say(version, f"edgerl-run alone: plays ({', '.join(actions)})")


def with_torch(version: str, place: Place) -> None:
    """Check edgerl where torch trains; where pip finds no CPU build for this Python, say so."""
    torch = pinned_torch()
    try:
        place.install(torch)
    except CheckError:
        say(version, f"with torch: NOT CHECKED, pip finds no {torch} for it")
        return
    place.install(f"{wheel('edgerl')}[torch]")
    memory = trained(place, "toy/catch", [*JOBS["toy/catch"], *TORCH])["memory"]
    expect(memory["torch_loaded"] is True, "torch did not train")
    say(version, f"with torch, toy/catch: 200 steps, frozen at 120, {memory['rss_peak'] / 1e6:.0f} MB")


def trained(place: Place, env: str, options: list[str]) -> dict[str, dict[str, object]]:
    """The summary of a short run through its freeze."""
    place.run("edgerl", "train", "--env", env, *options, *SHORT, "--out", folder_of(env))
    summary: dict[str, dict[str, object]] = json.loads((place.folder / folder_of(env) / "summary.json").read_text())
    ended = (summary["status"], summary["steps"], summary["store"], summary["freeze"]["step"])
    expect(ended == ("finished", 200, "latents", 120), f"{env}: the run ended as {ended}")
    return summary


def folder_of(env: str) -> str:
    """The run folder of an environment, within a place."""
    return env.replace("/", "-")


def interpreter(version: str) -> Path | None:
    """A Python of this version: the one on PATH, or pyenv's; None if there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    on_path = shutil.which(f"python{version}")
    for candidate in (on_path, *pyenv.glob(f"versions/{version}.*/bin/python")):
        if candidate is not None:
            asked = [candidate, "-c", "import sys; print(*sys.version_info[:2], sep='.')"]
            done = subprocess.run(asked, capture_output=True, text=True, check=False)
            if done.stdout.strip() == version:  # a shim of pyenv's may be there without its Python
                return Path(candidate)
    return None


def new_place(python: Path, folder: Path) -> Place:
    """A new virtual environment in a folder."""
    subprocess.run([python, "-m", "venv", folder / "venv"], check=True)
    return Place(folder, folder / "venv/bin/python")


def wheel(name: str) -> Path:
    """The wheel of a distribution in dist/."""
    (file,) = DIST.glob(f"{name}-*.whl")
    return file


def pinned_torch() -> str:
    """The version of torch that constraints.txt has for this machine, as a CPU build, never a CUDA one."""
    here = "==" if platform.machine() == "aarch64" else "!="
    pin = re.search(rf'^(torch==\S+); platform_machine {here} "aarch64"$', (ROOT / "constraints.txt").read_text(), re.M)
    if pin is None:
        raise CheckError("constraints.txt names no torch for this machine")
    return pin[1] if here == "==" or sys.platform == "darwin" else f"{pin[1]}+cpu"


def expect(fulfilled: bool, otherwise: str) -> None:
    """Raise CheckError, which says what is the case `otherwise`."""
    if not fulfilled:
        raise CheckError(otherwise)


def say(version: str, what: str) -> None:
    """Print what was found under a version of Python."""
    print(f"CPython {version}  {what}", flush=True)


if __name__ == "__main__":
    main()
