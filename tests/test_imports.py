"""Who imports whom: the packages' one direction, where torch may be, and that nothing pickles."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("device_profiles", "memory_budget", "runtime", "edgerl_run", "edgerl")
MODULES = sorted(file.relative_to(ROOT).as_posix() for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
TORCH = ("edgerl/agents/torch_encoder/",)
ROOMS = (  # of edgerl, from the lowest up; a room imports only rooms that stand before it, and itself
    "errors",
    "types",
    "output",
    "plugins",
    "reading",
    "envs",
    "config",
    "runs",
    "replay",
    "replay_buffer",
    "sb3",  # what another library takes, and imports it
    "agents/layers",
    "agents/torch_encoder",
    "agents/encoder",
    "agents",
    "settling",
    "planning",
    "training",
    "experiments/tracking",
    "experiments/video",
    "experiments/calibration",
    "experiments/sweeps/executors",
    "experiments/sweeps",
    "experiments/reports",
    "experiments/analysis",
    "experiments/export",
    "experiments/card",
    "experiments/check",
    "commands",
    "",  # edgerl/__init__.py and edgerl/__main__.py
)
MOST_FILES = 13  # in a room, __init__.py aside


def imported(module):
    """Top-level names of all that a module imports, at its head or anywhere within."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module.partition(".")[0] if node.level == 0 else module.partition("/")[0])
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("__import__", "importlib.import_module"):
            if isinstance(node.args[0], ast.Name):  # a name that is the user's: module:callable
                continue
            found.add(str(ast.literal_eval(node.args[0])).partition(".")[0])
    return found


def loaded(program, *names):
    """Which of these modules a fresh process has loaded after a program."""
    program += f"\nimport sys, json; print(json.dumps([name for name in {names!r} if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def edges(module):
    """The files of edgerl that a file imports, at its head, within functions, or for types alone."""
    for node in ast.walk(ast.parse((ROOT / module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            file = file_of(name) or file_of(name.rpartition(".")[0])
            if name.startswith("edgerl.") and file != module:
                yield file


def file_of(name):
    """The file of a module, by its dotted name; None where there is none."""
    path = name.replace(".", "/")
    return next((file for file in (f"{path}.py", f"{path}/__init__.py") if file in MODULES), None)


def room_of(file):
    """The room that a file stands in: the longest name in ROOMS that its path begins with."""
    inside = file.removeprefix("edgerl/").removesuffix(".py")
    return max((room for room in ROOMS if inside == room or inside.startswith(f"{room}/") or not room), key=len)


EDGERL = [module for module in MODULES if module.startswith("edgerl/")]
EDGES = {module: sorted({file for file in edges(module) if file}) for module in EDGERL}


def test_there_is_something_to_look_at():
    assert len(EDGERL) > 100
    assert sum(map(len, EDGES.values())) > 300
    assert "onnxruntime" in imported("runtime/onnx_runtime.py")
    assert "torch" in imported("edgerl/agents/torch_encoder/tensors.py")
    assert "edgerl/training/train.py" in EDGES["edgerl/commands/train.py"]  # within a function
    assert {room_of(module) for module in EDGERL} == set(ROOMS)


@pytest.mark.parametrize("module", EDGERL)
def test_a_room_imports_only_rooms_below_it(module):
    floor = ROOMS.index(room_of(module))
    above = [file for file in EDGES[module] if ROOMS.index(room_of(file)) > floor]
    assert above == []


def test_no_file_is_in_a_circle():
    left = {module: set(files) for module, files in EDGES.items()}
    while free := {module for module, files in left.items() if not files & left.keys()}:
        left = {module: files for module, files in left.items() if module not in free}
    assert left == {}


def test_no_room_is_a_bag():
    for folder in {(ROOT / module).parent for module in EDGERL}:
        files = [file for file in folder.glob("*.py") if file.name != "__init__.py"]
        assert len(files) <= MOST_FILES, folder


@pytest.mark.parametrize("package", ["device_profiles", "memory_budget", "runtime", "edgerl_run"])
def test_the_lower_packages_know_nothing_of_the_others(package):
    others = set(PACKAGES) - {package}
    for module in MODULES:
        if module.startswith(f"{package}/"):
            assert not imported(module) & others, module


@pytest.mark.parametrize("package", ["device_profiles", "memory_budget", "runtime"])
def test_edgerl_uses_each_of_the_three(package):
    assert any(package in imported(module) for module in MODULES if module.startswith("edgerl/"))


@pytest.mark.parametrize("module", MODULES)
def test_torch_is_imported_only_where_it_may_be(module):
    assert "torch" not in imported(module) or module.startswith(TORCH)


def test_what_other_libraries_take_stands_apart_and_is_light():
    assert [module for module in MODULES if "stable_baselines3" in imported(module)] == ["edgerl/sb3.py"]
    assert [module for module, files in EDGES.items() if "edgerl/sb3.py" in files] == []
    others = "torch", "onnxruntime", "gymnasium", "stable_baselines3", "edgerl.agents", "edgerl.training"
    assert loaded("import edgerl; edgerl.ReplayBuffer", *others) == []


def test_the_runner_stands_alone():
    others = {name for module in MODULES if module.startswith("edgerl_run/") for name in imported(module)}
    assert others - sys.stdlib_module_names == {"edgerl_run", "gymnasium", "numpy", "onnxruntime"}
    assert [module for module in EDGERL if "edgerl_run" in imported(module)] == []


def test_nothing_needs_onnx_to_run():
    assert [module for module in MODULES if imported(module) & {"onnx", "google"}] == []


def test_nothing_imports_tests_or_benchmarks():
    for module in MODULES:
        assert not imported(module) & {"tests", "benchmarks", "pytest", "hypothesis"}, module


def test_plan_devices_and_the_command_line_start_light():
    program = "import edgerl, edgerl.commands.app, edgerl.planning.plan, device_profiles"
    assert loaded(program, "torch", "onnxruntime", "onnx", "cv2", "tensorboard", "edgerl.planning.plan") == [
        "edgerl.planning.plan"
    ]


@pytest.mark.parametrize(("engine", "has"), [("numpy", []), ("torch", ["torch"])])
def test_an_agent_trains_without_what_torch_loads_for_its_compiler(engine, has):
    program = f"""
engine = {engine!r}"""
    program += """
import numpy as np
from edgerl.agents.build import make_agent
from edgerl.config import toml
from edgerl.types import Batch
tables = toml.preset("toy/catch")
tables["run"] |= {"env": "toy/catch", "budget": 1, "seed": 0, "threads": 1, "engine": engine}
agent = make_agent(toml.build(tables), (4, 84, 84), 3, np.random.default_rng(0))
obs, ones = np.zeros((2, 4, 84, 84), np.uint8), np.ones(2, np.float32)
agent.act(obs[0], explore=True)
agent.update(Batch(obs, np.zeros(2, np.uint8), ones, ones, obs, ones, np.arange(2)))
"""
    assert loaded(program, "torch", "torch._dynamo", "sympy", "torch._inductor") == has


def test_no_source_pickles_anything():
    assert len(MODULES) > 20
    # paths.result_pickle is submitit's own file, asked only whether it is there
    words = r"(?<!paths\.result_)pickle|torch\.load|torch\.save|\bshelve\b|\bjoblib\b|np\.save|np\.load"
    sources = {module: (ROOT / module).read_text(encoding="utf-8") for module in MODULES}
    assert [module for module, source in sources.items() if re.search(words, source, re.IGNORECASE)] == []
    assert "edgerl/runs/checkpoint.py" in MODULES
