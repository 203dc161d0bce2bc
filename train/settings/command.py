"""How a command ends when something is wrong: one message on standard error, no traceback, the exit code of that kind of error.

0 done · 2 config · 3 data · 4 nothing restorable · 5 diverged · 6 cannot save (or read) · 7 an objective's examples break its contract
(train.inspect) · 75 stopped by a signal, saved.
An exception that a user can cause has `exit_code` and `kind`; any other is a bug and keeps its traceback.
"""
import os
import signal
import sys
from typing import Callable

from train.settings import errors


def run(function: Callable[[], int | None]) -> int:
    """Calls `function()` and returns its exit code, or that of the error that it raised."""
    try:
        return function() or 0
    except errors.Error as error:
        code, message = error.code, str(error)
    except OSError as error:
        code, message = 6, f'files: {error.strerror or error}' + (f': {error.filename}' if error.filename else '')
    except Exception as error:
        if not hasattr(error, 'exit_code'):
            raise
        code, message = error.exit_code, f'{error.kind}: {error}'
    print(message, file=sys.stderr)
    return code


def without_run(workdir: str) -> list[errors.Problem]:
    """[Problem] of a --workdir that holds no run; [] for one that does, and for a remote one, which is looked at later."""
    if '://' in workdir or os.path.exists(os.path.join(workdir, 'config.json')):
        return []
    text = 'no run there: expected a folder with config.json, as python -m train.main --workdir=DIR writes.'
    return [errors.Problem(f'--workdir = {workdir}', text)]


def main(function: Callable[[], int]) -> None:
    """For `if __name__ == '__main__'`: Ctrl-C before anything is worth saving just ends the process."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(function())
