"""A buffer's file: it goes on to the bit, is written whole or not at all, and a damaged one is refused by name."""

import copy
import pickle

import numpy as np
import pytest

import edgerl
from edgerl.runs import tensor_file

COLUMNS = ("obs", "action", "reward", "discount", "next_obs", "weight", "index")


def play(buffer, begin, end):
    """Steps of both environments; episodes of seven and of nine steps."""
    for n in range(begin, end):
        for env, length in enumerate((7, 9)):
            position = n % length
            frames = [np.full((8, 8), n - position + k + 1, np.uint8) for k in range(length + 1)]
            over = position == length - 1
            buffer.add(frames[position], n % 3, n % 5, frames[position + 1], terminated=over and env == 0,
                       truncated=over and env == 1, env=env)  # fmt: skip


def build(codec, *, prioritized=True):
    """A buffer in which two environments have played 90 steps, some of them no longer there."""
    buffer = edgerl.ReplayBuffer(
        budget=18_000, observation=(8, 8), action=3, history=3, n_step=2, prioritized=prioritized, codec=codec, envs=2
    )
    play(buffer, 0, 90)
    batch = buffer.sample(16)
    buffer.update_priorities(batch.index, np.linspace(0, 3, 16))
    return buffer


def same(one, other):
    """Whether two buffers go on alike: batches, new rows, priorities."""
    for begin in (90, 110):
        play(one, begin, begin + 20)
        play(other, begin, begin + 20)
        batches = one.sample(8), other.sample(8)
        for name in COLUMNS:
            assert np.array_equal(*(getattr(batch, name) for batch in batches)), name
        one.update_priorities(batches[0].index, np.arange(8.0))
        other.update_priorities(batches[1].index, np.arange(8.0))
    assert (len(one), one.capacity, one.nbytes) == (len(other), other.capacity, other.nbytes)


@pytest.mark.parametrize("codec", ["raw", "lz4"])
@pytest.mark.parametrize("prioritized", [True, False])
def test_a_saved_buffer_goes_on_to_the_bit(codec, prioritized, tmp_path):
    buffer = build(codec, prioritized=prioritized)
    assert any(pending is not None for pending in buffer.pending)
    buffer.save(tmp_path / "rows")
    assert [file.name for file in tmp_path.iterdir()] == ["rows"]
    same(buffer, edgerl.ReplayBuffer.load(tmp_path / "rows"))


@pytest.mark.parametrize("codec", ["raw", "lz4"])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda buffer: pickle.loads(pickle.dumps(buffer))])  # noqa: S301
def test_a_copy_goes_on_to_the_bit(codec, copied):
    buffer = build(codec)
    same(buffer, copied(buffer))


def test_options_and_how_stacks_begin_are_kept(tmp_path):
    buffer = edgerl.ReplayBuffer(budget="30kB", observation=(8, 8), action=(2,), history=2, n_step=3, gamma=0.5, seed=7)
    frame = np.full((8, 8), 9, np.uint8)
    buffer.add(np.stack([frame, frame]), np.ones(2), 1, None, terminated=True)
    buffer.save(str(tmp_path / "rows"))
    loaded = edgerl.ReplayBuffer.load(str(tmp_path / "rows"))
    assert (loaded.action, loaded.observation, loaded.n_step, loaded.gamma, loaded.seed) == ((2,), (8, 8), 3, 0.5, 7)
    with pytest.raises(edgerl.ConfigError, match="no copies of it"):
        loaded.add(np.stack([0 * frame, frame]), np.ones(2), 1, None, terminated=True)


def test_what_fails_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    buffer = build("raw")
    buffer.save(tmp_path / "rows")
    kept = (tmp_path / "rows").read_bytes()

    def full(file, arrays, metadata):
        file.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tensor_file, "write", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*rows'$"):
        buffer.save(tmp_path / "rows")
    assert [file.name for file in tmp_path.iterdir()] == ["rows"]
    assert (tmp_path / "rows").read_bytes() == kept


def test_a_file_cut_or_changed_anywhere_is_refused_in_one_line(tmp_path):
    file = tmp_path / "rows"
    build("lz4").save(file)
    content = file.read_bytes()
    begin = 8 + int.from_bytes(content[:8], "little")
    places = {0, 3, 8, 40, begin // 2, begin - 20, begin, begin + 1, (begin + len(content)) // 2, len(content) - 1}
    for place in sorted(places):
        for damaged in (content[:place], content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]):
            file.write_bytes(damaged)
            with pytest.raises(edgerl.CheckpointError, match="rows is damaged, or no replay buffer: ") as refused:
                edgerl.ReplayBuffer.load(file)
            assert "\n" not in str(refused.value)
    file.write_bytes(content)
    edgerl.ReplayBuffer.load(file)


def test_a_file_of_a_later_format_is_refused_and_a_missing_one_is_not_damaged(tmp_path, monkeypatch):
    monkeypatch.setattr("edgerl.replay_buffer.saved.FORMAT", 2)
    build("raw").save(tmp_path / "rows")
    monkeypatch.undo()
    with pytest.raises(edgerl.CheckpointError, match="has format 2, this edgerl reads 1"):
        edgerl.ReplayBuffer.load(tmp_path / "rows")
    with pytest.raises(FileNotFoundError):
        edgerl.ReplayBuffer.load(tmp_path / "none")


@pytest.mark.parametrize("envs", [1, 16, 64])
def test_a_buffer_of_many_environments_is_loaded_again(envs, tmp_path):
    buffer = edgerl.ReplayBuffer(budget=envs * 20_000, observation=(8, 8), action=2, n_step=1, envs=envs)
    for env in range(envs):
        for step in range(3):
            frame, following = (np.full((8, 8), step + more, np.uint8) for more in (0, 1))
            buffer.add(frame, 1, 1.0, following, terminated=step == 2, env=env)
    buffer.save(tmp_path / "many")
    assert len(edgerl.ReplayBuffer.load(tmp_path / "many")) == len(buffer) == 3 * envs


def test_numbers_of_numpys_are_saved_as_pythons(tmp_path):
    buffer = edgerl.ReplayBuffer(
        budget=np.int64(1_000_000), observation=(8, 8), action=2, prioritized=np.True_, gamma=np.float32(0.5)
    )
    buffer.n_step = np.int64(2)
    buffer.save(tmp_path / "buffer")
    again = edgerl.ReplayBuffer.load(tmp_path / "buffer")
    assert (again.budget, again.n_step, again.prioritized, again.gamma) == (1_000_000, 2, True, 0.5)
