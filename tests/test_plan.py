"""`edgerl plan`: true numbers, quickly, and without torch."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest

from edgerl import configure
from edgerl.agents.build import make_agent
from edgerl.config import architectures
from edgerl.config.agent_settings import AGENTS
from edgerl.envs import suites
from edgerl.envs.base import EnvOptions
from edgerl.planning import memory, plan
from edgerl.replay import representation
from edgerl.replay.buffer import Replay
from edgerl.replay.latents import Latents, Stem
from edgerl.replay.representation import Pixels
from edgerl.replay.sampling import Prioritized


def asked(edgerl, *arguments):
    ended = edgerl("plan", "--json", *arguments)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_the_plan_at_the_papers_budget(edgerl):
    found = asked(edgerl, "--env", "atari/qbert", "--budget", "0.07GB")
    expected = {"hours", "joules", "phases", "advice"}
    counted = {"bytes", "notes", "freeze_at", "last_step", "capacity", "updates", "flops", "checks", "storage"}
    assert found.keys() == {"device", "fits", "possible"} | counted | expected
    assert all(found[key] is None for key in expected - {"advice"})  # no device was named
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


def encode_to(shape):
    return lambda windows: np.zeros((len(windows), *shape), np.float32)


def test_the_plan_of_a_control_task(edgerl):
    """62,500 steps of eight: 1,000 before the first update, 10,000 before the freeze, which converts all 999 rows."""
    found = asked(edgerl, "--env", "dmc/cartpole-swingup")
    assert found["capacity"]["paper_after_freeze"] == 18_750
    flops = found["flops"]
    before, after = flops["per_update_before"], flops["per_update_after"]
    assert flops["conversion"] == 999 * 353_928_336
    assert flops["run"] == 9_000 * before + 52_500 * after + flops["conversion"]
    assert round(after / before, 3) == 0.038


def test_the_planned_capacities_are_those_a_replay_gets(small):
    config, rng = small(), np.random.default_rng(0)
    found = plan.make_plan(config, suites.describe("toy/catch"))
    pixels = Pixels((84, 84), 4)
    replay = Replay(3_000_000, pixels, np.dtype(np.uint8), n_step=3, gamma=0.9, omega=0.5, rng=rng)
    assert found.before.rows == replay.capacity
    replay.transcode(Latents(Stem(encode_to((576,)), (576,), pixels, rng=rng)))
    assert found.after.rows == replay.capacity
    assert found.after.rows * found.latents.row_bytes + Prioritized.index_bytes(found.after.rows) <= 3_000_000


@pytest.mark.parametrize(("budget", "paper", "rows"), [
    ("0.03GB", (1000, 18_750), (999, 18_564)),
    ("0.06GB", (2000, 37_500), (1998, 37_128)),
])  # fmt: skip
def test_the_papers_control_budgets_hold_nineteen_times_as_many_latents(budget, paper, rows):
    """Frames of 3x100x100 bytes against four crops' latents of two encoders, 4 (K 4) (N 2) (L 50): 18.75x."""
    config, spec, rng = control(budget=budget), suites.describe("dmc/cartpole-swingup"), np.random.default_rng(0)
    found = plan.make_plan(config, spec)
    assert (found.paper_initial, found.paper_after_freeze) == paper
    assert paper[1] == 18.75 * paper[0]
    assert (found.before.rows, found.after.rows) == rows
    assert (found.before.row_bytes, found.latents.row_bytes) == (30_016, 1616)  # action, reward and flags too
    pixels = representation.pixels(spec, config.replay)
    replay = Replay(found.budget, pixels, spec.action, n_step=1, gamma=0.99, rng=rng, sampling="uniform")
    assert replay.capacity == found.before.rows
    replay.transcode(Latents(Stem(encode_to((2, 50)), (2, 50), pixels, views=pixels.augment, rng=rng)))
    assert replay.capacity == found.after.rows


def control(env="dmc/cartpole-swingup", **settings):
    return configure(**{"env": env, "threads": 1} | settings)


def test_without_random_crops_a_row_holds_one_latent_of_each_encoder():
    spec, settings = suites.describe("dmc/cartpole-swingup"), {"random_crop": False, "augmentations": 1}
    assert plan.make_plan(control(**settings), spec).latents.columns["obs"] == 4 * 2 * 50
    assert plan.make_plan(control(augmentations=3), spec).latents.columns["obs"] == 4 * 3 * 2 * 50


def test_the_columns_of_a_row_add_up(small):
    found = plan.make_plan(small(), suites.describe("toy/catch"))
    for columns, row in (
        (found.before.columns, found.before.row_bytes),
        (found.latents.columns, found.latents.row_bytes),
    ):
        assert sum(nbytes for name, nbytes in columns.items() if name != "priority") == row


