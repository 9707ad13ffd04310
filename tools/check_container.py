"""Builds examples/deploy/Containerfile, and runs and stops the main job in it, where no image can be fetched.

    python tools/check_container.py bookworm amd64 --device pi_zero_2_w --memory 300m
    python tools/check_container.py bullseye arm64 --device jetson_nano --memory 3g

A Debian of debootstrap's stands for the base image. Its Python 3.11 is Debian's own or, where Debian's is older, built
of Debian's source of 3.11. The base stays, as an image, for the next time. The steps are those of the Containerfile,
run by buildah; podman then runs the container with the limit, without a network.

Needs root, debootstrap, buildah and podman. arm64 on another machine also needs qemu-user-static, and a kernel that
runs programs by it (binfmt_misc): speed and memory then say nothing about a board.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
CONTAINERFILE = ROOT / "examples/deploy/Containerfile"
MIRROR = "http://deb.debian.org/debian"
PACKAGES = {  # beside the smallest Debian; bullseye's are those that build Python
    "bookworm": "ca-certificates,python3-venv",
    "bullseye": "ca-certificates,gcc,libbz2-dev,libc6-dev,libffi-dev,liblzma-dev,libssl-dev,make,zlib1g-dev",
}
SOURCE = f"{MIRROR}/pool/main/p/python3.11/python3.11_3.11.2.orig.tar.gz"
SOURCE_SHA256 = "2411c74bda5bbcfcddaf4531f66d1adc73f247f529aee981b029513aefdbf849"
BUILD_PYTHON = "cd /usr/src/Python-* && ./configure -q --disable-test-modules && make -s -j2 && make -s install"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")  # pip trusts whom this machine trusts
SEARCHED = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
USER = 1000  # of the Containerfile
JOB = ["--env", "atari/qbert", "--budget", "0.07GB", "--steps", "200", "--freeze-at", "120", "--eval-every", "0"]
JOB += ["--checkpoint-every", "40", "--set", "replay.learn_start=50"]
STOP_FROM = 40  # steps
PATIENCE = 1800  # seconds until then, under emulation
ABOUT = "import platform as p; print(p.machine(), *p.libc_ver(), 'Python', p.python_version())"


class CheckError(Exception):
    """What a container must not do, in words."""


@dataclass(frozen=True)
class Container:
    """How the image is run: with which board's options, in how much memory, on which folder of runs."""

    image: str
    device: str
    memory: str
    runs: Path

    def options(self, name: str) -> list[str]:
        """What `podman run` and `podman create` are told to train in the folder `name`."""
        limits = ["--network", "none", "--memory", self.memory, "--stop-timeout", "180"]
        volume = ["--volume", f"{self.runs}:/edgerl/runs"]
        return [*limits, *volume, self.image, f"runs/{name}", *JOB, "--device", self.device]

    def summary(self, name: str) -> dict[str, dict[str, object]]:
        """summary.json of a run."""
        summary: dict[str, dict[str, object]] = json.loads((self.runs / name / "summary.json").read_text())
        return summary

    def weights(self, name: str) -> str:
        """The checksum of what a run had learned at its last step."""
        file = self.runs / name / "checkpoint/000000200/weights.safetensors"
        return hashlib.sha256(file.read_bytes()).hexdigest()


