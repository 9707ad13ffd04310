"""What an analysis compares on what, and what comes of it."""

import shutil

import numpy as np
import pytest
from conftest import SNAPSHOTTED
from plain_sac import ACTIONS, SEEN, agent

from edgerl import configure
from edgerl.agents.build import make_agent
from edgerl.config.architectures import Block, Conv, Linear, latent_shape, layers
from edgerl.envs.base import EnvSpec
from edgerl.errors import ConfigError
from edgerl.experiments.analysis import analyze, attention
from edgerl.experiments.analysis.activations import LayerReader
from edgerl.experiments.analysis.compare import apart, load_snapshot
from edgerl.experiments.analysis.observations import play
from edgerl.runs import snapshots
from edgerl.settling import svcca
from edgerl.settling.layers import DATAPOINTS, ObservedLayer
from edgerl.settling.rule import Rule
from edgerl.training import train
from edgerl.training.policy import Policy
from edgerl.types import TimeStep

RULE = Rule(0.9, 0.1)
TINY = {"threads": 1, "eval_every": 0, "checkpoint_every": 0, "batch_size": 4, "hidden": 8, "budget": 1_500_000}


class Drift:
    """A bright bar that an action in [-1, 1] moves; ends after ten steps."""

    spec = EnvSpec((3, 24, 24), 2, actions=1, repeat=1, continuous=True)
    actions = 1
    name = "drift"

    def __init__(self, rng):
        self.rng, self.window, self.steps, self.place = rng, np.zeros((2, 3, 24, 24), np.uint8), 0, 0.0

    def reset(self):
        self.steps, self.place = 0, self.rng.uniform(0, 23)
        self.window[:] = self._frame()
        return TimeStep(self.window, 0.0, False, False, False)

    def step(self, action):
        self.steps, self.place = self.steps + 1, (self.place + 3 * float(action[0])) % 24
        self.window[0] = self.window[1]
        self.window[1] = self._frame()
        return TimeStep(self.window, -abs(self.place - 12), False, self.steps == 10, self.steps == 10)

    def _frame(self):
        frame = self.rng.integers(0, 60, (3, 24, 24), dtype=np.uint8)
        frame[:, :, int(self.place)] = 250
        return frame


def little():
    """An encoder with a fully connected layer."""
    return [Conv(6, 5, 3), Conv(8, 3, 1), Linear(5)]


def mixed():
    """One of IMPALA's kind."""
    return [Conv(4, 4, 4), Block(6), Linear(7, norm=False)]


@pytest.fixture(scope="module")
def found(snapshotted):
    return analyze.analyze(snapshotted, RULE)


@pytest.fixture
def copied(snapshotted, tmp_path):
    shutil.copytree(snapshotted, tmp_path / "run")
    return tmp_path / "run"


def lengths(found):
    """The intervals that each layer has scores of."""
    return {each["name"]: [(s["from"], s["to"]) for s in each["scores"]] for each in found["layers"]}


def test_the_stem_is_compared_until_the_freeze_and_the_heads_to_the_end(found):
    result, shown = found
    before, after = [(0, 40), (40, 110)], [(110, 160)]
    heads = {"value hidden": before + after, "advantage hidden": before + after}
    assert lengths(result) == {"conv1": before, "conv2": before} | heads
    assert [each["part"] for each in result["layers"]] == ["stem", "stem", "head", "head"]
    assert [each["neurons"] for each in result["layers"]] == [32, 64, 8, 8]
    assert [each["datapoints"] for each in result["layers"]] == [200 * 16 * 16, 200 * 9, 200, 200]
    assert (result["gap"], result["steps"], result["frozen_at"]) == (40, [0, 40, 110, 160], 110)
    for each in result["layers"]:
        assert all(0 < score["score"] <= 1 for score in each["scores"])
        assert 0 < each["untrained"] < 1
    assert result["attention"]["steps"] == shown.steps == [0, 40, 110]
    assert [(each["from"], each["to"]) for each in result["attention"]["moved"]] == before
    assert [frame.shape for frame in shown.frames] == [(84, 84)] * 3
    assert [maps.shape for maps in shown.maps] == [(3, 3, 3)] * 3
    assert result["notes"] == []


def test_the_same_run_gives_the_same_numbers(snapshotted, found):
    assert analyze.analyze(snapshotted, RULE)[0] == found[0]


