"""Forecasts: bounds from published points, unknowns that stay unknown, and a calibration that gives its times back."""

import dataclasses
import json
import math
import subprocess
import sys
import tomllib

import pytest

import device_profiles
import edgerl
from edgerl.agents import engine_choice
from edgerl.envs import suites
from edgerl.experiments.calibration import calibrate
from edgerl.planning import forecast, plan, plan_report, workload
from edgerl.planning.forecast import Band
from edgerl.planning.workload import Work
from edgerl.replay import representation
from edgerl.types import Phases

POINTS = device_profiles.points()


def planned(env="atari/qbert", **settings):
    config = edgerl.configure(env=env, budget="0.07GB", **settings)
    spec = suites.describe(env)
    return config, plan.make_plan(config, spec), representation.pixels(spec, config.replay).shape


def made(name, **settings):
    return forecast.forecast(*planned(**settings), device_profiles.load(name))


@pytest.mark.parametrize("point", POINTS, ids=[point.name for point in POINTS])
def test_each_published_point_lies_where_the_others_say(point):
    low, high = forecast.efficiency(point.kind, without=point.name)
    assert low <= point.efficiency <= high


def test_bounds_of_training_say_something():
    low, high = forecast.efficiency("training")
    assert 0.1 < low < 0.2 < high < 0.4


def test_points_are_of_devices_in_the_catalogue():
    for point in POINTS:
        assert device_profiles.load(point.device).cpu_peak is not None
        assert point.kind in ("training", "inference")


def test_what_boards_copy_of_their_bandwidth_lies_within_what_is_assumed():
    profiles = [device_profiles.load(name) for name in device_profiles.names()]
    shares = [each.copy.value / each.bandwidth.value for each in profiles if each.copy and each.bandwidth]
    assert len(shares) > 5
    low, high = forecast.COPIED
    assert low <= min(shares)
    assert max(shares) <= high
    assert min(shares) < 1.2 * low
    assert high < 1.2 * max(shares)


def test_a_forecast_adds_its_phases_up():
    found = made("jetson_nano")
    for end in ("low", "high"):
        assert found["hours"][end] == pytest.approx(sum(each[end] for each in found["phases"].values()))
        assert found["joules"][end] == pytest.approx(found["hours"][end] * 3600 * 10)  # watts
    assert 0 < found["hours"]["low"] < found["hours"]["high"]
    assert found["phases"]["updating before T_f"]["low"] > found["phases"]["acting before T_f"]["high"]


def test_what_a_profile_does_not_know_is_none():
    assert made("pi_zero_2_w")["joules"] is None  # no watts are known
    assert made("pi_zero_2_w")["hours"] is not None
    bare = dataclasses.replace(device_profiles.load("jetson_nano"), cpu_peak=None, clusters=())
    unknown = {"hours": None, "joules": None, "phases": None}
    assert forecast.forecast(*planned(), bare) == unknown
    assert forecast.forecast(*planned(), None) == unknown
    assert "unknown" in forecast.line(unknown, "bare")


def test_a_slower_device_takes_longer_and_less_work_takes_less():
    nano, slow = made("jetson_nano"), made("jetson_nano:5w")
    assert slow["hours"]["low"] > nano["hours"]["low"]
    orin = made("orin_nano_8gb")
    assert orin["hours"]["high"] < nano["hours"]["high"]
    assert made("jetson_nano", steps=100_000, freeze_at=50_000)["hours"]["high"] < nano["hours"]["low"]


def test_an_earlier_freeze_is_forecast_to_be_faster():
    early, late = (made("raspberry_pi_4", freeze_at=at) for at in (50_000, 400_000))
    assert all(early["hours"][end] < 0.7 * late["hours"][end] for end in ("low", "high"))


def test_so_far_grows_to_the_whole():
    given = planned(steps=20_000, freeze_at=10_000)
    profile = device_profiles.load("jetson_nano")
    hours = [forecast.forecast(*given, profile, steps)["hours"]["high"] for steps in (0, 5000, 10_000, 15_000, 20_000)]
    assert hours == sorted(hours)
    assert hours[-1] == pytest.approx(forecast.forecast(*given, profile)["hours"]["high"])
    assert "jetson_nano" in forecast.so_far(*given, profile, 5000)
    assert forecast.so_far(*given, None, 5000) == ""


