"""A folder that is there as a whole or not at all: it is made beside its place and renamed in the end."""
import contextlib
import os
import shutil
import signal
import threading
import time

from train.checkpoints import folders, manifest


@contextlib.contextmanager
def whole(target):
    """A new folder (epath.Path) that takes the place of `target`, which is absent or empty, when the block ends without an error.

    Where there is no rename (gs://...) it is `target` itself, and the block writes last what makes it count.
    """
    target = folders.absolute(target)
    if not manifest.local(target):
        yield target
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    made = target.with_name(f'.{target.name}.{os.getpid()}.tmp')
    shutil.rmtree(made, ignore_errors=True)   # of a killed process that had this number, as all have in a container
    made.mkdir()
    try:
        with stoppable():
            yield made
        manifest.sync(made)
        os.rename(made, target)               # takes the place of an empty folder, and of no other
        manifest.sync(target.parent)
    except BaseException:
        for _ in range(20):                   # threads of a writer that failed may not have ended yet
            shutil.rmtree(made, ignore_errors=True)
            if not made.exists():
                break
            time.sleep(0.1)
        raise


@contextlib.contextmanager
def stoppable():
    """Ctrl-C and SIGTERM leave the block as an exception does, so that what is half made can be removed."""
    def stop(number, frame):
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
