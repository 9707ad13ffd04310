"""`edgerl analyze`: which layers are compared on what, what comes of it, and what is said where it cannot be done."""

import json
import shutil
import sys

import numpy as np
import pytest
from plain_sac import ACTIONS, SEEN, agent

from edgerl import agents, analysis, attention, configure, run, snapshots, svcca
from edgerl.architectures import Block, Conv, Linear, latent_shape, layers
from edgerl.comparing import apart
from edgerl.config import ConfigError
from edgerl.envs import EnvSpec
from edgerl.layers import DATAPOINTS, Layer, Looking
from edgerl.observations import play
from edgerl.policy import Policy
from edgerl.reports import contents, reading, text
from edgerl.settling import Interval, Rule, settled, verdict
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
def catch(tmp_path_factory):
    """A run frozen at 110, with snapshots of 0, 40, 80, 110, 120, 160 and 170."""
    folder = tmp_path_factory.mktemp("analysis") / "run"
    settings = {"steps": 170, "freeze_at": 110, "learn_start": 30, "snapshot_every": 40}
    run.train(configure(env="toy/catch", **TINY | settings), folder, quiet=True)
    return folder


@pytest.fixture(scope="module")
def found(catch):
    return analysis.analyze(catch, RULE)


@pytest.fixture
def copied(catch, tmp_path):
    shutil.copytree(catch, tmp_path / "run")
    return tmp_path / "run"


def lengths(found):
    """The intervals that each layer has scores of."""
    return {each["name"]: [(s["from"], s["to"]) for s in each["scores"]] for each in found["layers"]}


def test_the_stem_is_compared_until_the_freeze_and_the_heads_to_the_end(found):
    result, shown = found
    before, after = [(0, 40), (40, 80)], [(80, 120), (120, 160)]
    heads = {"value hidden": before + after, "advantage hidden": before + after}
    assert lengths(result) == {"conv1": before, "conv2": before} | heads
    assert [each["part"] for each in result["layers"]] == ["stem", "stem", "head", "head"]
    assert [each["neurons"] for each in result["layers"]] == [32, 64, 8, 8]
    assert [each["datapoints"] for each in result["layers"]] == [200 * 16 * 16, 200 * 9, 200, 200]
    assert (result["gap"], result["steps"], result["frozen_at"]) == (40, [0, 40, 80, 120, 160], 110)
    for each in result["layers"]:
        assert all(0 < score["score"] <= 1 for score in each["scores"])
        assert 0 < each["untrained"] < 1
    assert result["attention"]["steps"] == shown.steps == [0, 40, 80]
    assert [(each["from"], each["to"]) for each in result["attention"]["moved"]] == before
    assert [frame.shape for frame in shown.frames] == [(84, 84)] * 3
    assert [maps.shape for maps in shown.maps] == [(3, 3, 3)] * 3
    assert result["notes"] == []


def test_the_same_run_gives_the_same_numbers(catch, found):
    assert analysis.analyze(catch, RULE)[0] == found[0]