def test_time_is_the_slower_of_computing_and_moving_and_the_calls():
    rates = forecast.Rates(
        training=Band(1e9, 2e9),
        acting=Band(5e8, 1e9),
        inference=Band(4e9, 4e9),
        memory=Band(1e6, 1e6),
        call=Band(1e-6, 2e-6),
        write=Band(10.0, math.inf),
        step=Band(0.5, 1.0),
    )
    assert forecast.seconds(Work(trained=1e9), rates) == Band(1.0, 2.0)  # two operations a multiply-add
    assert forecast.seconds(Work(acted=1e9), rates) == Band(2.0, 4.0)
    assert forecast.seconds(Work(inferred=1e9), rates) == Band(0.5, 0.5)
    assert forecast.seconds(Work(trained=1e9, moved=1.5e6), rates) == Band(1.5, 2.0)
    assert forecast.seconds(Work(calls=1e6), rates) == Band(1.0, 2.0)
    assert forecast.seconds(Work(written=20), rates) == Band(0.0, 2.0)
    assert forecast.seconds(Work(simulated=4), rates) == Band(2.0, 4.0)
    unknown = dataclasses.replace(rates, step=None)
    assert forecast.seconds(Work(simulated=4), unknown) == Band(0.0, 0.0)


def test_durations_are_told_in_the_unit_that_suits():
    assert forecast.duration({"low": 0.005, "high": 0.01}) == "18 to 36 s"
    assert forecast.duration({"low": 0.1, "high": 0.5}) == "6 to 30 min"
    assert forecast.duration({"low": 2.06, "high": 6.03}) == "2.1 to 6 h"
    assert forecast.duration({"low": 159, "high": 399}) == "6.6 to 17 days"
    assert forecast.duration({"low": 2.0, "high": 2.0}) == "2 h"


def test_plan_answers_for_several_devices_without_torch():
    program = (
        "import json, sys\n"
        "from edgerl.commands import app\n"
        "sys.argv = ['edgerl', 'plan', '--budget', '0.07GB', '--env', 'atari/qbert', '--json',\n"
        "            '--device', 'jetson_nano', '--device', 'pi_zero_2_w', '--device', 'pixel_6']\n"
        "try:\n"
        "    app.main()\n"
        "finally:\n"
        "    assert 'torch' not in sys.modules\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    nano, zero, pixel = json.loads(ran.stdout)
    assert [each["fits"] for each in (nano, zero, pixel)] == [True, True, True]
    assert all(each["hours"]["low"] < each["hours"]["high"] for each in (nano, zero, pixel))
    assert zero["joules"] is None
    assert nano["advice"]["largest_budget"] > 3e9
    assert 0.15e9 < zero["advice"]["largest_budget"] < 0.25e9


def test_the_largest_budget_fits_and_a_larger_one_does_not():
    config, spec = edgerl.configure(env="atari/qbert", budget="0.07GB"), suites.describe("atari/qbert")
    largest = plan_report.report(config, spec, "raspberry_pi_4")["advice"]["largest_budget"]
    for budget, fits in ((largest, True), (int(1.1 * largest), False)):
        given = dataclasses.replace(config, run=dataclasses.replace(config.run, budget=budget))
        assert plan_report.report(given, spec, "raspberry_pi_4")["fits"] is fits


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    """A profile as `edgerl devices calibrate` writes it, of one algorithm and measured for a shorter time."""
    folder = tmp_path_factory.mktemp("calibrated")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibrate, "ENVS", {"rainbow": "atari/qbert"})
        patch.setattr(calibrate, "SECONDS", Phases(0.3, 0.3))
        patch.setattr(calibrate, "BLOCK", 2**22)
        said = []
        table = calibrate.measure("a machine", 1, folder, said.append)
    assert not [line for line in said if "not measured" in line]
    return table


