"""`edgerl devices`, and what --device takes elsewhere."""

import json
from pathlib import Path

import pytest

from edgerl.config import resolve
from edgerl.errors import ConfigError
from edgerl.experiments.calibration import calibrate
from edgerl.planning import limits

BOARD = """
title = "My [bold]board[/] :smile:"
platform = "linux"
source = "measured here"
kind = "unverified"
clusters = [{ core = "Cortex-A55", count = 1, clock = 2.0, flop_per_cycle = 8 }]
application = { value = 3, unit = "GiB" }
modes.eco.power = { value = 3, unit = "W", source = "its manual", kind = "sourced" }
"""


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    """The user's own folder of profiles; the working folder has my_board.toml."""
    folder = tmp_path / "config" / "edgerl" / "devices"
    folder.mkdir(parents=True)
    (tmp_path / "my_board.toml").write_text(BOARD)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def shown(program):
    """What `edgerl devices ARGS` prints."""

    def call(*arguments):
        code, out, err = program("devices", *arguments)
        assert (code, err) == (0, [])
        return out

    return call


@pytest.mark.parametrize("width", [80, 100, 200])
def test_the_list_fits_with_boards_before_phones(width, shown, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    lines = shown().splitlines()
    table = lines[: lines.index("")]
    assert len(table) == 1 + 28 + 2  # a heading, one line a device, two groups
    assert max(len(line.rstrip()) for line in lines) <= width
    assert not any("…" in line for line in lines)
    names = [line.split()[0] for line in table]
    assert names.index("boards") < names.index("jetson_nano") < names.index("phones") < names.index("pixel_6")
    nano = next(line for line in table if line.startswith("jetson_nano "))
    assert ("Jetson Nano 4GB" in nano) == (width > 100)
    copy = "3.7 " if width > 100 else ""
    assert " ".join(nano.split()).endswith(f" unverified 4 3.651 GB 47 d {copy}10 5w")


def test_the_list_has_the_users_own_and_names_what_it_passes_over(program, own, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    (own / "lab.toml").write_text(BOARD)
    (own / "jetson_nano.toml").write_text(BOARD)
    (own / "raspberry_pi_4.toml").write_text(BOARD)
    (own / "broken.toml").write_text("title = 3")
    code, out, err = program("devices")
    assert code == 0
    assert "your own" in out
    assert out.count("lab ") == 1
    assert "My [bold]board[/] :smile:" in out
    assert err == [
        f"edgerl: passed over: {own / 'broken.toml'}: missing key 'platform'",
        f"edgerl: passed over: {own / 'jetson_nano.toml'}: the catalogue has a device of this name; "
        "name the file otherwise",
        f"edgerl: passed over: {own / 'raspberry_pi_4.toml'}: the catalogue has a device of this name; "
        "name the file otherwise",
    ]


def test_the_list_as_json(shown, own):
    (own / "lab.toml").write_text(BOARD)
    found = {each["name"]: each for each in json.loads(shown("--json"))}
    assert len(found) == 29
    assert found["pixel_6"]["possible"]["what"] == "acts only"
    assert found["lab"]["possible"] is None
    assert found["jetson_tx2"]["application_bytes"] is None
    assert found["jetson_nano"]["application_bytes"] == 3_650_722_201
    assert found["lab"]["application"] == {"value": 3, "unit": "GiB", "source": "measured here", "kind": "unverified"}


@pytest.mark.parametrize("width", [80, 100, 200])
def test_a_device_is_shown_with_every_number_its_kind_and_source(width, shown, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    out = shown("show", "Orin_Nano_8GB")
    assert out.startswith("orin_nano_8gb: Jetson Orin Nano 8GB, linux\n")
    assert max(len(line.rstrip()) for line in out.splitlines()) <= width
    assert "…" not in out
    rows = {line.split()[0]: line.split() for line in reversed(out.splitlines()) if line.strip()}
    assert rows["application"][:6] == ["application", "5.4", "GiB", "sourced", "sbc-bench", "4vy7"]
    assert rows["cores"][:8] == ["cores", "6", "x", "Cortex-A78AE", "at", "1.51", "GHz", "sourced"]
    assert rows["cpu_peak"][1:4] == ["145", "GFLOP/s", "derived"]
    assert out.index("\n7w") < out.index("0.408 GHz") < out.index("\n25w") < out.index("\nmaxn_super")
    assert out.endswith("unknown: gpu_clock, gpu_fp16\n")


def test_a_power_mode_is_shown_with_what_is_unknown_in_it(shown):
    out = shown("show", "./my_board.toml:ECO")
    assert out.startswith("my_board:eco: My [bold]board[/] :smile:, linux\n")
    assert "its manual" in out
    assert "unknown: cores, ram, cpu_peak" in out


def test_a_device_as_json(shown):
    found = json.loads(shown("show", "jetson_tx2", "--json"))
    assert [cluster["core"] for cluster in found["clusters"]] == ["Cortex-A57", "Denver 2"]
    assert (found["cores"], found["threads"], found["application"], found["fill"]) == (6, 6, None, None)
    assert found["ram"]["source"] == "tegrastats, 7846 MB in all"
    assert [mode["name"] for mode in found["modes"]] == ["jetson_tx2:maxq", "jetson_tx2:maxp"]
    assert found["modes"][0]["power"]["value"] == 7.5
    assert json.loads(shown("show", "jetson_tx2:maxq", "--json")) == found["modes"][0]


@pytest.mark.parametrize("width", [80, 100, 200])
def test_devices_side_by_side(width, shown, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    names = ("pi_zero_2_w", "jetson_nano", "jetson_nano:5w", "orin_nano_8gb:maxn_super")
    out = shown("compare", *names)
    assert max(len(line.rstrip()) for line in out.splitlines()) <= width
    assert all(name in out for name in names)
    assert "…" not in out
    cells = [line.split() for line in out.splitlines() if line.startswith("application")]
    assert cells[0][:6] == ["application", "345.0", "MB", "3.651", "GB", "10.58"]  # MiB and GiB
    assert len(cells) == (1 if width == 200 else 2)


@pytest.mark.parametrize("width", [80, 200])
def test_the_list_says_of_every_device_what_is_possible(width, shown, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    lines = {line.split()[0]: line for line in shown().splitlines() if line.strip()}
    for name, what in (("jetson_nano", "unverified"), ("pi_4_8gb", "trains"), ("iphone_15", "acts only")):
        assert f" {what} " in lines[name]
    assert "acts only: it runs a policy that another machine trained" in lines["possible:"]


def test_a_device_is_shown_with_what_is_possible_and_why(shown):
    heading, possible, *_ = shown("show", "jetson_nano:5w").splitlines()
    assert heading == "jetson_nano:5w: Jetson Nano 4GB, linux"
    assert possible.startswith("unverified: JetPack 4 has glibc 2.27")
    line = next(line for line in shown("compare", "pi5_4gb", "pixel6").splitlines() if line.startswith("possible"))
    assert line.split() == ["possible", "trains", "acts", "only"]
    assert "possible" not in shown("compare", "./my_board.toml", "./my_board.toml:eco")


def test_what_is_unknown_has_no_ratio(shown):
    copy, power = (
        line.split()
        for line in shown("compare", "jetson_nano", "jetson_tx2:maxq").splitlines()
        if line.startswith(("copy", "power"))
    )
    assert copy == ["copy,", "GB/s", "3.7", "-"]
    assert power == ["power,", "W", "10", "7.5", "0.75"]


BAD = {
    "an unknown device": (["devices", "show", "nona"], "known: jetson_nano, jetson_nano_2gb"),
    "a name of several": (["devices", "show", "pi4"], "'pi4' may be any of pi_4_1gb, pi_4_2gb, pi_4_4gb, pi_4_8gb"),
    "a run's name of several": (
        ["train", "--device", "pi_5", "--env", "toy/catch", "--out", "run"],
        "--device: 'pi_5'",
    ),
    "an unknown mode": (["devices", "show", "jetson_nano:6w"], "it has 5w"),
    "a file that is not there": (["devices", "show", "./none.toml"], "none.toml: does not exist"),
    "a malformed file": (["devices", "compare", "jetson_nano", "bad.toml"], "bad.toml: is not TOML"),
    "one device to compare": (["devices", "compare", "jetson_nano"], "two devices"),
    "an option before its command": (["devices", "--json", "show", "jetson_nano"], "give it after show"),
    "an unknown command": (["devices", "jetson_nano"], "No such command"),
    "a plan's mode": (["plan", "--device", "jetson_nano", "--device", "jetson_nano:6w"], "--device: "),
    "a plan's file": (["plan", "--device", "./bad.toml"], "--device: bad.toml: is not TOML"),
    "a run's file": (["train", "--device", "bad.toml", "--env", "toy/catch", "--out", "run"], "--device: bad.toml"),
    "a run's mode": (["train", "--device", "pixel_6:5w", "--env", "toy/catch", "--out", "run"], "it has none"),
    "a sweep's file": (["sweep", "--device", "bad.toml", "--env", "toy/catch", "--out", "run"], "--device: bad.toml"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_one_line_and_exit_code_2(case, program):
    arguments, says = BAD[case]
    Path("bad.toml").write_text("title = a board\n")
    code, out, err = program(*arguments)
    assert (code, out, len(err)) == (2, "", 1)
    assert err[0].startswith("edgerl: ")
    assert says in err[0]
    assert not Path("run").exists()


def started(**given):
    return resolve.started({"env": "toy/catch"} | given, None, [])


def test_a_run_has_the_modes_cores_and_the_files_absolute_path(tmp_path, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: range(64), raising=False)
    assert started(device="Jetson_Nano")[0].run.threads == 4
    config, notes = started(device="JETSON_NANO:5W")
    assert (config.run.device, config.run.threads, notes) == ("jetson_nano:5w", 2, [])
    assert limits.process_limit(config)[0] <= int(3.4 * 2**30)
    config, notes = started(device="./my_board.toml:Eco")
    assert (config.run.device, config.run.threads) == (f"{tmp_path / 'my_board.toml'}:eco", 1)
    monkeypatch.chdir("/")
    assert limits.process_limit(config)[0] <= 3 * 2**30  # as at a resume from another folder
    (tmp_path / "my_board.toml").unlink()
    with pytest.raises(ConfigError, match=r"my_board.toml: does not exist"):
        limits.process_limit(config)


def test_a_name_of_before_is_todays_in_a_new_run_and_stays_in_an_old_one(program):
    small = ["--env", "toy/catch", "--budget", "1.5MB", "--set", "replay.learn_start=30", "--freeze-at", "never"]
    train = ["train", *small, "--threads", "1", "--quiet", "--eval-every", "0"]
    assert program(*train, "--device", "raspberry_pi_5", "--steps", "40", "--out", "run")[0] == 0
    settings = Path("run/config.toml").read_text().partition("\n")[2]  # those of before had no seal
    assert 'device = "pi_5_16gb"' in settings
    Path("run/config.toml").write_text(settings.replace("pi_5_16gb", "raspberry_pi_5"))  # as a run on record has it
    assert program("train", "--resume", "run", "--quiet", "--steps", "50") == (0, "", [])
    summary = json.loads(Path("run/summary.json").read_text())
    assert (summary["steps"], summary["device"]) == (50, "raspberry_pi_5")
    assert summary["memory"]["limit_bytes"] <= 15 * 2**30
    assert summary["forecast"]["hours"] is not None


@pytest.mark.parametrize("title", ["", " ", "two\nlines", "caf\udce9"])
def test_a_title_that_no_profile_can_have_is_refused_before_anything_is_measured(title, program, monkeypatch):
    monkeypatch.setattr(calibrate, "measure", lambda *_: pytest.fail("it measured"))
    code, _, (line,) = program("devices", "calibrate", "--out", "t.toml", "--title", title)
    assert (code, line.startswith("edgerl: --title: ")) == (2, True)
    assert line.endswith(" is not one line of text that is not empty")
    assert not Path("t.toml").exists()


def test_a_phone_at_a_workstation_trains_without_a_word():
    assert started(device="pixel_6")[1] == []


def test_a_device_whose_share_is_unknown_sets_no_limit_and_says_so(program):
    config, notes = started(device="orin_nx_16gb")
    assert config.run.process_limit is None
    assert [note for note in notes if "orin_nx_16gb" in note and "--process-limit" in note] == notes != []
    assert started(device="orin_nx_16gb", process_limit="1GB")[1] == []
    code, out, _ = program("plan", "--device", "orin_nx_16gb", "--device", "./my_board.toml:eco")
    assert code == 0
    assert "no limit known" in out
    assert "my_board:eco" in out
