"""TensorBoard's events: the bytes that the package's own writer makes of the same messages."""
import struct

import pytest

from train.monitoring import events


def messages(data):
    """The serialised messages of an event file, without their frames."""
    while data:
        size, = struct.unpack('<Q', data[:8])
        yield data[12:12 + size]
        data = data[16 + size:]


def test_events_have_the_frames_of_the_packages_own_writer(tmp_path):
    record_writer = pytest.importorskip('tensorboardX').record_writer
    from tensorboardX.proto import event_pb2
    notices = []
    written = events.Events(tmp_path / 'tensorboard', notices.append, step=4)
    written.write(5, {'train/loss': 2.5, 'grad_norm': 0.25})
    written.write(6, {'train/loss': float('inf')})
    written.close()
    file, = (tmp_path / 'tensorboard').iterdir()
    found = list(messages(file.read_bytes()))
    theirs = record_writer.RecordWriter(str(tmp_path / 'theirs'))
    for message in found:
        theirs.write(message)
    theirs.close()
    assert file.read_bytes() == (tmp_path / 'theirs').read_bytes() and 'tfevents' in file.name and notices == []
    first, start, *scalars = map(event_pb2.Event.FromString, found)
    assert first.file_version == 'brain.Event:2'
    assert (start.step, start.session_log.status) == (5, event_pb2.SessionLog.START)
    assert [(event.step, value.tag, value.simple_value) for event in scalars for value in event.summary.value] == [
        (5, 'train/loss', 2.5), (5, 'grad_norm', 0.25), (6, 'train/loss', float('inf'))]