def test_a_calibration_is_a_profile_and_knows_what_it_measured(calibrated):
    profile = device_profiles.parse("mine", calibrated)
    assert profile.copy.kind == "measured"
    assert profile.possible.what == "trains"
    assert 50e6 < profile.calibrated["libraries"].bytes < 2e9
    assert profile.application.bytes <= profile.ram.bytes
    found = forecast.forecast(*planned(), profile)
    assert found["hours"]["high"] == pytest.approx(found["hours"]["low"] * forecast.CALIBRATION_ERROR**2, rel=0.05)
    assert found["phases"]["environment"]["low"] > 0
    assert found["joules"] is None
    assert forecast.forecast(*planned(algo="dqn"), profile)["hours"] is not None  # by Rainbow's rates
    assert forecast.forecast(*planned("dmc/walker-walk"), profile)["hours"] is None  # CURL was not measured


@pytest.mark.long
def test_without_torch_what_it_would_train_is_left_out(tmp_path, monkeypatch):
    for module in (calibrate, engine_choice):
        monkeypatch.setattr(module, "has_torch", lambda: False)
    for name, value in {"ENVS": {"curl": "dmc/walker-walk"}, "BLOCK": 2**20, "SECONDS": Phases(0.1, 0.1)}.items():
        monkeypatch.setattr(calibrate, name, value)
    monkeypatch.setattr(calibrate, "baseline", lambda: 100_000_000)
    said = []
    found = calibrate.measure("a machine", 1, tmp_path, said.append)["calibrated"]
    assert [line for line in said if "not measured before it, as torch is not installed" in line]
    rates = {name for name in found if name.startswith("curl_")}
    assert rates == {"curl_training_after", "curl_acting_after", "curl_encoding"}


def test_a_calibrated_forecast_gives_the_measured_times_back():
    config, found, window = planned(threads=1)
    units = workload.step_work(config, found, window)
    timed = calibrate.PartTimes(
        units, update=Phases(0.05, 0.02), act=Phases(0.002, 0.001), encode=0.0015, simulate=0.001
    )
    call, rates = calibrate.rates({"rainbow": timed}, 8e9)
    numbers = {"call": {"value": 1e6 * call, "unit": "us"}}
    numbers |= {f"rainbow_{part}": {"value": rate / 1e9, "unit": "GFLOP/s"} for part, rate in rates["rainbow"].items()}
    table = {"title": "a machine", "platform": "linux", "source": "here", "kind": "measured"}
    table |= {"clusters": [{"core": "x", "count": 1}], "calibrated": numbers}
    before, after = forecast.device_rates(device_profiles.parse("mine", table), config, window)
    for work_done, its, took in (
        (units[0].updating, before, 0.05),
        (units[1].updating, after, 0.02),
        (units[0].acting, before, 0.002),
        (units[1].acting, after, 0.001),
        (units[1].encoding, after, 0.0015),
    ):
        low, high = forecast.seconds(work_done, its)
        assert math.sqrt(low * high) == pytest.approx(took, rel=0.01)


def test_calibrate_writes_a_profile_or_says_why_not(tmp_path, monkeypatch, capsys):
    from edgerl.commands import app

    def edgerl_devices(*words):
        monkeypatch.setattr(sys, "argv", ["edgerl", "devices", "calibrate", *words])
        with pytest.raises(SystemExit) as left:
            app.main()
        return left.value.code, capsys.readouterr()

    for name, value in {"ENVS": {}, "BLOCK": 2**20, "SECONDS": Phases(0.1, 0.1)}.items():
        monkeypatch.setattr(calibrate, name, value)
    monkeypatch.setattr(calibrate, "baseline", lambda: 300_000_000)
    out = tmp_path / "mine.toml"
    code, printed = edgerl_devices("--out", str(out))
    assert not code
    assert str(out) in printed.out
    assert device_profiles.load(str(out)).copy.value == tomllib.loads(out.read_text())["copy"]["value"]
    for words, complaint in (
        (["--out", str(out)], "is there already"),
        (["--out", str(tmp_path / "mine.txt")], "does not end in .toml"),
        (["--out", str(tmp_path / "none" / "mine.toml")], "there is no folder"),
        (["--out", str(tmp_path / "two.toml"), "--threads", "0"], "below 1"),
    ):
        code, printed = edgerl_devices(*words)
        assert code == 2
        assert complaint in printed.err
        assert printed.err.count("\n") == 1
