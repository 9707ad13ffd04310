"""Cells on other machines: jobs of Slurm through submitit, and tasks of Ray. They must share the sweep's folder."""

import logging
import math
import os
import signal
import time
from pathlib import Path
from typing import Any

from edgerl import reading
from edgerl.errors import ConfigError
from edgerl.experiments.sweeps.executors.local import Job, start
from edgerl.runs.signals import INTERRUPTIONS, handling
from edgerl.runs.status import EXIT_CODES

HEADROOM = 1.25  # times the planned bytes: room for evaluations, the freeze's chunk, and the 3% below the limit
CONTINUED = ("PREEMPTED", "TIMEOUT", "NODE_FAIL")  # how Slurm names ends that are not the cell's fault
MINUTES = 24 * 60  # of a Slurm job, if none are given; the run of a job that is out of time goes on in another job


def launch(argv: list[str], log: str, cwd: str) -> int:
    """Run a command on the machine where a cluster started this process, and return its exit code.

    An interruption of this process, as at the end of a Slurm job's time, is passed on: the command saves a checkpoint.
    """

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    with handling(interrupt, (*INTERRUPTIONS, signal.SIGUSR2)):
        with open(log, "ab", opener=reading.here) as output:
            process = start(argv, output, cwd)
        try:
            while process.poll() is None:
                time.sleep(0.2)
            return process.wait()
        except BaseException:
            process.send_signal(signal.SIGINT)
            process.wait()
            return EXIT_CODES["interrupted"]


class Slurm:
    """Slurm's jobs. `folder`: where submitit keeps its files; `parameters`: of `#SBATCH`, such as partition.

    `cluster`: submitit's name for it, `local` for processes here. Raises ConfigError if submitit or Slurm is not
    installed, or does not know a parameter.
    """

    preempts = True

    def __init__(self, folder: Path, parameters: dict[str, Any], cluster: str = "slurm") -> None:
        try:
            import submitit
        except ImportError:
            raise ConfigError("--executor: slurm needs submitit: pip install 'edgerl[slurm]'") from None
        logging.getLogger("submitit").setLevel(logging.ERROR)  # it warns whenever Slurm's accounting is not there
        try:
            self._executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
        except RuntimeError as error:
            raise ConfigError(f"--executor: slurm is not on this machine: {error}") from None
        self._said = set(parameters) | ({"mem_gb"} if "mem" in parameters else set())
        settings = {"timeout_min": MINUTES, "slurm_additional_parameters": {"no-requeue": True}}  # the sweep does that
        try:
            self._executor.update_parameters(
                **settings | {f"slurm_{name}": value for name, value in parameters.items()}
            )
        except (NameError, ValueError, AssertionError) as error:
            raise ConfigError(f"--slurm: {str(error).splitlines()[0]}") from None

    def submit(self, argv: list[str], log: Path, threads: int, nbytes: int) -> Job:
        asked = {"name": log.stem, "cpus_per_task": threads, "mem_gb": math.ceil(HEADROOM * nbytes / 2**30)}
        self._executor.update_parameters(**{name: value for name, value in asked.items() if name not in self._said})
        return SlurmJob(self._executor.submit(launch, argv, str(log), os.getcwd()), log)


class SlurmJob:
    """A submitted job; its exit code is what `launch` returned."""

    def __init__(self, job: Any, log: Path) -> None:
        self._job, self._log, self._stopped = job, log, False

    def poll(self) -> int | None:
        if not self._job.done():
            return None
        if not self._job.paths.result_pickle.exists() and (self._stopped or self._job.state in CONTINUED):
            return EXIT_CODES["interrupted"]
        try:
            return int(self._job.result())
        except Exception as error:
            _note(self._log, error)
            return 1

    def stop(self) -> None:
        self._stopped = True
        self._job.cancel(check=False)  # a SIGTERM to its processes; a SIGKILL half a minute later

    kill = stop

    def rss(self) -> None:
        return None


class Ray:
    """Ray's tasks, on the cluster that this machine belongs to, or on this machine alone.

    `threads`, `nbytes`: the most that a cell takes. Raises ConfigError if ray is not installed, or if none of its
    machines has as much.
    """

    preempts = False

    def __init__(self, threads: int, nbytes: int) -> None:
        try:
            import ray
        except ImportError:
            raise ConfigError("--executor: ray needs ray: pip install 'edgerl[ray]'") from None
        self._ray: Any = ray
        try:
            if not ray.is_initialized():
                ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise ConfigError(f"--executor: ray: {str(error).splitlines()[0]}") from None
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        needed = _memory(nbytes)
        if not any(node.get("CPU", 0) >= threads and node.get("memory", 0) >= needed for node in nodes):
            raise ConfigError(f"--executor: no machine of ray's has {threads} cores and {needed:,} bytes for a cell")

    def submit(self, argv: list[str], log: Path, threads: int, nbytes: int) -> Job:
        task = self._ray.remote(num_cpus=threads, memory=_memory(nbytes), max_retries=0)(launch)
        return RayJob(self._ray, task.remote(argv, str(log), os.getcwd()), log)


class RayJob:
    """A task that runs or waits; its exit code is what `launch` returned."""

    def __init__(self, ray: Any, reference: Any, log: Path) -> None:
        self._ray, self._reference, self._log, self._stopped = ray, reference, log, False

    def poll(self) -> int | None:
        if not self._ray.wait([self._reference], timeout=0)[0]:
            return None
        try:
            return int(self._ray.get(self._reference))
        except Exception as error:
            if self._stopped:
                return EXIT_CODES["interrupted"]
            _note(self._log, error)
            return 1

    def stop(self) -> None:
        self._stopped = True
        self._ray.cancel(self._reference)

    def kill(self) -> None:
        self._stopped = True
        self._ray.cancel(self._reference, force=True)

    def rss(self) -> None:
        return None


def _memory(nbytes: int) -> int:
    return math.ceil(HEADROOM * nbytes)


def _note(log: Path, error: Exception) -> None:
    """Write into a cell's log why its job ended without an exit code."""
    reason = (str(error).strip() or repr(error)).splitlines()[0]
    with open(log, "a", opener=reading.here) as lines:
        lines.write(f"the job failed: {reason}\n")
