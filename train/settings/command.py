"""How a command ends when something is wrong: one message on standard error, no traceback, the exit code of that kind of error.

0 done · 2 config, or too little memory · 3 data · 4 nothing restorable · 5 diverged · 6 cannot save (or read) · 7 an objective's examples
break its contract (train.inspect), or its samples cannot be computed · 75 stopped by a signal, saved · 141 nobody reads the output any
more (128 + SIGPIPE): all but train.main end there.
An exception that a user can cause has `exit_code` and `kind`; any other is a bug and keeps its traceback.
"""
import argparse
import atexit
import os
import re
import signal
import sys
import traceback
from typing import Callable, Iterable

from data import places
from train.settings import errors, streams


def entry(run: Callable[[list[str]], int | None]) -> Callable[..., int]:
    """main(argv=None) of a command: it calls `run(argv)` and returns its exit code, or that of the error that it raised.

    argv: the command line without the program's name; None: that of this process.
    """
    def main(argv=None):
        try:
            return run(sys.argv[1:] if argv is None else argv) or 0
        except Exception as error:
            if isinstance(error, BrokenPipeError) and streams.unread():
                streams.nowhere(sys.stdout)
                return 128 + signal.SIGPIPE
            code, message = ending(error)
            if code is None:
                raise
            streams.complain(message)
            return code
    return main


def ending(error: BaseException) -> tuple[int | None, str]:
    """(exit code, message) of an error that a user can cause; of any other, which is a bug, (None, its traceback)."""
    found = code(error)
    if found is None:
        return None, ''.join(traceback.format_exception(error)).rstrip()
    if isinstance(error, errors.Error):
        return found, str(error)
    if isinstance(error, OSError):
        return found, f'files: {error.strerror or error}' + (f': {error.filename}' if error.filename else '')
    return found, f'{error.kind}: {error}'


def code(error: BaseException) -> int | None:
    """The exit code of an error that a user can cause; None of a bug."""
    return error.code if isinstance(error, errors.Error) else 6 if isinstance(error, OSError) else getattr(error, 'exit_code', None)


class Help(argparse.RawDescriptionHelpFormatter):
    """A command's --help, with the default of every flag that has one."""

    def add_argument(self, action):
        stated = action.default in (None, argparse.SUPPRESS) or action.default is False or 'default' in (action.help or '')
        if not stated and action.help != argparse.SUPPRESS:
            action.help = f'{action.help or ""} (default: %(default)s)'.lstrip()
        super().add_argument(action)


def location(text: str) -> str:
    """The type of a flag that names a file or a folder: the text, ~ expanded. ArgumentTypeError for what data/places.py cannot reach."""
    if wrong := places.wrong(text):
        raise argparse.ArgumentTypeError(f'{text}: {wrong}')
    return os.path.expanduser(text)


def steps(text: str) -> tuple[int, int]:
    """The type of a flag that names steps: '10:15' is (10, 15), both included. ArgumentTypeError for anything else."""
    match = re.fullmatch(r'(\d+):(\d+)', text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise argparse.ArgumentTypeError(f'expected FIRST:LAST, two steps such as 10:15, got {text}')
    return int(match[1]), int(match[2])


def below(options: argparse.Namespace, **least: int) -> list[errors.Problem]:
    """[Problem] of the flags {name: the least that it may be} that are less; None is no number."""
    given = {name: getattr(options, name) for name in least}
    return [errors.Problem(f'--{name} = {value}', f'expected at least {least[name]}.') for name, value in given.items()
            if value is not None and value < least[name]]


def outside(options: argparse.Namespace, **ranges: range) -> list[errors.Problem]:
    """[Problem] of the flags {name: what it may be} that are something else; None is no number."""
    given = {name: getattr(options, name) for name in ranges}
    return [errors.Problem(f'--{name} = {value}', f'expected {ranges[name].start} to {ranges[name].stop - 1}.')
            for name, value in given.items() if value is not None and value not in ranges[name]]


def unread(options: argparse.Namespace, names: Iterable[str], why: str) -> list[errors.Problem]:
    """[Problem] of the flags that differ from their defaults, `options.defaults`, though nothing reads them."""
    return [errors.Problem(f'--{name} = {getattr(options, name)}', f'nothing reads it: {why}.') for name in names
            if getattr(options, name) != options.defaults[name]]


def unwritable(name: str, path: str | None) -> list[errors.Problem]:
    """[Problem] of a flag --name for a file to write, where it is a folder, or its folder is not there; not of a remote one."""
    if not path or '://' in path:
        return []
    if os.path.isdir(path):
        return [errors.Problem(f'--{name} = {path}', 'is a folder; name a file in it.')]
    if not os.path.isdir(os.path.dirname(os.path.abspath(path))):
        return [errors.Problem(f'--{name} = {path}', 'no such folder; make it first.')]
    return []


def without_run(workdir: str) -> list[errors.Problem]:
    """[Problem] of a --workdir that holds no run; [] for one that does, and for a remote one, which is looked at later."""
    if '://' in workdir or os.path.exists(os.path.join(workdir, 'config.json')):
        return []
    text = 'no run there: expected a folder with config.json, as python -m train.main --workdir=DIR writes.'
    return [errors.Problem(f'--workdir = {workdir}', text)]


def main(function: Callable[[], int]) -> None:
    """For `if __name__ == '__main__'`: Ctrl-C before anything is worth saving just ends the process."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    streams.prepare()
    code = function()
    atexit._run_exitfuncs()                   # connections to other processes end here
    streams.finish()
    os._exit(code)                            # Python's own end kills threads that wait in C++, which now and then aborts
