"""The control group's memory limit, in every layout that Linux and containers show; and that a run obeys it."""

import pytest

import edgerl
from edgerl.config import resolve
from edgerl.errors import ConfigError
from edgerl.planning import limits as planned_limits
from memory_budget import limits

UNLIMITED_V1 = "9223372036854771712"  # 2^63 less one page: what v1 shows where nobody set a limit
HYBRID = "12:pids:/a/b\n4:memory:/a/b\n1:name=systemd:/a/b\n0::/a/b"

# membership file, files below /sys/fs/cgroup, the limit that is found
LAYOUTS = {
    "its own group's": ("0::/a/b", {"a/b/memory.max": "500"}, 500),
    "only a parent's": ("0::/a/b", {"a/b/memory.max": "max", "a/memory.max": "300"}, 300),
    "only a parent's, the own group has no such file": ("0::/a/b", {"a/memory.max": "300"}, 300),
    "the tightest of several ancestors": (
        "0::/a/b/c",
        {"a/memory.max": "700", "a/b/memory.max": "200", "a/b/c/memory.max": "900"},
        200,
    ),
    "that at which the group is throttled, below its hard one": (
        "0::/a",
        {"a/memory.max": "500", "a/memory.high": "400"},
        400,
    ),
    "the hard one, where it is never throttled": (
        "0::/a",
        {"a/memory.max": "500", "a/memory.high": "max"},
        500,
    ),
    "none": ("0::/a/b", {"a/b/memory.max": "max", "a/b/memory.high": "max", "a/memory.max": "max"}, None),
    "no file at all": ("0::/a/b", {}, None),
    "not a sibling's or a child's": ("0::/a/b", {"a/c/memory.max": "1", "a/b/c/memory.max": "2"}, None),
    "a container's, that sees itself as the root": ("0::/", {"memory.max": "600"}, 600),
    "a container's, that sees the host's path": ("0::/docker/7f3a", {"memory.max": "600"}, 600),
    "v1": ("4:memory:/a", {"memory/a/memory.limit_in_bytes": "250", "memory/memory.limit_in_bytes": UNLIMITED_V1}, 250),
    "v1, a parent's": (
        "4:memory:/a/b",
        {"memory/a/b/memory.limit_in_bytes": UNLIMITED_V1, "memory/a/memory.limit_in_bytes": "150"},
        150,
    ),
    "v1 without one": ("4:memory:/a", {"memory/a/memory.limit_in_bytes": UNLIMITED_V1}, None),
    "v1, a container's, that sees the host's path": (
        "4:memory:/docker/7f3a",
        {"memory/memory.limit_in_bytes": "350"},
        350,
    ),
    "v1, beside another controller": ("4:cpu,memory:/a", {"memory/a/memory.limit_in_bytes": "250"}, 250),
    "not that of another controller": (
        "4:cpu:/a\n1:name=memory:/a",
        {"memory/a/memory.limit_in_bytes": "9"},
        None,
    ),
    "v1's in a hybrid": (HYBRID, {"memory/a/b/memory.limit_in_bytes": "450"}, 450),
    "the tighter in a hybrid": (HYBRID, {"memory/a/b/memory.limit_in_bytes": "450", "a/memory.max": "440"}, 440),
    "none in a hybrid": (HYBRID, {"memory/a/b/memory.limit_in_bytes": UNLIMITED_V1, "pids/a/b/pids.max": "9"}, None),
    "nothing above the file system": ("0::/../../x", {"../memory.max": "7", "../x/memory.max": "8"}, None),
    "nothing outside, seen from a sibling": ("0::/../x", {"../x/memory.max": "8", "x/memory.max": "9"}, None),
    "the root's, seen from a sibling": ("0::/../x", {"../x/memory.max": "8", "memory.max": "90"}, 90),
    "with spaces and colons in the path": ("0::/a b/c:d (deleted)", {"a b/c:d (deleted)/memory.max": "55"}, 55),
    "lines that are none are passed over": ("\nmemory\n4:memory\n::\n0::/a\n7", {"a/memory.max": "60"}, 60),
    "an empty membership file": ("", {"memory.max": "5"}, None),
    "what is no number is none": ("0::/a/b", {"a/b/memory.max": "NaN", "a/memory.max": "", "memory.max": "5e9"}, None),
    "the readable one beside what is no number": ("0::/a/b", {"a/b/memory.max": "\x00", "a/memory.max": "70"}, 70),
}


@pytest.fixture
def shown(tmp_path, monkeypatch):
    """Have this process see these control groups: shown("0::/a", {"a/memory.max": "500"}); returns their root."""
    root, membership = tmp_path / "sys" / "cgroup", tmp_path / "membership"
    monkeypatch.setattr(limits, "_ROOT", root)
    monkeypatch.setattr(limits, "_MEMBERSHIP", membership)

    def make(lines, files):
        root.mkdir(parents=True)
        membership.write_text(lines)
        for name, text in files.items():
            file = root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text if text == "" else f"{text}\n")
        return root

    return make


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_limit_that_is_found(layout, shown):
    lines, files, expected = LAYOUTS[layout]
    shown(lines, files)
    assert limits.cgroup_bytes() == expected