def test_a_score_is_what_the_two_networks_give_for_the_observations(snapshotted, found):
    policy = Policy(snapshotted)
    seen = play(policy, 200, np.random.default_rng([0, 1]).spawn(3)[0], lambda done: None)
    given = []
    for step in (40, 110):
        made = make_agent(policy.config, (4, 84, 84), 3, np.random.default_rng(step))
        load_snapshot(made, snapshots.read(snapshots.place(snapshotted, step)))
        given.append(made.activations(seen.windows, seen.actions))
    for name, fold in (("conv2", lambda a: a.transpose(1, 0, 2, 3).reshape(64, -1)), ("value hidden", np.transpose)):
        score = svcca.similarity(*(svcca.directions(fold(each[name])) for each in given))
        (layer,) = [each for each in found[0]["layers"] if each["name"] == name]
        assert layer["scores"][1]["score"] == pytest.approx(score, abs=1e-6)
        dead = [np.mean([not row.any() for row in fold(each[name])]) for each in given]
        assert [(entry["step"], entry["share"]) for entry in layer["dead"][1:3]] == list(
            zip((40, 110), dead, strict=True)
        )
    chosen = np.union1d(np.linspace(0, 199, 253).round().astype(int), [seen.starts[1] // 2])
    before, after = (attention.maps(each["conv2"][chosen]) for each in given)
    assert found[0]["attention"]["moved"][1]["moved"] == pytest.approx(attention.moved(before, after), abs=0.02)


def test_behind_the_freeze_heads_see_through_the_frozen_stem_what_they_saw_before_it(snapshotted):
    policy = Policy(snapshotted)
    seen = play(policy, 70, np.random.default_rng(0), lambda done: None)
    made = make_agent(policy.config, (4, 84, 84), 3, np.random.default_rng(1))
    load_snapshot(made, snapshots.read(snapshots.place(snapshotted, 110)))
    wanted = [ObservedLayer("conv2", "stem", (64, 3, 3)), ObservedLayer("value hidden", "head", (8,))]
    reader = LayerReader(snapshotted, seen, 1)
    whole = reader.activations(made, wanted)
    made.freeze("conv2")
    frozen = reader.activations(made, wanted)
    assert frozen.keys() == {"value hidden"}
    np.testing.assert_allclose(frozen["value hidden"], whole["value hidden"], atol=1e-4)
    assert reader.centred(made, wanted[0], np.arange(3)) is None


@pytest.mark.parametrize(
    ("algo", "encoder", "cut"),
    [("rainbow", "data_efficient", "conv1"), ("dqn", "canonical", "conv2"), ("dqn", f"{__name__}:mixed", "block2")],
)
def test_every_layer_has_a_name_and_behind_a_cut_those_right_of_it_stay(algo, encoder, cut, small):
    config = small(agent={"encoder": encoder, "hidden": 8}, run={"algo": algo})
    made = make_agent(config, (4, 84, 84), 3, np.random.default_rng(0))
    x, actions = np.random.default_rng(1).integers(0, 256, (3, 4, 84, 84), dtype=np.uint8), np.zeros(3, np.uint8)
    own = layers(encoder, (4, 84, 84))
    whole = made.activations(x, actions)
    heads = ["value hidden", "advantage hidden"] if algo == "rainbow" else ["hidden"]
    assert list(whole) == [layer.name for layer in own] + heads
    for layer in own:
        assert whole[layer.name].shape == (3, *layer.outputs)
    assert all(whole[name].shape == (3, 8) for name in heads)
    assert all((whole[name] >= 0).all() for name in heads if algo == "dqn")
    latents = whole[cut]
    made.freeze(cut)
    frozen = made.activations(latents.reshape(3, *latent_shape(encoder, (4, 84, 84), cut)), actions)
    assert list(frozen) == list(whole)[[layer.name for layer in own].index(cut) + 1 :]
    for name, each in frozen.items():
        np.testing.assert_allclose(each, whole[name], atol=1e-5)


@pytest.mark.parametrize(
    ("encoder", "cut"), [("curl", "fc"), ("curl", "conv4"), ("curl", "conv2"), ("impala_50", "block1")]
)
def test_of_curl_policy_and_q_have_layers_of_their_own(encoder, cut):
    learner, rng = agent(encoder=encoder), np.random.default_rng(0)
    x, actions = rng.integers(0, 256, (3, *SEEN), dtype=np.uint8), rng.uniform(-1, 1, (3, ACTIONS)).astype(np.float32)
    whole = learner.activations(x, actions)
    own = [layer.name for layer in layers(encoder, SEEN)]
    dense = [f"{whose} {name}" for whose in ("policy", "Q") for name in ("fc", "hidden1", "hidden2")]
    assert list(whole) == own[:-1] + dense
    assert whole["policy hidden2"].shape == (3, 32)
    latents = learner.stem(cut).latents(x)
    learner.freeze(cut)
    frozen = learner.activations(latents, actions)
    assert list(frozen) == [name for name in whole if name.split()[-1] not in own[: own.index(cut) + 1]]
    for name, each in frozen.items():
        np.testing.assert_allclose(each, whole[name], atol=1e-5)


def test_a_run_of_curl_with_random_crops(tmp_path, monkeypatch):
    """On an environment and an encoder of one's own, never frozen, with a fully connected layer for each of N = 2."""
    settings = {"env": f"{__name__}:Drift", "encoder": f"{__name__}:little", "crop": 20, "random_steps": 10}
    settings |= {"steps": 45, "freeze_at": "never", "learn_start": 12, "snapshot_every": 15}
    train.train(configure(**TINY | settings), tmp_path / "run", quiet=True)
    result, shown = analyze.analyze(tmp_path / "run", RULE, frames=60, layer="conv1")
    names = ["conv1", "conv2", "policy fc", "policy hidden1", "policy hidden2", "Q fc", "Q hidden1", "Q hidden2"]
    assert [each["name"] for each in result["layers"]] == names
    assert [each["part"] for each in result["layers"]] == ["stem", "stem", *2 * ["stem", "head", "head"]]
    assert (result["observations"]["windows"], result["observations"]["crops"]) == (60, 4)
    assert result["layers"][2]["datapoints"] == 240
    assert lengths(result)["Q fc"] == [(0, 15), (15, 30), (30, 45)]
    assert [frame.shape for frame in shown.frames] == [(20, 20, 3)] * 3
    assert shown.maps[0].shape == (3, 6, 6)
    assert result["frozen_at"] is None
    assert result["safe"]["text"].endswith("The run has not frozen.")


def test_positions_are_thinned_evenly_and_no_map_gives_too_many_datapoints():
    layer = ObservedLayer("conv1", "stem", (32, 41, 7))
    for observations in (1, 200, 1280, 5120, 10**6):
        rows, columns = layer.grid(observations)
        assert layer.datapoints(observations) == observations * len(rows) * len(columns)
        assert layer.datapoints(observations) <= max(DATAPOINTS, observations)
        for places, length in ((rows, 41), (columns, 7)):
            assert len(set(places)) == len(places) == min(length, max(1, int((DATAPOINTS / observations) ** 0.5)))
            assert abs(places.mean() - (length - 1) / 2) <= 1
    assert ObservedLayer("fc", "stem", (50,)).datapoints(77) == 77


def test_by_default_there_are_windows_enough_for_every_layer():
    wide, narrow, maps = (
        ObservedLayer("fc", "head", (1024,)),
        ObservedLayer("fc", "stem", (50,)),
        ObservedLayer("conv9", "stem", (512, 2, 2)),
    )
    assert analyze._frames([wide, narrow], 1) == 5120
    assert analyze._frames([wide, maps], 4) == 1280
    assert analyze._frames([narrow, maps], 1) == 640
    assert analyze._frames([narrow], 1) == 250
    assert analyze._frames([narrow], 4) == analyze.FRAMES


def test_which_snapshots_are_compared():
    assert apart([0, 40, 80, 110, 120, 160, 170], 40) == [0, 40, 80, 120, 160]
    assert apart([0, 40, 80, 110, 120, 160, 170], 40, 110) == [0, 40, 110, 160]  # T_f, in place of 80
    assert apart([0, 40, 80, 120], 40, 80) == [0, 40, 80, 120]
    assert apart([0, 10, 40, 80], 40, 10) == [0, 40, 80]  # too near the beginning
    assert apart([0, 500, 1000], 10_000) == [0]
    long = list(range(0, 50_001, 2_000))
    assert apart(long, 10_000) == [0, 10_000, 20_000, 30_000, 40_000, 50_000]


def test_where_snapshots_began_around_the_freeze_no_safe_step_can_be_told(copied):
    for step in (40, 80, 110):
        snapshots.place(copied, step).unlink()
    result, shown = analyze.analyze(copied, RULE, every=40)
    assert not result["safe"]["known"]
    assert "over 0 intervals" in result["safe"]["text"]
    assert lengths(result)["conv1"] == []
    assert lengths(result)["value hidden"] == [(0, 120), (120, 160)]
    snapshots.place(copied, 0).unlink()
    result, shown = analyze.analyze(copied, RULE)
    assert shown.steps == []
    assert result["layers"][0]["untrained"] is None


def test_a_run_that_has_only_begun_is_played_by_the_policy_of_its_newest_checkpoint(copied, tmp_path):
    """Killed at 130: snapshots of up to 120, of which the last is frozen, and no checkpoint but that of step 0."""
    begun = SNAPSHOTTED | {"until": 5, "freeze_at": "never"}
    train.train(configure(env="toy/catch", **begun), tmp_path / "begun", quiet=True)
    shutil.rmtree(copied / "checkpoint")
    shutil.copytree(tmp_path / "begun/checkpoint/000000000", copied / "checkpoint/000000000")
    (copied / "summary.json").unlink()
    for step in (160, 170):
        snapshots.place(copied, step).unlink()
    result, _ = analyze.analyze(copied, RULE, frames=60)
    assert result["observations"]["played_by_step"] == 0
    assert (result["frozen_at"], result["steps"]) == (110, [0, 40, 110])
    assert lengths(result)["value hidden"] == [(0, 40), (40, 110)]


def test_of_too_few_frames_a_wide_head_is_left_out_by_name(snapshotted, monkeypatch):
    monkeypatch.setattr(analyze, "PER_NEURON", 8)  # 36 windows give 9 datapoints each to conv2, and 1 to heads
    result, _ = analyze.analyze(snapshotted, RULE, frames=60)
    assert lengths(result).keys() == {"conv1", "conv2"}
    assert result["notes"][0] == "left out: value hidden, whose 8 neurons take 64 frames"


def test_play_refuses_what_memory_has_no_room_for(snapshotted):
    with pytest.raises(ConfigError, match="--frames: 100,000,000 windows are 2822"):
        play(Policy(snapshotted), 10**8, np.random.default_rng(0), lambda done: None)