@pytest.mark.parametrize(("algo", "encoder"), [
    ("rainbow", "data_efficient"),
    ("rainbow", "curl"),
    ("dqn", "data_efficient"),
    ("dqn", "canonical"),
    ("curl", "curl"),
    ("curl", "data_efficient"),
    ("sac", "curl"),
    ("sac", "canonical"),
    ("rainbow", "impala"),
    ("dqn", "impala"),
    ("curl", "impala_50"),
])  # fmt: skip
def test_planned_networks_and_optimizer_are_what_the_agent_holds(algo, encoder):
    env = "dmc/cheetah-run" if AGENTS[algo].continuous else "atari/qbert"
    config, spec = configure(env=env, algo=algo, encoder=encoder, threads=1), suites.describe(env)
    found, window = plan.make_plan(config, spec), representation.pixels(spec, config.replay).shape
    agent = make_agent(config, window, spec.actions, np.random.default_rng(0))
    held = agent.nbytes()
    assert found.ledger["networks"] == held["networks"]
    assert found.ledger["optimizer"] == pytest.approx(held["optimizer"], abs=400)  # the step counters
    features = architectures.latent_shape(encoder, window, architectures.last_layer(encoder))[0]
    if algo == "curl":  # with W, its moments and gradient, and one more pair of moments for the critic's encoder
        without = plan.make_plan(configure(env=env, algo="sac", encoder=encoder, threads=1), spec).ledger
        trained = sum(layer.parameters for layer in architectures.layers(encoder, window))
        assert found.ledger["networks"] - without["networks"] == 4 * features**2
        assert found.ledger["optimizer"] - without["optimizer"] == 4 * (2 * trained + 3 * features**2)


def ledgers(env="atari/qbert", **settings):
    """The planned ledgers before and after the freeze, and the plan's own."""
    config, spec = configure(env=env, threads=1, **settings), suites.describe(env)
    found, window = plan.make_plan(config, spec), representation.pixels(spec, config.replay).shape
    phases = memory.phases(config, window, found.flops, found.budget, keeps_pixels=found.after.stores == "pixels")
    return *phases, found.ledger


def test_a_run_that_begins_with_torch_is_planned_with_it_until_it_sheds_it():
    before, after, found = ledgers(encoder="canonical")
    assert found == before
    assert before["libraries"] - after["libraries"] == memory.LIBRARY_BYTES["torch"] - memory.LIBRARY_BYTES["numpy"]
    _, kept, _ = ledgers(encoder="canonical", keep_torch=True)
    assert kept["libraries"] == before["libraries"]
    before, after, found = ledgers()
    assert before["libraries"] == after["libraries"] == memory.library_bytes("atari/qbert", "numpy")
    assert found["scratch"] == before["scratch"] > after["scratch"]


def test_what_is_not_reached_is_not_planned():
    large = {"env": "dmc/walker-walk", "algo": "sac", "batch_size": 16, "batch_size_after_freeze": 1900}
    before, after, found = ledgers(encoder="data_efficient", freeze_at=0, **large)
    assert found == after
    assert sum(after.values()) > sum(before.values())
    before, _, found = ledgers(encoder="data_efficient", freeze_at="never", **large)
    assert found == before


@pytest.mark.parametrize("algo", AGENTS)
def test_networks_behind_a_freeze_are_planned_too(algo):
    env = "dmc/cheetah-run" if AGENTS[algo].continuous else "atari/qbert"
    for cut in ("conv1", "last"):
        _, after, _ = ledgers(env, algo=algo, encoder="data_efficient", cut=cut)
        config, spec = configure(env=env, algo=algo, encoder="data_efficient", cut=cut, threads=1), suites.describe(env)
        window = representation.pixels(spec, config.replay).shape
        agent = make_agent(config, window, spec.actions, np.random.default_rng(0))
        agent.freeze(config.agent.cut)
        assert {name: after[name] for name in ("networks", "optimizer")} == pytest.approx(agent.nbytes(), abs=8)


@pytest.mark.parametrize(("settings", "torch"), [
    pytest.param(["--freeze-at", "never"], False, marks=pytest.mark.long),
    (["--freeze-at", "250"], False),
    pytest.param(["--freeze-at", "never", "--engine", "torch"], True, marks=pytest.mark.long),
])  # fmt: skip
def test_a_run_holds_what_was_planned(settings, torch, edgerl, tmp_path):
    """The libraries, and all together: to 5% where they were measured, here to 10%."""
    settings = ["--env", "toy/catch", "--budget", "3MB", "--steps", "450", "--threads", "1", *settings]
    settings += ["--set", "learn_start=200"]
    ended = edgerl("train", *settings, "--eval-every", "0", "--quiet", "--out", tmp_path / "run")
    assert ended.returncode == 0, ended.stderr
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    found, held = asked(edgerl, *settings)["bytes"], summary["budget"]["ledger"]
    assert summary["memory"]["torch_loaded"] is torch
    assert found["ledger"]["libraries"] == pytest.approx(held["libraries"]["measured"], rel=0.1)
    assert found["process"] == pytest.approx(summary["memory"]["rss_peak"], rel=0.1)


