"""`--freeze-at auto`: when it freezes and why, what a check takes, and that nothing else changes."""

import json

import numpy as np
import pytest
from counting import count_numpy, counting
from raw_arrays import raw_arrays
from scipy.stats import ttest_ind
from stopping import stopped_after
from test_resume import logged
from test_svcca import textbook

from edgerl import configure
from edgerl.agents.build import make_agent
from edgerl.config.resolve import started
from edgerl.envs import suites
from edgerl.envs.base import EnvSpec
from edgerl.errors import ConfigError
from edgerl.planning.plan import make_plan
from edgerl.replay import representation
from edgerl.replay.buffer import row_dtype
from edgerl.replay.latents import latent_field
from edgerl.runs import checkpoint
from edgerl.settling import games
from edgerl.settling.games import Games, higher
from edgerl.settling.watch import Watch
from edgerl.training import train
from edgerl.training.build import make_replay
from edgerl.training.policy import Policy

SPEC = EnvSpec((50, 50), 4, actions=3, repeat=1)
LEARN_START = 40
SETTINGS = {"env": "rising:Rising", "freeze_at": "auto", "learn_start": LEARN_START, "hidden": 8, "n_step": 3}
SETTINGS |= {"budget": 1_500_000, "threads": 1, "eval_every": 0, "checkpoint_every": 0}
STILL = {"learning_rate": 1e-7}  # the stem hardly changes


def auto(**changes):
    """The configuration of the shortest run that can freeze by itself, some steps longer than its latest freeze."""
    long = configure(**SETTINGS | {"freeze_by": 1000, "steps": 1100} | changes)
    every = make_plan(long, SPEC).checks.every
    latest = LEARN_START + 3 * every + 1
    return configure(**SETTINGS | {"freeze_by": latest, "steps": latest + 20} | changes), every


def filled(config):
    """A watch of this run, its agent, and its replay with rows of noise, in which episodes end."""
    rng, pixels = np.random.default_rng(0), representation.pixels(SPEC, config.replay)
    planned = make_plan(config, SPEC)
    replay = make_replay(config, SPEC, planned.budget, pixels, rng)
    for step in range(300):
        frame = rng.integers(0, 256, (50, 50), np.uint8)
        replay.append(frame, 0, 0.0, terminated=step % 40 == 39)
    agent = make_agent(config, pixels.shape, 3, np.random.default_rng(1))
    return Watch(config, planned.checks, pixels, SPEC.action), agent, replay


def stem(agent, windows):
    """The maps of the stem's layers for these windows, every position a datapoint: by name, [neurons, datapoints]."""
    maps = agent.activations(windows, np.zeros(len(windows), np.uint8))
    return {name: maps[name].transpose(1, 0, 2, 3).reshape(maps[name].shape[1], -1) for name in ("conv1", "conv2")}


def test_a_check_compares_the_stem_with_what_it_was_on_the_same_windows():
    config, every = auto()
    watch, agent, replay = filled(config)
    generators = agent.rng.bit_generator.state, replay.sampler.rng.bit_generator.state
    watch.check(LEARN_START + every, agent, replay)
    windows = watch.windows.copy()
    all_windows = {window.tobytes() for window in replay.observations(np.arange(*replay.startable))}
    assert (windows.shape, windows.dtype) == ((80, 4, 50, 50), np.uint8)
    assert len({window.tobytes() for window in windows}) == 80
    assert {window.tobytes() for window in windows} <= all_windows
    old = stem(agent, windows)
    moved = np.random.default_rng(2)
    for parameters in agent.online.encoder.parameters.values():
        parameters.flat += 0.1 * parameters.flat.std() * moved.standard_normal(parameters.flat.shape, np.float32)
    found = watch.check(LEARN_START + 2 * every, agent, replay)
    np.testing.assert_array_equal(watch.windows, windows)
    new = stem(agent, windows)
    spread = ((np.arange(7) + 0.5) * 10 / 7).astype(int)  # conv1's rows and columns that count: 80 x 7 x 7 < 4,096
    places = [10 * row + column for row in spread for column in spread]
    for each in (old, new):
        each["conv1"] = each["conv1"].reshape(32, 80, 100)[:, :, places].reshape(32, -1)
    for name, before in old.items():
        assert found[f"settling/svcca/{name}"] == pytest.approx(textbook(before, new[name]).mean(), abs=1e-5)
        assert found[f"settling/untrained/{name}"] < found[f"settling/svcca/{name}"] < 1
    assert (agent.rng.bit_generator.state, replay.sampler.rng.bit_generator.state) == generators


