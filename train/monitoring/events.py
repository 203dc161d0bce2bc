"""TensorBoard's event file, with the messages of the package tensorboardX; a record is framed as in TensorFlow's TFRecord.

The package's own writer has a thread that dies at the first error of the disk, and the training would then wait for it for ever.
"""
import socket
import struct
import time
from typing import Callable

from etils import epath

from train.monitoring import appended


class Events:
    """The scalars of a run from `step` on, as a new file in `folder`; TensorBoard hides those beyond it that older files have."""

    def __init__(self, folder: epath.PathLike, notice: Callable[[str], None], step: int):
        from tensorboardX import record_writer, summary  # train/settings/checks.py looks for it
        from tensorboardX.proto import event_pb2
        self._checksum, self._scalar, self._event = record_writer.masked_crc32c, summary.scalar, event_pb2.Event
        folder = epath.Path(folder)
        path = folder / f'events.out.tfevents.{int(time.time())}.{socket.gethostname()}'
        self.file = appended.open_(path, notice, lambda: folder.mkdir(parents=True, exist_ok=True), ending='.tfevents')
        self._add(file_version='brain.Event:2')
        self._add(step=step + 1, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START))

    def write(self, step: int, line: dict[str, float]) -> None:
        """Adds the numbers of a metrics line."""
        for name, value in line.items():
            self._add(step=step, summary=self._scalar(name, value))

    def close(self) -> None:
        self.file.close()

    def _add(self, **fields):
        data = self._event(wall_time=time.time(), **fields).SerializeToString()
        header = struct.pack('<Q', len(data))
        checksums = (struct.pack('<I', self._checksum(part)) for part in (header, data))
        self.file.write(b''.join([header, next(checksums), data, next(checksums)]))
