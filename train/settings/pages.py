"""Large memory pages for what XLA computes on a CPU. glibc must be told when a process starts, so a command starts itself anew, once.

XLA gives its temporary memory back after every step and faults it in again at the next, 4 KiB at a time: about a quarter of a CPU step
(figures: docs/design-notes.md). Where the kernel gives large pages to those who ask ([madvise]), malloc asks for them with
GLIBC_TUNABLES=glibc.malloc.hugetlb=1, from glibc 2.35 on. Under [always] it gives them unasked: nothing is done, nor under [never].
"""
import itertools
import os
import re
import sys
from typing import Mapping

from train.settings import fits

KERNEL = '/sys/kernel/mm/transparent_hugepage/enabled'
TUNABLE = 'glibc.malloc.hugetlb'
MARKER = 'PRETEXT_GLIBC_TUNABLES'             # of a process that was started anew: the user's GLIBC_TUNABLES
PROFILERS = {'importtime', 'tracemalloc', 'perf', 'perf_jit'}  # python -X NAME
VARIABLES = {'PYTHONPROFILEIMPORTTIME', 'PYTHONTRACEMALLOC', 'PYTHONPERFSUPPORT', 'PYTHON_PERF_JIT_SUPPORT'}


def prepare() -> None:
    """The first line of `if __name__ == '__main__'` of a command that computes: does not return where the process is started anew.

    The process number, the open files and the working folder stay. What it was started anew with leaves os.environ, for the children.
    """
    if MARKER in os.environ:
        os.environ['GLIBC_TUNABLES'] = os.environ.pop(MARKER)
        if not os.environ['GLIBC_TUNABLES']:
            del os.environ['GLIBC_TUNABLES']
    elif started_by_name() and not traced() and not {'-h', '--help'} & {*sys.argv} and (tunables := wanted(os.environ)):
        environ = {**os.environ, 'GLIBC_TUNABLES': tunables, MARKER: os.environ.get('GLIBC_TUNABLES', '')}
        try:
            os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environ)
        except OSError:                       # small pages are slower, not wrong
            pass


def wanted(environ: Mapping[str, str]) -> str | None:
    """The GLIBC_TUNABLES to start with: those of `environ`, and large pages. None where they are not ours to ask for."""
    given = environ.get('GLIBC_TUNABLES', '')
    if TUNABLE in given or glibc() < (2, 35) or not madvised() or not fits.devices(environ):
        return None                           # with an accelerator, little is computed in this memory
    return f'{given}:{TUNABLE}=1'.lstrip(':')


def glibc() -> tuple[int, ...]:
    """(2, 36); () of another C library."""
    try:
        name, _, version = (os.confstr('CS_GNU_LIBC_VERSION') or '').partition(' ')
    except (ValueError, OSError):
        return ()
    return tuple(map(int, re.findall(r'\d+', version)[:2])) if name == 'glibc' else ()


def madvised() -> bool:
    """Whether the kernel gives large pages to those who ask, and to nobody else."""
    try:
        with open(KERNEL) as file:
            return '[madvise]' in file.read()
    except OSError:
        return False


def started_by_name() -> bool:
    """Whether this is `python -m MODULE`, and not another program, such as a profiler, that runs the module."""
    spec = getattr(sys.modules['__main__'], '__spec__', None)
    found = re.search(r'\0-[bBdEiIOPqsSuvx]*m\0?([^\0]*)', '\0'.join(sys.orig_argv))
    return bool(spec and found and found[1] == spec.name and sys.executable)


def traced() -> bool:
    """Whether a debugger, a profiler or a coverage tool watches: it would lose the process, or count its start twice."""
    tools = getattr(sys, 'monitoring', None)  # from Python 3.12 on
    return bool(sys.gettrace() or sys.getprofile() or tools and any(map(tools.get_tool, range(6)))
                or PROFILERS & {*sys._xoptions} or VARIABLES & {*os.environ})


def told() -> str | None:
    """The GLIBC_TUNABLES that this process started with, for environment.json. glibc has cut them apart where they lie."""
    try:
        with open('/proc/self/environ', 'rb') as file:
            before, found, after = os.fsdecode(b'\0' + file.read()).partition('\0GLIBC_TUNABLES=')
    except OSError:
        return os.environ.get('GLIBC_TUNABLES')
    first, *rest = after.split('\0')
    return ':'.join([first, *itertools.takewhile(lambda piece: piece.startswith('glibc.'), rest)]) if found else None