def test_where_packed_frames_have_grown_fewer_windows_are_compared():
    watch, _, replay = filled(auto()[0])
    few = replay.starting()[:30]
    replay.starting = lambda: few
    assert len(watch._draw(replay)) == 30


def test_a_check_takes_less_than_a_hundredth_of_the_updates_between_two(monkeypatch):
    """Products of matrices as they run in a check and in an update, and what singular values take."""
    count_numpy(monkeypatch)
    config, every = auto(hidden=256)
    watch, agent, replay = filled(config)
    watch.check(LEARN_START + every, agent, replay)
    took = {}
    for name, work in (
        ("check", lambda: watch.check(LEARN_START + 2 * every, agent, replay)),
        ("update", lambda: agent.update(replay.sample(32, 0.4))),
    ):
        with counting() as counted:
            work()
            took[name] = sum(m * n * k * times for (m, n, k), times in counted.multiplied.items())
    assert 0 < took["check"] <= watch.checks.flops
    assert took["check"] <= 0.01 * every * took["update"]
    assert watch.nbytes <= watch.checks.nbytes


def stretch(scores):
    counted = Games()
    for score in scores:
        counted.add(float(score))
    return counted


@pytest.mark.parametrize("seed", range(20))
def test_scores_are_higher_by_two_standard_errors(seed):
    rng = np.random.default_rng(seed)
    one, other = (rng.normal(mean, 2, rng.integers(5, 40)) for mean in (3, 3 + seed / 8))
    t = ttest_ind(other, one, equal_var=False).statistic
    assert higher(stretch(other), stretch(one)) == (t > 2)


ONE, FIVE, SEVEN = [1, 2] * 5, [5, 6] * 5, [7, 8] * 5  # games of an interval, with means 1.5, 5.5, 7.5


@pytest.mark.parametrize(
    ("intervals", "doubt"),
    [
        ([ONE, FIVE, FIVE], None),
        ([ONE, FIVE, [5, 5] * 5], None),
        ([ONE, ONE, ONE], "scored 1.5, at the beginning 1.5"),
        ([ONE, ONE], "scored 1.5, at the beginning 1.5"),
        ([ONE, [3, 4] * 5, FIVE], "still rose, from 3.5 to 5.5"),
        ([ONE, FIVE], "still rose, from 1.5 to 5.5"),
        ([ONE, FIVE, SEVEN[:3], [], SEVEN[:3]], "still rose, from 5.5 to 7.333"),
        ([ONE, FIVE[:3], FIVE[:3], FIVE[:3], FIVE[:3]], None),
        ([ONE, FIVE, FIVE[:4]], "still rose, from 1.5 to 5.5"),  # the last four games and the ten before are now
        ([ONE[:2], ONE[:2], ONE[:2], FIVE, [], FIVE[:5]], None),
        ([ONE[:2], ONE[:2], ONE[:2]], "only 6 training games have ended, and scores are compared over two times 5"),
        ([[], [], []], "only 0 training games have ended"),
    ],
)
def test_scores_that_rose_and_rise_no_more_speak_for_a_freeze(intervals, doubt):
    doubts = games.trend([stretch(interval) for interval in intervals]).doubts()
    assert doubts == [] if doubt is None else (len(doubts) == 1 and doubt in doubts[0])