@pytest.mark.parametrize(
    ("lines", "files", "expected"),
    [
        ("0::/a/b", {"a/b/cpu.max": "50000 100000"}, 0.5),
        ("0::/a/b", {"a/b/cpu.max": "max 100000", "a/cpu.max": "150000 100000"}, 1.5),
        ("0::/a/b", {"a/b/cpu.max": "300000 100000", "a/cpu.max": "20000 10000"}, 2.0),
        ("0::/docker/7f3a", {"cpu.max": "400000 100000"}, 4.0),
        ("4:cpu,cpuacct:/a", {"cpu/a/cpu.cfs_quota_us": "25000", "cpu/a/cpu.cfs_period_us": "100000"}, 0.25),
        ("4:cpu:/a", {"cpu/a/cpu.cfs_quota_us": "-1", "cpu/a/cpu.cfs_period_us": "100000"}, None),
        ("4:memory:/a", {"cpu/a/cpu.cfs_quota_us": "25000", "cpu/a/cpu.cfs_period_us": "100000"}, None),
        ("0::/a", {"a/cpu.max": "max"}, None),
        ("0::/a", {"a/cpu.max": "5 0"}, None),
        ("0::/a", {}, None),
    ],
)
def test_the_quota_of_cores_that_is_found(lines, files, expected, shown):
    shown(lines, files)
    assert limits.cgroup_cores() == expected


@pytest.mark.parametrize(("quota", "threads"), [("50000 100000", 1), ("290000 100000", 2), ("800000 100000", 4)])
def test_a_run_takes_no_more_threads_than_its_quota_has_cores(quota, threads, shown, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1, 2, 3})
    shown("0::/a", {"a/cpu.max": quota})
    config, notes = resolve.started({"env": "toy/catch"}, None, [])
    assert (config.run.threads, notes) == (threads, [])
    _, notes = resolve.started({"env": "toy/catch", "threads": 64}, None, [])
    assert notes == [f"--threads: 64 are more than the cores that this process may use, {threads}: slower"]


def test_without_a_membership_file_there_is_no_limit(shown):
    shown("0::/", {"memory.max": "5"})
    limits._MEMBERSHIP.unlink()
    assert limits.cgroup_bytes() is None


def test_a_group_whose_name_is_no_text(shown):
    root = shown("", {"memory.max": "80"})
    limits._MEMBERSHIP.write_bytes(b"0::/caf\xe9\n")
    assert limits.cgroup_bytes() == 80
    group = root / b"caf\xe9".decode(errors="surrogateescape")
    group.mkdir()
    (group / "memory.max").write_text("40\n")
    assert limits.cgroup_bytes() == 40


def test_a_limit_that_cannot_be_read_is_passed_over(shown):
    root = shown("0::/a", {"memory.max": "80"})
    (root / "a" / "memory.max").mkdir(parents=True)  # reading it fails, for root too
    (root / "a" / "memory.high").write_bytes(b"\xff\xfe")
    assert limits.cgroup_bytes() == 80


def test_the_real_control_group_can_be_read():
    found = limits.cgroup_bytes()
    assert found is None or 0 < found < 2**60


def test_the_smallest_limit_rules_and_is_named():
    assert limits.smallest(given=3, device=2, cgroup=5) == (2, "device")
    assert limits.smallest(given=None, device=None, cgroup=5) == (5, "cgroup")
    assert limits.smallest(given=0, device=None) == (0, "given")


def test_of_equal_limits_the_first_is_named():
    assert limits.smallest(given=4, device=4, cgroup=4) == (4, "given")
    assert limits.smallest(given=None, device=4, cgroup=4) == (4, "device")


def test_without_limits_nothing_is_named():
    assert limits.smallest(given=None, device=None) == (None, "")
    assert limits.smallest() == (None, "")


def settings(**changes):
    return resolve.started({"env": "toy/catch", "budget": "3MB", "threads": 1} | changes, None, [])[0]


def test_a_run_that_the_control_group_cannot_hold_is_refused_with_its_name(shown, tmp_path):
    shown("0::/box", {"box/memory.max": "100000000"})
    config = settings(device="jetson_nano", process_limit="2GB")
    assert planned_limits.process_limit(config) == (100_000_000, "the control group's memory limit")
    with pytest.raises(ConfigError, match=r"^the control group's memory limit: 100\.0 MB is ") as caught:
        edgerl.train(config, tmp_path / "run")
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    for line in ("libraries", "networks", "optimizer", "replay 3.0 MB", "scratch"):
        assert line in message
    assert not (tmp_path / "run").exists()


def test_a_replay_larger_than_the_control_group_is_refused_with_its_name(monkeypatch, tmp_path):
    monkeypatch.setattr(planned_limits, "cgroup_bytes", lambda: 300_000_000)
    with pytest.raises(ConfigError, match=r"--budget: 400\.0 MB .* the control group's memory limit .* 300\.0 MB"):
        edgerl.train(settings(budget="400MB"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("cgroup", [None, 2**40])
def test_the_device_rules_below_a_larger_control_group(monkeypatch, cgroup):
    monkeypatch.setattr(planned_limits, "cgroup_bytes", lambda: cgroup)
    assert planned_limits.process_limit(settings(device="jetson_nano")) == (int(3.4 * 2**30), "--device")
    given = settings(device="jetson_nano", process_limit="1GB")
    assert planned_limits.process_limit(given) == (10**9, "--process-limit")
    assert planned_limits.process_limit(settings()) == (cgroup, "the control group's memory limit" if cgroup else "")
