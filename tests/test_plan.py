"""`edgerl plan`: true numbers, quickly, and without torch."""

import json
import subprocess
import sys

import numpy as np
import pytest

from edgerl import envs, plan
from edgerl.agents.rainbow import Rainbow
from edgerl.replay import Replay
from edgerl.representation import Latents, Pixels
from edgerl.sampling import Prioritized


def asked(edgerl, *arguments):
    ended = edgerl("plan", "--json", *arguments)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_the_plan_at_the_papers_budget(edgerl):
    found = asked(edgerl, "--env", "atari/qbert", "--budget", "0.07GB")
    assert found.keys() == {"device", "fits", "bytes", "capacity", "flops"}
    assert found["capacity"] == {
        "initial": 9897,
        "after_freeze": 30170,
        "paper_initial": 9920,
        "paper_after_freeze": 30380,
    }
    assert (found["bytes"]["row_pixels"], found["bytes"]["row_latents"]) == (7064, 2312)
    assert (found["device"], found["fits"], found["bytes"]["limit"]) == (None, None, None)
    assert found["flops"]["per_update_before"] == 160 * (1_280_000 + 387_173)
    assert found["flops"]["per_update_after"] == 160 * 387_173 + 1_280_000


def test_the_planned_capacities_are_those_a_replay_gets(small):
    config = small()
    found = plan.make(config, envs.describe("toy/catch"))
    replay = Replay(
        3_000_000, Pixels((84, 84), 4), plan.ACTION, n_step=3, gamma=0.9, omega=0.5, rng=np.random.default_rng(0)
    )
    assert found.initial == replay.capacity
    replay.transcode(Latents(lambda windows: np.zeros((len(windows), 576), np.float32), (576,)))
    assert found.after_freeze == replay.capacity
    assert found.after_freeze * found.latent_row + Prioritized.index_bytes(found.after_freeze) <= 3_000_000


def test_the_columns_of_a_row_add_up(small):
    found = plan.make(small(), envs.describe("toy/catch"))
    for columns, row in ((found.pixel_columns, found.pixel_row), (found.latent_columns, found.latent_row)):
        assert sum(nbytes for name, nbytes in columns.items() if name != "priority") == row


def test_planned_networks_and_optimizer_are_what_the_agent_holds(small):
    config, spec = small("atari/qbert"), envs.describe("atari/qbert")
    found = plan.make(config, spec)
    agent = Rainbow((spec.history, *spec.frame), spec.actions, config.agent, np.random.default_rng(0))
    held = agent.nbytes()
    assert found.ledger["networks"] == held["networks"]
    assert found.ledger["optimizer"] == pytest.approx(held["optimizer"], abs=100)  # the step counters


def test_a_description_is_the_environments_own():
    for name in ("atari/qbert", "atari/breakout", "toy/catch"):
        assert envs.describe(name) == envs.make(name, np.random.default_rng(0), training=True).spec
    assert envs.describe("atari/pong", full_action_set=True).actions == 18


def test_unbounded_holds_a_row_for_every_step(edgerl):
    found = asked(edgerl, "--budget", "unbounded", "--steps", "20000", "--freeze-at", "never")
    assert found["capacity"]["initial"] == 20_000


def test_devices_side_by_side(edgerl):
    found = asked(edgerl, "--device", "jetson_nano", "--device", "pi_zero_2_w")
    assert [(each["device"], each["fits"]) for each in found] == [("jetson_nano", True), ("pi_zero_2_w", False)]
    assert found[0]["bytes"]["left"] == int(0.97 * int(3.4 * 2**30)) - found[0]["bytes"]["process"]
    shown = edgerl("plan", "--device", "jetson_nano", "--device", "pi_zero_2_w").stdout
    for word in ("jetson_nano", "pi_zero_2_w", "9,897", "30,170", "scratch", "fits"):
        assert word in shown


def test_an_impossible_budget_names_the_smallest_possible_one(edgerl):
    ended = edgerl("plan", "--budget", "100kB", "--env", "atari/qbert")
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1)
    smallest = ended.stderr.split("at least ")[1].split()[0]
    assert edgerl("plan", "--budget", smallest).returncode == 0
    assert edgerl("plan", "--budget", f"{int(smallest.removesuffix('B')) - 1}B").returncode == 2


def test_a_plan_loads_nothing_heavy():
    program = (
        "import sys\n"
        "sys.argv = ['edgerl', 'plan', '--env', 'atari/qbert', '--device', 'jetson_nano']\n"
        "from edgerl.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code in (0, None), end.code\n"
        "heavy = {'torch', 'onnxruntime', 'onnx', 'cv2', 'tensorboard', 'ale_py', 'pydantic'}\n"
        "print(*heavy & sys.modules.keys(), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == ""