def test_a_description_is_the_environments_own():
    for name in ("atari/qbert", "atari/breakout", "toy/catch"):
        assert suites.describe(name) == suites.make(name, np.random.default_rng(0), training=True).spec
    assert suites.describe("atari/pong", EnvOptions(full_action_set=True)).actions == 18


def test_unbounded_holds_a_row_for_every_step(edgerl):
    found = asked(edgerl, "--budget", "unbounded", "--steps", "20000", "--freeze-at", "never")
    assert found["capacity"]["initial"] == 20_000


def test_devices_side_by_side(edgerl):
    found = asked(edgerl, "--device", "jetson_nano", "--device", "pi_zero_2_w")
    assert [(each["device"], each["fits"]) for each in found] == [("jetson_nano", True), ("pi_zero_2_w", True)]
    assert asked(edgerl, "--device", "pi_zero_2_w", "--budget", "0.22GB")["fits"] is False
    assert found[0]["bytes"]["left"] == int(0.97 * int(3.4 * 2**30)) - found[0]["bytes"]["process"]
    shown = edgerl("plan", "--device", "jetson_nano", "--device", "pi_zero_2_w").stdout
    for word in ("jetson_nano", "pi_zero_2_w", "9,897", "30,170", "scratch", "memory fits"):
        assert word in shown


def test_a_plan_says_what_is_possible_there_beside_whether_memory_fits(program):
    devices = [word for name in ("jetson_nano", "pi4_4gb", "pixel_6") for word in ("--device", name)]
    found = json.loads(program("plan", "--json", *devices)[1])
    assert [each["fits"] for each in found] == [True] * 3
    assert [each["possible"]["what"] for each in found] == ["unverified", "trains", "acts only"]
    assert "ONNX Runtime in an app" in found[2]["possible"]["reason"]
    assert json.loads(program("plan", "--json")[1])["possible"] is None
    lines = program("plan", *devices)[1].splitlines()
    row = next(line for line in lines if line.startswith("possible"))
    assert row.split() == ["possible", "unverified", "trains", "acts", "only"]
    reasons = [line for line in lines if line.startswith(("  jetson_nano", "  pi_4_4gb", "  pixel_6"))]
    assert reasons == [
        f"  {each['device']} {each['possible']['what']}: {each['possible']['reason']}" for each in (found[0], found[2])
    ]
    assert "possible" not in program("plan")[1]


def test_a_plan_says_where_the_freeze_is_and_what_became_of_a_presets(program):
    found = json.loads(program("plan", "--json", "--env", "atari/qbert", "--steps", "20000")[1])
    assert found["freeze_at"] is None
    assert [note for note in found["notes"] if note.startswith("no freeze: the preset's step 100,000 is not before")]
    found = json.loads(program("plan", "--json", "--env", "toy/catch", "--steps", "900", "--freeze-at", "700")[1])
    assert (found["freeze_at"], found["notes"]) == (700, [])


@pytest.mark.parametrize(("rate", "words"), [("8", "saves"), ("same", "adds")])
def test_what_a_later_freeze_adds_or_saves_is_said(rate, words, program):
    options = ("--env", "atari/qbert", "--device", "jetson_nano", "--updates-per-step-after-freeze", rate)
    (row,) = [line for line in program("plan", *options)[1].splitlines() if line.startswith("a freeze 10,000")]
    assert re.fullmatch(rf"a freeze 10,000 steps later +{words} [\d.]+ to [\d.]+ (min|h) *", row), row


@pytest.mark.parametrize(("every", "shown"), [("700", "700"), ("0", "-"), ("auto", "22,500")])
def test_a_plan_prints_the_pace_of_checkpoints_that_the_run_will_have(every, shown, program):
    lines = program("plan", "--device", "pi_5_8gb", "--checkpoint-every", every)[1].splitlines()
    assert [line.split()[-1] for line in lines if line.startswith("a checkpoint every, steps")] == [shown]


def test_a_plan_says_that_more_compressed_rows_may_fit(program):
    options = ("--pixel-codec", "lz4", "--latent-dtype", "uint8")
    lines = [" ".join(line.split()) for line in program("plan", *options)[1].splitlines()]
    assert "pixels 9,850 or more 9,920 7,076 or less" in lines
    assert "latents 118,209 30,380 584" in lines
    assert not any(line.startswith("growth") for line in lines)


@pytest.mark.parametrize("env", ["atari/qbert", "dmc/cartpole-swingup"])
def test_a_plan_loads_nothing_heavy(env):
    program = (
        "import sys\n"
        f"sys.argv = ['edgerl', 'plan', '--env', {env!r}, '--device', 'jetson_nano']\n"
        "from edgerl.commands.app import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code in (0, None), end.code\n"
        "heavy = {'torch', 'onnxruntime', 'onnx', 'cv2', 'tensorboard', 'ale_py', 'pydantic'}\n"
        "heavy |= {'dm_control', 'mujoco', 'gymnasium'}\n"
        "print(*heavy & sys.modules.keys(), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == ""