def test_a_score_is_what_the_two_networks_give_for_the_observations(catch, found):
    policy = Policy(catch)
    seen = play(policy, 200, np.random.default_rng([0, 1]).spawn(3)[0], lambda done: None)
    given = []
    for step in (40, 80):
        made = agents.make(policy.config, (4, 84, 84), 3, np.random.default_rng(step))
        snapshots.load(made, snapshots.read(snapshots.place(catch, step)))
        given.append(made.activations(seen.windows, seen.actions))
    for name, fold in (("conv2", lambda a: a.transpose(1, 0, 2, 3).reshape(64, -1)), ("value hidden", np.transpose)):
        score = svcca.similarity(*(svcca.directions(fold(each[name])) for each in given))
        (layer,) = [each for each in found[0]["layers"] if each["name"] == name]
        assert layer["scores"][1]["score"] == pytest.approx(score, abs=1e-6)
    chosen = np.union1d(np.linspace(0, 199, 253).round().astype(int), [seen.starts[1] // 2])
    before, after = (attention.maps(each["conv2"][chosen]) for each in given)
    assert found[0]["attention"]["moved"][1]["moved"] == pytest.approx(attention.moved(before, after), abs=0.02)


def test_behind_the_freeze_heads_see_through_the_frozen_stem_what_they_saw_before_it(catch):
    policy = Policy(catch)
    seen = play(policy, 70, np.random.default_rng(0), lambda done: None)
    made = agents.make(policy.config, (4, 84, 84), 3, np.random.default_rng(1))
    snapshots.load(made, snapshots.read(snapshots.place(catch, 110)))
    wanted = [Layer("conv2", "stem", (64, 3, 3)), Layer("value hidden", "head", (8,))]
    looking = Looking(catch, seen, 1)
    whole = looking.activations(made, wanted)
    made.freeze("conv2")
    frozen = looking.activations(made, wanted)
    assert frozen.keys() == {"value hidden"}
    np.testing.assert_allclose(frozen["value hidden"], whole["value hidden"], atol=1e-4)
    assert looking.watched(made, wanted[0], np.arange(3)) is None


@pytest.mark.parametrize(
    ("algo", "encoder", "cut"),
    [("rainbow", "data_efficient", "conv1"), ("dqn", "canonical", "conv2"), ("dqn", f"{__name__}:mixed", "block2")],
)
def test_every_layer_has_a_name_and_behind_a_cut_those_right_of_it_stay(algo, encoder, cut, small):
    config = small(agent={"encoder": encoder, "hidden": 8}, run={"algo": algo})
    made = agents.make(config, (4, 84, 84), 3, np.random.default_rng(0))
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


@pytest.mark.parametrize(("encoder", "cut"), [("curl", "fc"), ("curl", "conv2"), ("impala_50", "block1")])
def test_of_curl_policy_and_q_have_layers_of_their_own(encoder, cut):
    learner, rng = agent(encoder=encoder), np.random.default_rng(0)
    x, actions = rng.integers(0, 256, (3, *SEEN), dtype=np.uint8), rng.uniform(-1, 1, (3, ACTIONS)).astype(np.float32)
    whole = learner.activations(x, actions)
    own = [layer.name for layer in layers(encoder, SEEN)]
    dense = [f"{whose} {name}" for whose in ("policy", "Q") for name in ("fc", "hidden1", "hidden2")]
    assert list(whole) == own[:-1] + dense
    assert whole["policy hidden2"].shape == (3, 32)
    stem = learner.stem(cut)
    latents = stem(agents.torch.from_numpy(x)).detach().numpy()
    learner.freeze(cut)
    frozen = learner.activations(latents, actions)
    assert list(frozen) == [name for name in whole if name.split()[-1] not in own[: own.index(cut) + 1]]
    for name, each in frozen.items():
        np.testing.assert_allclose(each, whole[name], atol=1e-5)


def test_a_run_of_curl_with_random_crops(tmp_path, monkeypatch):
    """On an environment and an encoder of one's own, never frozen, with a fully connected layer for each of N = 2."""
    settings = {"env": f"{__name__}:Drift", "encoder": f"{__name__}:little", "crop": 20, "random_steps": 10}
    settings |= {"steps": 45, "freeze_at": "never", "learn_start": 12, "snapshot_every": 15}
    run.train(configure(**TINY | settings), tmp_path / "run", quiet=True)
    result, shown = analysis.analyze(tmp_path / "run", RULE, frames=60, layer="conv1")
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
    layer = Layer("conv1", "stem", (32, 41, 7))
    for observations in (1, 200, 1280, 5120, 10**6):
        rows, columns = layer.grid(observations)
        assert layer.datapoints(observations) == observations * len(rows) * len(columns)
        assert layer.datapoints(observations) <= max(DATAPOINTS, observations)
        for places, length in ((rows, 41), (columns, 7)):
            assert len(set(places)) == len(places) == min(length, max(1, int((DATAPOINTS / observations) ** 0.5)))
            assert abs(places.mean() - (length - 1) / 2) <= 1
    assert Layer("fc", "stem", (50,)).datapoints(77) == 77


def test_which_snapshots_are_compared():
    assert apart([0, 40, 80, 110, 120, 160, 170], 40) == [0, 40, 80, 120, 160]
    assert apart([0, 500, 1000], 10_000) == [0]
    long = list(range(0, 50_001, 2_000))
    assert apart(long, 10_000) == [0, 10_000, 20_000, 30_000, 40_000, 50_000]


def rows(*what):
    """Intervals of ten steps, each (score, moved); an untrained network scores 0.6 at conv1, where nothing changes."""
    untrained = {"conv1": 0.6, "conv2": 0.7}
    return [
        Interval(10 * n, 10 * n + 10, {"conv1": 1.0, "conv2": score}, untrained, moved)
        for n, (score, moved) in enumerate(what)
    ]


CALM, SHAKY, MOVING = (0.95, 0.02), (0.5, 0.02), (0.95, 0.5)


@pytest.mark.parametrize(
    ("what", "step"),
    [
        ([SHAKY, CALM, CALM], 10),
        ([CALM, CALM], 0),
        ([CALM, SHAKY, CALM], 20),
        ([CALM, MOVING, CALM], 20),
        ([CALM, CALM, SHAKY], None),
        ([CALM, CALM, MOVING], None),
        ([SHAKY, (0.95, None)], 10),
        ([CALM, (None, 0.0)], None),
        ([CALM, (0.9, 0.1)], 0),  # the bounds count as calm
    ],
)
def test_a_freeze_is_safe_from_where_all_that_follows_is_calm(what, step):
    assert settled(rows(*what), RULE) == step
    said = verdict(rows(*what), RULE, None)
    assert (said["step"], said["known"]) == (step, True)


@pytest.mark.parametrize(("score", "calm"), [(0.99, False), (0.994, False), (0.996, True), (1.0, True)])
def test_a_high_score_says_nothing_where_an_untrained_network_has_one(score, calm):
    assert (RULE.changes(Interval(0, 10, {"conv2": score}, {"conv2": 0.99}, 0.0)) == []) == calm


def test_it_is_said_in_words():
    def said(*what, frozen_at=50):
        return verdict(rows(*what), RULE, frozen_at)["text"]

    assert said(SHAKY, CALM, CALM) == (
        "A freeze would have been safe from step 10 on: of 3 intervals to step 30 the last 2 are calm. "
        "The run froze at step 50."
    )
    assert said(CALM, (0.5, 0.5), frozen_at=None) == (
        "A freeze would not have been safe by step 20: from step 10 to 20 conv2 had an SVCCA of 0.50 and attention "
        "moved by 0.50. The run has not frozen."
    )
    assert said(CALM, (None, 0.0)).count("conv2 gave the same for all observations") == 1
    assert said(CALM) == (
        "Whether a freeze would have been safe cannot be told: snapshots show the stem in training over 1 interval, "
        "and 2 are the least. The run froze at step 50."
    )
    high = Interval(0, 10, {"conv2": 0.9912}, {"conv2": 0.995}, None)
    assert RULE.changes(high) == ["conv2 had an SVCCA of 0.991 (an untrained network 0.995)"]


def test_where_snapshots_began_around_the_freeze_no_safe_step_can_be_told(copied):
    for step in (40, 80, 110):
        snapshots.place(copied, step).unlink()
    result, shown = analysis.analyze(copied, RULE, every=40)
    assert not result["safe"]["known"]
    assert "over 0 intervals" in result["safe"]["text"]
    assert lengths(result)["conv1"] == []
    assert lengths(result)["value hidden"] == [(0, 120), (120, 160)]
    snapshots.place(copied, 0).unlink()
    result, shown = analysis.analyze(copied, RULE)
    assert shown.steps == []
    assert result["layers"][0]["untrained"] is None


def test_a_run_that_has_only_begun_is_played_by_the_policy_of_its_newest_checkpoint(copied):
    """Killed at 130: snapshots of up to 120, of which the last is frozen, and the checkpoint of step 0."""
    shutil.rmtree(copied / "checkpoint/000000170")
    (copied / "summary.json").unlink()
    for step in (160, 170):
        snapshots.place(copied, step).unlink()
    result, _ = analysis.analyze(copied, RULE, frames=60)
    assert result["observations"]["played_by_step"] == 0
    assert (result["frozen_at"], result["steps"]) == (110, [0, 40, 80, 120])
    assert lengths(result)["value hidden"] == [(0, 40), (40, 80), (80, 120)]


def test_the_command_writes_pictures_and_json_and_prints_a_table(program, copied, tmp_path):
    code, said, errors = program("analyze", copied, "--out", tmp_path / "out", "--frames", 100, "--movement", 0.2)
    assert (code, [line for line in errors if line.startswith("edgerl")]) == (0, [])
    assert "SVCCA of each layer with itself 40 steps later" in said
    assert "attention moved" in said
    assert said.splitlines()[-1] == f"svcca.png, attention.png, analysis.json in {tmp_path / 'out'}"
    for name in ("svcca.png", "attention.png"):
        assert (tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG")
    result = json.loads((tmp_path / "out/analysis.json").read_text())
    assert result["safe"]["text"] in " ".join(said.split())
    assert result["rule"] == {"similarity": 0.9, "movement": 0.2, "from": 30}
    assert not (copied / "analysis.json").exists()


def test_a_damaged_snapshot_is_passed_over_by_name_where_others_suffice(program, copied):
    file = snapshots.place(copied, 40)
    file.write_bytes(file.read_bytes()[:-1])
    code, _, errors = program("analyze", copied, "--frames", 60)
    assert (code, len(errors)) == (0, 1)
    assert errors[0].startswith(f"edgerl: passed over: {file} is damaged: ")
    assert json.loads((copied / "analysis.json").read_text())["steps"] == [0, 80, 120, 160]


def refused(program, *arguments):
    """The one line that a command is refused with; nothing is written."""
    code, said, errors = program("analyze", *arguments)
    errors = [line for line in errors if line.startswith("edgerl")]
    assert (code, said, len(errors)) == (2, "", 1)
    return errors[0].removeprefix("edgerl: ")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--frames", 0], "--frames: 0 is below 1"),
        (["--frames", 2], "--frames: 2 are too few for conv2 and its 64 neurons; give 36 at least"),
        (["--frames", 10**10], "--frames: 10,000,000,000 windows are"),
        (["--every", 200], "--every: 200 steps are more than the 170 from the first snapshot to the last"),
        (["--threads", 0], "--threads: 0 is below 1"),
        (["--similarity", 1.5], "--similarity: 1.5 is not from 0 to 1"),
        (["--movement", -1], "--movement: -1 is not from 0 to 1"),
        (["--layer", "conv3"], "--layer: 'conv3' gives no maps or is not there; those that give maps are conv1, conv2"),
        (["--layer", "value hidden"], "--layer: 'value hidden' gives no maps or is not there; those that give maps"),
        (["--out", "no/where"], "--out: there is no folder no"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_in_one_line(arguments, line, program, copied):
    before = sorted(copied.rglob("*"))
    assert refused(program, copied, *arguments).startswith(line)
    assert sorted(copied.rglob("*")) == before


def test_a_folder_without_what_it_takes_is_refused_in_one_line(program, copied, tmp_path, monkeypatch):
    assert refused(program, tmp_path) == f"{tmp_path / 'config.toml'} does not exist"
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert refused(program, copied) == (
        "edgerl analyze needs the package matplotlib.figure: pip install -c constraints.txt -e '.[report]'"
    )
    monkeypatch.undo()
    for step, file in snapshots.files(copied).items():
        if step:
            file.unlink()
    words = "has one whole snapshot only, of step 0; train with --snapshot-every"
    assert refused(program, copied) == f"{copied} {words}"
    snapshots.place(copied, 0).write_bytes(b"")
    assert refused(program, copied).startswith(f"{copied} has no snapshots; train with --snapshot-every; passed over: ")
    shutil.rmtree(copied / "snapshots")
    assert refused(program, copied) == f"{copied} has no snapshots; train with --snapshot-every"


def test_a_stem_that_cannot_be_read_is_named(program, copied):
    (copied / "encoder.onnx").write_bytes(b"nothing")
    assert refused(program, copied) == f"{copied / 'encoder.onnx'} is damaged: its checksum differs"


def test_of_too_few_frames_a_wide_head_is_left_out_by_name(catch, monkeypatch):
    monkeypatch.setattr(analysis, "PER_NEURON", 8)  # 36 windows give 9 datapoints each to conv2, and 1 to heads
    result, _ = analysis.analyze(catch, RULE, frames=60)
    assert lengths(result).keys() == {"conv1", "conv2"}
    assert result["notes"][0] == "left out: value hidden, whose 8 neurons take 64 frames"


def test_a_report_shows_what_was_analysed_and_passes_over_what_cannot_be_read(copied, program):
    assert program("analyze", copied, "--frames", 60)[0] == 0
    (section,) = contents.collect(reading.read([copied]), None).sections
    (shown,) = section.analyses
    assert shown.curves["layers"][0]["x"] == [0, 40]
    assert shown.image == str(copied / "attention.png")
    assert shown.table.rows[0][:3] == ["conv1", "stem", "32"]
    assert shown.table.rows[0][-1] == "frozen"
    said = text.markdown(contents.collect(reading.read([copied]), None))
    assert "what its encoder learned" in said
    assert shown.safe in said
    text.as_json(contents.collect(reading.read([copied]), None))
    for broken in ("{}", "[]", '{"layers": 3}', "\x00"):
        (copied / "analysis.json").write_text(broken)
        assert contents.collect(reading.read([copied]), None).sections[0].analyses == []


def test_play_refuses_what_memory_has_no_room_for(catch):
    with pytest.raises(ConfigError, match="--frames: 100,000,000 windows are 2822"):
        play(Policy(catch), 10**8, np.random.default_rng(0), lambda done: None)
