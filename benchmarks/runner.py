"""What `edgerl_run` takes: resident memory, seconds from the process's start to its first action, milliseconds an act.

A policy of the size of data-efficient Rainbow acts on RGB frames of 210x160, each time in a process of its own. A file
that `edgerl export` wrote may be given instead. Linux only.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ACTIONS, ATOMS = 6, 51
ACTS = 200  # timed in each process
MOST_MB, MOST_SECONDS = 65, 0.3
ROOT = Path(__file__).parents[1]
CHILD = """
import json, sys, time
import numpy as np
from edgerl_run import Player
player = Player(sys.argv[1])
frame = np.zeros((210, 160, 3), np.uint8)
player.act(frame)
first, computed = time.clock_gettime(time.CLOCK_MONOTONIC), time.process_time()
for _ in range(int(sys.argv[2])):
    player.act(frame)
each = (time.clock_gettime(time.CLOCK_MONOTONIC) - first) / int(sys.argv[2])
kilobytes = {line.split()[0]: int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("Vm")}
memory = {"resident": kilobytes["VmRSS:"], "peak": kilobytes["VmHWM:"]}
print(json.dumps({"first": first, "computed": computed, "each": each, **memory}))
"""


def write_policy(path: Path) -> None:
    """Write a policy with random weights: two convolutions, 256 hidden units, a distribution for each action."""
    from onnx import TensorProto, helper, numpy_helper, save

    rng = np.random.default_rng(0)
    weights: dict[str, Any] = {
        "convolution1": rng.normal(0, 0.01, (32, 4, 5, 5)),
        "convolution2": rng.normal(0, 0.05, (64, 32, 5, 5)),
        "hidden": rng.normal(0, 0.05, (256, 576)),
        "outputs": rng.normal(0, 0.05, (ACTIONS * ATOMS, 256)),
        "returns": np.linspace(-10, 10, ATOMS),
    }
    initializers = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()]
    initializers.append(numpy_helper.from_array(np.array([-1, ACTIONS, ATOMS]), "shape"))
    nodes = [
        helper.make_node("Cast", ["windows"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["pixels", "convolution1"], ["a"], strides=[5, 5]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "convolution2"], ["c"], strides=[5, 5]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("Flatten", ["d"], ["latents"]),
        helper.make_node("Gemm", ["latents", "hidden"], ["e"], transB=1),
        helper.make_node("Relu", ["e"], ["f"]),
        helper.make_node("Gemm", ["f", "outputs"], ["g"], transB=1),
        helper.make_node("Reshape", ["g", "shape"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=2),
        helper.make_node("MatMul", ["probabilities", "returns"], ["values"]),
        helper.make_node("ArgMax", ["values"], ["action"], axis=1, keepdims=0),
    ]
    takes = [helper.make_tensor_value_info("windows", TensorProto.UINT8, ["batch", 4, 84, 84])]
    gives = [
        helper.make_tensor_value_info("action", TensorProto.INT64, ["batch"]),
        helper.make_tensor_value_info("values", TensorProto.FLOAT, ["batch", ACTIONS]),
    ]
    graph = helper.make_graph(nodes, "policy", takes, gives, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    frame = {"height": 84, "width": 84, "colour": "gray", "resize": "linear", "stored": [84, 84]}
    window = {"frames": 4, "before_first": "zeros"}
    action = {"kind": "discrete", "count": ACTIONS, "meanings": None}
    about = {"format": 1, "frame": frame, "window": window, "action": action}
    helper.set_model_props(model, {"edgerl": json.dumps(about)})
    save(model, path)


def measure(policy: Path) -> dict[str, float]:
    """Of a fresh process: seconds to its first action, how many it computed, seconds an act, kilobytes."""
    start = time.clock_gettime(time.CLOCK_MONOTONIC)
    command = [sys.executable, "-c", CHILD, str(policy.resolve()), str(ACTS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured | {"first": measured["first"] - start}


def main() -> None:
    """Print the medians of several processes, beside their goals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("policy", nargs="?", type=Path, help="a file that `edgerl export` wrote")
    parser.add_argument("--processes", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        policy = args.policy or Path(folder, "policy.onnx")
        if args.policy is None:
            write_policy(policy)
        runs = [measure(policy) for _ in range(args.processes)]
        print(f"{policy.name}: {policy.stat().st_size / 1e3:,.0f} kB; medians of {len(runs)} processes")
    middle = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    print(f"  resident         {middle['resident'] * 1024 / 1e6:6.1f} MB (goal: at most {MOST_MB})")
    print(f"  peak             {middle['peak'] * 1024 / 1e6:6.1f} MB")
    print(f"  to first action  {middle['first']:6.3f} s (goal: at most {MOST_SECONDS})")
    print(f"  of it computing  {middle['computed']:6.3f} s (on a busy machine it waits as well)")
    print(f"  an act           {middle['each'] * 1e3:6.3f} ms")


if __name__ == "__main__":
    main()
