"""Memory that a freeze of a full, wrapped replay takes beside it, and the budget in resident memory.

Real Qbert at 0.07GB and at 0.01GB, and real walker-walk at 0.06GB, each in a process of its own: fill and wrap the ring
by playing, update on pixels, freeze, and update on latents. Two more are frozen at the start, as a run with another's
encoder may be: IMPALA's on Qbert and CURL's on walker-walk. They have no heap from training to give back.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from edgerl.agents.build import make_agent

MB = 1e6
# Settings by name. Every ring wraps before the freeze; the larger one of Rainbow wraps after it too.
RUNS: dict[str, dict[str, Any]] = {
    "qbert": {"env": "atari/qbert", "budget": "0.07GB", "steps": 11_400, "freeze_at": 11_000, "learn_start": 10_600},
    "small": {"env": "atari/qbert", "budget": "0.01GB", "steps": 11_400, "freeze_at": 11_000, "learn_start": 10_600},
    "walker": {"env": "dmc/walker-walk", "budget": "0.06GB", "steps": 2100, "freeze_at": 2080, "learn_start": 2050},
    "impala-start": {"env": "atari/qbert", "budget": "0.07GB", "encoder": "impala", "steps": 1, "freeze_at": 0},
    "walker-start": {"env": "dmc/walker-walk", "budget": "0.06GB", "steps": 1, "freeze_at": 0},
}


def measure(name: str) -> dict[str, Any]:
    """The summary of one run in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, __file__, "--child", name, f"{folder}/run"], check=True)
        summary: dict[str, Any] = json.loads(Path(folder, "run", "summary.json").read_text())
        return summary


def child(name: str, out: str) -> None:
    """Train one run."""
    import edgerl

    edgerl.train(edgerl.configure(**RUNS[name], threads=2, eval_every=0, checkpoint_every=0), out)


def show_freeze(summary: dict[str, Any], extra_goal: str, change_goal: str) -> None:
    """Print the memory that one freeze took, beside its goals."""
    report, memory = summary["freeze"], summary["memory"]
    requested = summary["budget"]["requested_bytes"] / 1e9
    print(f"{summary['env']}, {requested:g} GB: {report['rows_before']:,} rows frozen in {report['seconds']:.2f} s")
    print(f"  peak extra memory at the freeze  {report['peak_extra_bytes'] / MB:8.2f} MB (goal: {extra_goal})")
    change = memory["rss_after_freeze"] - memory["rss_before_freeze"]
    print(f"  resident after minus before      {change / MB:8.2f} MB (goal: {change_goal})")


def main() -> None:
    """Print what every freeze took, and the budget in resident memory."""
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], sys.argv[3])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="RUN", help=f"of {', '.join(RUNS)}; without any, all of them")
    args = parser.parse_args()
    if unknown := [name for name in args.names if name not in RUNS]:
        parser.error(f"{unknown[0]} is none of {', '.join(RUNS)}")
    summaries = {name: measure(name) for name in args.names or RUNS}
    if "walker" in summaries:
        import numpy as np

        import edgerl
        from edgerl.envs.suites import describe
        from edgerl.replay import representation

        config, spec = edgerl.configure(env="dmc/walker-walk"), describe("dmc/walker-walk")
        shape = representation.pixels(spec, config.replay).shape
        agent = make_agent(config, shape, spec.actions, np.random.default_rng(0))
        before = sum(agent.nbytes().values())
        agent.freeze(config.agent.cut)
        dead = before - sum(agent.nbytes().values())
        show_freeze(summaries["walker"], "at most 32", f"at most {-dead / MB:.0f}, what became dead")
    for name, goal in (("impala-start", "at most 16"), ("walker-start", "at most 32")):
        if name in summaries:
            show_freeze(summaries[name], goal, "at most 8")
    if "qbert" in summaries:
        show_freeze(summaries["qbert"], "at most 16", "at most 8")
    if {"qbert", "small"} <= summaries.keys():
        large, small = summaries["qbert"], summaries["small"]
        ends = [sum(line["measured"] for line in run["budget"]["ledger"].values()) for run in (large, small)]
        print(f"at the end, 0.07GB less 0.01GB     {(ends[0] - ends[1]) / MB:8.2f} MB (goal: 60, within 2)")
        for name in ("rss_before_freeze", "rss_after_freeze", "rss_peak"):
            difference = large["memory"][name] - small["memory"][name]
            print(f"{name:17}, 0.07GB less 0.01GB {difference / MB:8.2f} MB")


if __name__ == "__main__":
    main()
