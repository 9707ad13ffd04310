"""TensorBoard's event files, read back by its own reader."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from tensorboard.compat.proto.event_pb2 import SessionLog
from tensorboard.summary.writer.record_writer import masked_crc32c

from edgerl.runs import event_file
from edgerl.runs.metrics import Metrics


def events(file):
    return list(LegacyEventFileLoader(str(file)).Load())


def test_a_run_is_read_back_by_tensorboard(tmp_path):
    metrics = Metrics(tmp_path)
    metrics.write(0, {"train/loss": 0.5, "replay/rows": 300})
    metrics.write(500_000, {"train/loss": -1.25})
    metrics.cut(0, 128)
    (file,) = tmp_path.glob("events.*")
    version, first, second, restart = events(file)
    assert version.file_version == "brain.Event:2"
    assert (first.step, second.step, restart.step) == (0, 500_000, 128)
    assert {value.tag: value.simple_value for value in first.summary.value} == {"train/loss": 0.5, "replay/rows": 300}
    assert [(value.tag, value.simple_value) for value in second.summary.value] == [("train/loss", -1.25)]
    assert restart.session_log.status == SessionLog.START
    assert 0 < version.wall_time <= first.wall_time <= second.wall_time


@given(st.dictionaries(st.text(), st.floats(width=32)), st.integers(0, 2**63 - 1), st.floats(0, 1e12))
def test_whatever_is_logged_is_read_back(tmp_path_factory, values, step, wall_time):
    file = tmp_path_factory.mktemp("events") / "events.out.tfevents.1"
    file.write_bytes(event_file.version_record(wall_time) + event_file.scalars_record(wall_time, step, values))
    _, event = events(file)
    assert (event.step, event.wall_time) == (step, wall_time)
    assert [value.tag for value in event.summary.value] == list(values)
    np.testing.assert_array_equal([value.simple_value for value in event.summary.value], list(values.values()))


@pytest.mark.parametrize(("value", "read"), [(1e308, math.inf), (-1e308, -math.inf), (3e38, 3e38), (0.0, 0.0)])
def test_what_float32_does_not_hold_is_infinite(value, read, tmp_path):
    file = tmp_path / "events.out.tfevents.1"
    file.write_bytes(event_file.scalars_record(1.0, 1, {"x": value}))
    assert events(file)[0].summary.value[0].simple_value == pytest.approx(read, rel=0.01)


@given(st.binary(max_size=300))
def test_checksums_are_tensorboards(data):
    assert int.from_bytes(event_file._masked_crc(data), "little") == masked_crc32c(data)