def main() -> None:
    """Check one Debian on one architecture; the exit code is 0 only if all was as it must be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", choices=PACKAGES)
    parser.add_argument("arch", choices=["amd64", "arm64"])
    parser.add_argument("--device", required=True, help="as of edgerl train")
    parser.add_argument("--memory", required=True, help="as of docker run; the smallest limit that the run has")
    args = parser.parse_args()
    image = built(base(args.suite, args.arch), f"localhost/edgerl:{args.suite}-{args.arch}")
    with TemporaryDirectory() as folder:
        os.chown(folder, USER, USER)
        container = Container(image, args.device, args.memory, Path(folder))
        try:
            print(run("podman", "run", "--rm", "--entrypoint", "python", image, "-c", ABOUT), end="")
            print(f"image: {added(image, base(args.suite, args.arch)) / 1e6:.0f} MB above its base")
            trains(container)
            stops_and_goes_on(container)
        except CheckError as error:
            sys.exit(f"FAILED: {error}")


def run(*command: str | Path) -> str:
    """What a command prints on stdout. Raises CheckError if it fails."""
    done = subprocess.run([*map(str, command)], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise CheckError(f"{' '.join(map(str, command))}: exit code {done.returncode}")
    return done.stdout


def base(suite: str, arch: str) -> str:
    """The image that stands for python:3.11-slim-<suite>, made if it is not there yet."""
    name = f"localhost/edgerl-base:{suite}-{arch}"
    if run("buildah", "images", "--quiet", "--filter", f"reference={name}").strip():
        return name
    with TemporaryDirectory() as folder:
        system = Path(folder) / "system"
        options = ["--variant=minbase", f"--arch={arch}", f"--include={PACKAGES[suite]}"]
        run("unshare", "--mount", "debootstrap", *options, suite, system, MIRROR)  # what it mounts goes with it
        certificates = system / CERTIFICATES.relative_to("/")
        certificates.write_bytes(CERTIFICATES.read_bytes())
        container = run("buildah", "from", "--arch", arch, "scratch").strip()
        run("buildah", "add", "--quiet", container, system, "/")
        if "make" in PACKAGES[suite]:
            source = python_source(Path(folder))
            run("buildah", "add", "--quiet", container, source, "/usr/src")  # which unpacks it
            run("buildah", "run", "--isolation", "chroot", container, "--", "sh", "-c", BUILD_PYTHON)
    variables = [f"--env=PATH={SEARCHED}", f"--env=PIP_CERT={CERTIFICATES}"]
    run("buildah", "config", *variables, container)
    run("buildah", "commit", "--quiet", "--rm", container, name)
    return name


def python_source(folder: Path) -> Path:
    """Debian's archive of Python's source, fetched into a folder."""
    with urllib.request.urlopen(SOURCE) as answer:  # noqa: S310 - an address of this file
        archive = answer.read()
    if hashlib.sha256(archive).hexdigest() != SOURCE_SHA256:
        raise CheckError(f"{SOURCE} is not what it was")
    file = folder / "python.tar.gz"
    file.write_bytes(archive)
    return file


def built(base_image: str, name: str) -> str:
    """The image of the Containerfile on that base."""
    how = ["--isolation", "chroot", "--pull-never", "--format", "docker", "--build-arg", f"BASE={base_image}"]
    print(run("buildah", "build", *how, "--file", CONTAINERFILE, "--tag", name, "."), file=sys.stderr)
    return name


def added(image: str, base_image: str) -> int:
    """Bytes of an image above those of its base."""
    sizes = [int(run("podman", "image", "inspect", "--format", "{{.Size}}", name)) for name in (image, base_image)]
    return sizes[0] - sizes[1]


def trains(container: Container) -> None:
    """Run the job from its first step to its last."""
    run("podman", "run", "--rm", *container.options("whole"))
    summary = container.summary("whole")
    memory, freeze = summary["memory"], summary["freeze"]
    ended = (summary["status"], summary["steps"], freeze["step"], memory["torch_loaded"])
    expect(ended == ("finished", 200, 120, False), f"the run ended as {ended}")
    suffix = container.memory[-1]
    limit = int(container.memory[:-1]) * {"m": 2**20, "g": 2**30}[suffix]
    expect(memory["limit_bytes"] == limit, f"its limit was {memory['limit_bytes']}, not the container's {limit}")
    print(f"200 steps, frozen at 120, without torch: {memory['rss_peak'] / 1e6:.0f} MB of {limit / 1e6:.0f} MB")


def stops_and_goes_on(container: Container) -> None:
    """Stop the job as `docker stop` does and start the same container again: it ends with the same weights."""
    name = run("podman", "create", *container.options("stopped")).strip()
    try:
        run("podman", "start", name)
        wait_for_checkpoint(container.runs / "stopped", STOP_FROM)
        run("podman", "stop", name)
        code = run("podman", "inspect", "--format", "{{.State.ExitCode}}", name).strip()
        summary = container.summary("stopped")
        expect((summary["status"], code) == ("interrupted", "130"), f"stopped: {summary['status']}, exit code {code}")
        run("podman", "start", "--attach", name)
        expect(container.summary("stopped")["status"] == "finished", "started again, it did not finish")
        expect(container.weights("stopped") == container.weights("whole"), "started again, it learned something else")
    finally:
        run("podman", "rm", "--force", name)
    print(f"stopped at step {summary['steps']} (exit code 130), went on to the same weights")


def wait_for_checkpoint(folder: Path, step: int) -> None:
    """Wait until a run has a checkpoint of this step or a later one."""
    deadline = time.monotonic() + PATIENCE
    while not any(int(place.name) >= step for place in folder.glob("checkpoint/" + "[0-9]" * 9)):
        expect(time.monotonic() < deadline, f"no checkpoint within {PATIENCE} s")
        time.sleep(0.05)


def expect(fulfilled: bool, otherwise: str) -> None:
    """Raise CheckError, which says what is the case `otherwise`."""
    if not fulfilled:
        raise CheckError(otherwise)


if __name__ == "__main__":
    main()
