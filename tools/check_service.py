"""Has systemd run examples/deploy/edgerl-train.service: at boot, stopped, killed, at the next boot, to its end.

    python tools/check_service.py

systemd runs in a container of the image that check_container.py builds, and it needs what that needs. The container is
privileged, as systemd makes namespaces of its own; units that would change this machine are masked. The run is a short
one, and the memory limits are not checked: they need control groups of v2, or a machine that systemd started.
"""

import re
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from check_container import ROOT, CheckError, base, built, expect, run

UNIT = "edgerl-train.service"
BOARD = "--device pi_zero_2_w"
SHORT = f"{BOARD} --steps 1500 --freeze-at 400 --eval-every 0 --checkpoint-every 100 --set replay.learn_start=50"
MASKED = "systemd-binfmt systemd-modules-load systemd-remount-fs systemd-sysctl systemd-udevd systemd-logind"
SYSTEM = f"""
FROM localhost/edgerl:bookworm-amd64
USER root
RUN apt-get update && apt-get install --yes --no-install-recommends systemd
COPY {UNIT} /etc/systemd/system/
RUN systemctl enable {UNIT} && systemctl mask {" ".join(f"{name}.service" for name in MASKED.split())}
STOPSIGNAL SIGRTMIN+3
ENTRYPOINT ["/lib/systemd/systemd"]
"""
CHECKPOINTS = "ls /var/lib/edgerl/run/checkpoint 2>/dev/null || true"
PATIENCE = 300  # seconds


def main() -> None:
    """Check the unit; the exit code is 0 only if all was as it must be."""
    built(base("bookworm", "amd64"), "localhost/edgerl:bookworm-amd64")
    system = run("podman", "create", "--privileged", "--systemd=always", "--network", "none", image()).strip()
    try:
        run("podman", "start", system)
        wait(system, 100)
        print("boot: begins the run")
        is_stopped(system)
        is_killed(system)
        is_finished(system)
    except CheckError as error:
        print(journal(system), file=sys.stderr)
        sys.exit(f"FAILED: {error}")
    finally:
        run("podman", "rm", "--force", system)


def image() -> str:
    """The image of a system that starts the unit at boot, with a short run."""
    text = (ROOT / "examples/deploy" / UNIT).read_text()
    expect(BOARD in text, f"{UNIT} names no {BOARD}")
    with TemporaryDirectory() as folder:
        Path(folder, UNIT).write_text(text.replace(BOARD, SHORT))
        Path(folder, "Containerfile").write_text(SYSTEM)
        how = ["--isolation", "chroot", "--pull-never", "--format", "docker"]
        run("buildah", "build", *how, "--tag", "localhost/edgerl-system", folder)
    return "localhost/edgerl-system"


def is_stopped(system: str) -> None:
    """Stop the unit as an administrator does: a checkpoint, and an end that counts as good."""
    run("podman", "exec", system, "systemctl", "stop", UNIT)
    ended = (shown(system, "ExecMainStatus"), shown(system, "Result"))
    expect(ended == ("130", "success"), f"stopped, it ended as {ended}")
    print(f"stop: exit code 130 at step {newest(system)}, a success")


def is_killed(system: str) -> None:
    """Start the unit, kill the run, and see it go on by itself."""
    run("podman", "exec", system, "systemctl", "start", UNIT)
    wait(system, newest(system) + 100)
    run("podman", "exec", system, "systemctl", "kill", "--signal=KILL", UNIT)
    killed_at = newest(system)
    wait(system, killed_at + 100)
    expect(shown(system, "NRestarts") == "1", f"killed, it was started {shown(system, 'NRestarts')} times")
    print(f"kill: started again, goes on from step {killed_at}")


def is_finished(system: str) -> None:
    """Boot again: the run goes on, finishes, and is not started again."""
    run("podman", "restart", "--time", "60", system)
    wait(system, 1500)
    deadline = time.monotonic() + PATIENCE
    while shown(system, "ActiveState") != "inactive":
        expect(time.monotonic() < deadline, f"finished, it is {shown(system, 'ActiveState')}")
        time.sleep(1)
    ended = (shown(system, "ExecMainStatus"), shown(system, "Result"))
    expect(ended == ("0", "success"), f"at its end, it ended as {ended}")
    resumed = re.search(r"resumed at step ([\d,]+)", journal(system))
    if resumed is None:
        raise CheckError("the next boot did not resume the run")
    print(f"boot: goes on from step {resumed[1]}, finishes with exit code 0")


def shown(system: str, setting: str) -> str:
    """What systemd says of the unit."""
    return run("podman", "exec", system, "systemctl", "show", "--value", f"--property={setting}", UNIT).strip()


def journal(system: str) -> str:
    """What the unit wrote since the last boot."""
    return run("podman", "exec", system, "journalctl", "--boot", "--no-pager", f"--unit={UNIT}")


def newest(system: str) -> int:
    """The step of the newest checkpoint; -1 if there is none."""
    names = run("podman", "exec", system, "sh", "-c", CHECKPOINTS).split()
    return max((int(name) for name in names if re.fullmatch(r"\d{9}", name)), default=-1)


def wait(system: str, step: int) -> None:
    """Wait for a checkpoint of this step or a later one."""
    deadline = time.monotonic() + PATIENCE
    while newest(system) < step:
        expect(time.monotonic() < deadline, f"no checkpoint of step {step} within {PATIENCE} s")
        time.sleep(0.5)


if __name__ == "__main__":
    main()