def final(folder):
    """What a finished run leaves: arrays, values, replay."""
    saved = checkpoint.newest(folder / "checkpoint")
    values = json.loads(json.dumps(saved.values))
    for entry in ("metrics_bytes", "meters", "sha256", "segments"):
        values.pop(entry)
    values["trainer"].pop("rss_around_freeze")
    for name in ("seconds", "peak_extra_bytes"):
        values["trainer"]["freeze_report"].pop(name)
    arrays = {name: np.array(array) for name, array in saved.arrays.items()}
    large = raw_arrays(saved.place)
    rows = large["rows"].view(row_dtype(latent_field((256,), "float32"), SPEC.action))
    raw = {name: rows[name].tobytes() for name in rows.dtype.names}  # the padding between rows may differ
    return arrays, values, raw | {"priorities": large["priorities"].tobytes()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that freezes by itself. To be read only."""
    folder = tmp_path_factory.mktemp("auto") / "run"
    train.train(auto(**STILL)[0], folder, quiet=True)
    return folder


def test_it_freezes_once_the_stem_is_calm_and_games_score_more_but_no_longer_rise(whole):
    config, every = auto(**STILL)
    freeze = json.loads((whole / "summary.json").read_text())["freeze"]
    assert (freeze["step"], freeze["chosen_by"]) == (LEARN_START + 3 * every, "settled")
    assert freeze["step"] < config.run.freeze_by
    assert freeze["why"].startswith(f"the stem was calm over 2 intervals of {every} steps, SVCCA conv1 ")
    assert freeze["why"].endswith("training games scored 1, before that 1, at the beginning -0.7143")  # 30 lost, 5 won
    ledger = json.loads((whole / "summary.json").read_text())["budget"]["ledger"]["settling"]
    assert ledger["planned"] == make_plan(config, SPEC).checks.nbytes
    assert ledger["measured"] == 0  # the windows are let go
    lines = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    calm = {line["step"]: line["settling/calm_intervals"] for line in lines if "settling/calm_intervals" in line}
    assert calm == {LEARN_START + n * every: n - 1 for n in (1, 2, 3)}
    assert Policy(whole).frozen_at == freeze["step"]


@pytest.mark.long
def test_the_forecast_of_a_run_that_froze_early_is_that_of_its_freeze(tmp_path):
    config, every = auto(**STILL, device="pi_4_4gb")
    settled = train.train(config, tmp_path / "auto", quiet=True)
    given = configure(**SETTINGS | STILL | {"device": "pi_4_4gb", "steps": config.run.steps}
                      | {"freeze_at": LEARN_START + 3 * every})  # fmt: skip
    assert settled["freeze"]["step"] == given.run.freeze_at
    assert settled["forecast"] == train.train(given, tmp_path / "given", quiet=True)["forecast"]


def test_a_resumed_run_is_the_uninterrupted_one(whole, tmp_path):
    """Stopped at a check, between two, and at the freeze."""
    config, every = auto(**STILL)
    first, freeze = LEARN_START + every, LEARN_START + 3 * every
    for number, step in enumerate((first, first + 7, freeze)):
        with stopped_after(step):
            stopped = train.train(config, tmp_path / "parts", resume=number > 0, quiet=True)
        assert (stopped["status"], stopped["steps"]) == ("interrupted", step)
    train.train(config, tmp_path / "parts", resume=True, quiet=True)
    (arrays, values, raw), (again, values_again, raw_again) = final(whole), final(tmp_path / "parts")
    assert arrays.keys() == again.keys()
    assert [name for name in arrays if not np.array_equal(arrays[name], again[name])] == []
    assert values == values_again
    assert raw == raw_again
    assert logged(whole) == logged(tmp_path / "parts")


@pytest.mark.long
def test_the_run_is_the_one_that_was_told_to_freeze_at_that_step(whole, tmp_path):
    config, every = auto(**STILL)
    given = configure(**SETTINGS | STILL | {"freeze_at": LEARN_START + 3 * every, "steps": config.run.steps})
    found = train.train(given, tmp_path / "run", quiet=True)
    assert (found["freeze"]["chosen_by"], found["freeze"]["why"]) == ("freeze_at", None)
    (arrays, values, raw), (again, values_again, raw_again) = final(whole), final(tmp_path / "run")
    assert all(np.array_equal(arrays[name], again[name]) for name in arrays.keys() | again.keys())
    assert (values["agent"], values["replay"], raw) == (values_again["agent"], values_again["replay"], raw_again)


def test_at_the_latest_step_it_freezes_and_says_what_spoke_against_it_before(tmp_path, capfd):
    config, _ = auto(env="rising:Level", **STILL)
    freeze = train.train(config, tmp_path / "run")["freeze"]
    assert (freeze["step"], freeze["chosen_by"]) == (config.run.freeze_by, "freeze_by")
    assert freeze["why"] == (
        f"{config.run.freeze_by:,} is the latest step: training games scored -1, at the beginning -1"
    )
    assert f"step {freeze['step']:,}: freezing now, as {freeze['why']}" in capfd.readouterr().err


TOY = {"env": "toy/catch", "budget": 3_000_000, "threads": 1}
REFUSED = {
    "beyond the run": ({"freeze_at": "auto", "freeze_by": 500, "steps": 500}, "--freeze-by: 500 is not within the run"),
    "the preset's beyond the run": ({"freeze_at": "auto", "steps": 700}, "--freeze-by: 1000 is not within the run"),
    "no auto": ({"freeze_at": "700", "freeze_by": 500}, "--freeze-by: 500 is the latest step of --freeze-at auto"),
    "no room for checks": ({"freeze_at": "auto", "freeze_by": 300}, "--freeze-by: 300 leaves --freeze-at auto no room"),
    "before learning": ({"freeze_at": "auto", "freeze_by": 20}, "--freeze-by: 20 comes before the first update"),
    "no such word": ({"freeze_at": "soon"}, "--freeze-at: 'soon' is neither a whole number nor auto nor never"),
    "too few rows": (
        {"freeze_at": "auto", "steps": 5000, "freeze_by": 2000, "budget": 400_000},
        "--freeze-at: auto compares the stem on 64 windows",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused_in_one_line(case):
    options, message = REFUSED[case]
    with pytest.raises(ConfigError) as caught:
        make_plan(started(TOY | {"steps": 3000} | options, None, [])[0], suites.describe("toy/catch"))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_the_refusal_says_is_enough():
    with pytest.raises(ConfigError) as caught:
        make_plan(configure(**TOY, steps=3000, freeze_at="auto", freeze_by=300), suites.describe("toy/catch"))
    least = int(str(caught.value).split("give ")[1].split()[0])
    for latest, enough in ((least, True), (least - 1, False)):
        config = configure(**TOY, steps=3000, freeze_at="auto", freeze_by=latest)
        if enough:
            checks = make_plan(config, suites.describe("toy/catch")).checks
            assert checks.first + 2 * checks.every < latest
        else:
            with pytest.raises(ConfigError, match="leaves --freeze-at auto no room"):
                make_plan(config, suites.describe("toy/catch"))


def test_the_preset_gives_the_latest_step_and_the_plan_counts_on_it(program):
    config = configure(env="atari/qbert", freeze_at="auto")
    assert (config.run.freeze_at, config.run.freeze_by, config.run.latest_freeze) == ("auto", 100_000, 100_000)
    reports = []
    for freeze_at in ("auto", "100000"):
        code, out, _ = program("plan", "--env", "atari/qbert", "--freeze-at", freeze_at, "--json")
        assert code == 0
        reports.append(json.loads(out))
    chosen, given = (report[0] if isinstance(report, list) else report for report in reports)
    assert chosen["flops"] == given["flops"]
    assert (chosen["checks"]["first"], given["checks"]) == (1600 + 9840, None)
    assert chosen["bytes"]["ledger"].pop("settling") == chosen["checks"]["nbytes"] < 3.2e6
    assert chosen["bytes"]["ledger"] == given["bytes"]["ledger"]
    said = program("plan", "--env", "atari/qbert", "--freeze-at", "auto")[1]
    assert "frozen at 100,000" in said
    assert "earlier if the stem is settled, which is checked every 9,840 steps" in " ".join(said.split())
