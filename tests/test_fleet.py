"""Several environments in processes of their own: what they draw, how they go on, how they fail and end."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress

import numpy as np
import psutil
import pytest
from waiting import FORKING, until

from edgerl.envs import suites
from edgerl.envs.base import EnvOptions
from edgerl.envs.fleet import remote
from edgerl.envs.fleet.fleet import Fleet
from edgerl.envs.fleet.wire import receive, send
from edgerl.errors import EnvError, EnvFailed

MINE = '''
"""toy/catch without a state of its own; it fails at a game's third step while there is a file `fail`."""
import os
from edgerl.envs.toy import Catch

class Mine:
    def __init__(self, rng):
        self.catch = Catch(rng)
        self.name, self.spec, self.actions, self.steps = "mine", self.catch.spec, 3, 0

    @property
    def window(self):
        return self.catch.window

    def reset(self):
        self.steps = 0
        return self.catch.reset()

    def step(self, action):
        self.steps += 1
        if self.steps == 3 and os.path.exists("fail"):
            os.remove("fail")
            raise RuntimeError("the robot fell over")
        return self.catch.step(action)
'''


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """The name of an environment of one's own, in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MINE)
    return "mine:Mine"


def fleet(name="toy/catch", count=2):
    return Fleet(name, EnvOptions(), count, np.random.default_rng(5))


def play(some, steps, seed=0):
    """Random steps; everything that came of them, as arrays."""
    rng, told = np.random.default_rng(seed), []
    for _ in range(steps):
        some.begin()
        told.append(some.windows)
        for window, *rest in some.step(rng.integers(some.actions, size=len(some))):
            told += [window, np.array(rest)]
    return told


def same(one, other):
    return len(one) == len(other) and all(map(np.array_equal, one, other))


def children():
    return [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]


def test_each_is_the_environment_that_its_own_generator_makes():
    some, rng = fleet(), np.random.default_rng(0)
    doors = [suites.make("toy/catch", own, training=True) for own in np.random.default_rng(5).spawn(2)]
    before = len(children())
    for _ in range(20):
        some.begin()
        for door in doors:
            if door._between:
                door.reset()
        assert np.array_equal(some.windows, np.stack([door.window for door in doors]))
        actions = rng.integers(3, size=2)
        for told, door, action in zip(some.step(actions), doors, actions.tolist(), strict=True):
            step = door.step(action)
            assert told[1:] == step[1:]
            assert np.array_equal(told.window, step.window)
    some.close()
    some.close()
    assert len(children()) == before - 2


@pytest.mark.parametrize("kind", ["toy/catch", "mine:Mine"])
def test_a_restored_fleet_goes_on_bit_for_bit(kind, mine):
    some = fleet(kind)
    play(some, 9)
    arrays, values = some.state()
    expected = play(some, 15, seed=1)
    some.close()
    some.open()
    assert some.restore(arrays, values) == {}
    assert same(play(some, 15, seed=1), expected)
    some.close()


def test_one_that_fails_is_named_with_its_reason_and_the_others_can_be_closed(mine, tmp_path):
    some = fleet(mine)
    play(some, 2)
    (tmp_path / "fail").touch()
    with pytest.raises(EnvFailed, match=r"environment [01] of 2: mine failed: step\(\) raised .*robot fell over"):
        play(some, 1)
    assert some.between == [True, True]
    _, values = some.state()
    assert sum("door:between" in own for own in values["environments"]) == 1
    some.close()
    assert not [child for child in children() if "fleet.child" in " ".join(child.cmdline())]


def test_one_whose_process_is_killed_is_named_and_its_episode_is_lost():
    some = fleet()
    play(some, 3)
    arrays, values = some.state()
    os.kill(some.remotes[1]._process.pid, signal.SIGKILL)
    with pytest.raises(EnvFailed, match=r"environment 1 of 2: its process has ended, with exit code -9"):
        play(some, 1)
    arrays, values = some.state()
    some.close()
    some.open()
    values["between"] = [False, False]
    lost = some.restore(arrays, values)
    assert list(lost) == [1]
    assert "exit code -9" in lost[1]
    assert some.between == [False, True]
    play(some, 3)
    some.close()


def test_one_that_cannot_be_made_leaves_no_process(mine, tmp_path):
    (tmp_path / "mine.py").write_text("class Mine:\n    def __init__(self, rng):\n        raise OSError('no camera')\n")
    before = len(children())
    with pytest.raises(EnvError, match="no camera"):
        fleet(mine)
    assert len(children()) == before


def test_what_is_one_environment_is_refused_by_name(tmp_path, monkeypatch):
    pytest.importorskip("gymnasium")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "single.py").write_text(
        "import gymnasium\nenv = gymnasium.make('CartPole-v1', render_mode='rgb_array')\n"
    )
    with pytest.raises(EnvError, match=r"--envs: single:env is one environment; name a callable"):
        fleet("single:env")


CLOSING = f"""{FORKING}
import subprocess
from edgerl.envs.toy import Catch

class Starting(Catch):
    def __init__(self, rng):
        super().__init__(rng)
        self.program = subprocess.Popen(["sleep", "300"])
        self.process = fork.Process(target=wait, daemon=True)
        self.process.start()
        begun.wait()

    def close(self):
        self.program.terminate()
        self.program.wait()
        self.process.terminate()
        self.process.join()

class Differing(Catch):
    def __init__(self, rng):
        super().__init__(rng)
        self.spec = self.spec._replace(repeat=int(rng.integers(1, 2**30)))

class Lasting(Catch):
    def close(self):
        time.sleep(300)
"""


@pytest.fixture
def closing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "closing.py").write_text(CLOSING)


def test_what_an_environment_starts_ends_as_the_environment_tells_it(closing):
    some = fleet("closing:Starting", 1)
    some.close()
    assert some.remotes[0]._process.returncode == 0


def test_what_differ_are_refused_together(closing):
    before = len(children())
    with pytest.raises(EnvError, match=r"^--envs: environment 1 of 2 has EnvSpec.*, the first EnvSpec"):
        fleet("closing:Differing")
    assert len(children()) == before


def test_one_that_never_closes_is_ended_by_name(closing, monkeypatch):
    some = fleet("closing:Lasting", 1)
    monkeypatch.setattr(remote, "PATIENCE", 0.3)
    with pytest.raises(EnvFailed, match=r"environment 0 of 1: close\(\) has not ended after 0.3 s"):
        some.close()
    assert some.remotes[0]._process.returncode == -signal.SIGKILL


KILLED = """
import time, numpy
from edgerl.envs.base import EnvOptions
from edgerl.envs.fleet.fleet import Fleet
some = Fleet("toy/catch", EnvOptions(), 2, numpy.random.default_rng(0))
some.reset()
print(*(remote._process.pid for remote in some.remotes), flush=True)
time.sleep(60)
"""


def test_processes_end_with_a_run_that_is_killed():
    with subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True) as run:
        pids = [int(word) for word in run.stdout.readline().split()]
        assert len(pids) == 2
        assert all(map(psutil.pid_exists, pids))
        run.kill()
    until(lambda: not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids))


def test_arrays_have_the_same_shapes_at_the_other_end():
    ours, theirs = socket.socketpair()
    sent = {"no axes": np.array(2.5), "columns": np.arange(6).reshape(2, 3).T, "none": np.zeros((0, 4), bool)}
    with ours, theirs:
        send(ours, {"do": "state"}, sent)
        values, arrays = receive(theirs)
    assert values == {"do": "state"}
    for name, array in sent.items():
        assert (arrays[name].shape, arrays[name].dtype) == (array.shape, array.dtype)
        np.testing.assert_array_equal(arrays[name], array)


FORKS = MINE.replace("import os", "import os, time").replace(
    'raise RuntimeError("the robot fell over")',
    "os.fork() or time.sleep(20)\n            os._exit(3)",
)


def test_a_process_that_dies_is_noticed_though_one_that_it_forked_lives_on(mine, tmp_path):
    (tmp_path / "mine.py").write_text(FORKS)
    some = fleet(mine)
    some.begin()
    (tmp_path / "fail").touch()
    began = time.monotonic()
    with pytest.raises(EnvFailed, match=r"its process has ended, with exit code 3"):
        play(some, 4)
    assert time.monotonic() - began < 15
    with suppress(EnvFailed):
        some.close()
