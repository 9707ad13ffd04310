"""A checkpoint of a step that has one already: it is left, or replaced whole."""

import errno
from pathlib import Path

import pytest
from test_checkpoint import VALUES, arrays_of, same

from edgerl.runs.checkpoint import newest, save


def test_one_of_the_same_step_is_replaced_only_if_that_is_asked_and_whole_or_not_at_all(tmp_path, monkeypatch):
    first, second = arrays_of(1), arrays_of(2)
    save(tmp_path, 5, first, VALUES)
    save(tmp_path, 5, second, VALUES)
    assert same(newest(tmp_path).arrays, first)
    rename = Path.rename

    def refused(path, target):
        if path.suffix == ".part":
            raise OSError(errno.EIO, "Input/output error")
        return rename(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", refused)
        with pytest.raises(OSError, match="Input/output error"):
            save(tmp_path, 5, second, VALUES, replace=True)
    assert same(newest(tmp_path).arrays, first)
    save(tmp_path, 5, second, VALUES, replace=True)
    assert same(newest(tmp_path).arrays, second)
    assert [file.name for file in tmp_path.iterdir()] == ["000000005"]
