"""Both sides of a comparison in processes of their own: what they print last, or why they failed."""
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np

from bench import cases

ROOT = pathlib.Path(__file__).resolve().parent.parent
PEERS = ROOT / 'bench' / 'peers'


class Failed(Exception):
    """A process that ended with an error or ran out of time: why, and what it had printed by then (`output`)."""

    def __init__(self, text: str, output: str = ''):
        super().__init__(text)
        self.output = output


def run(*command, timeout: float | None = None, **environ: str) -> tuple[float, str]:
    """(seconds of the whole process, its standard output). Failed if it ends with an error, or is stopped after `timeout` seconds."""
    begun = time.monotonic()
    process = subprocess.Popen([str(part) for part in command], cwd=ROOT, env={**os.environ, **environ}, text=True, start_new_session=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        output, errors = process.communicate(timeout=timeout)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)  # with the processes that it has begun
        output, _ = process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise Failed(f'out of time after {timeout:.0f} s', output) from None
        raise
    if process.returncode:
        said = (errors.strip() or output.strip() or f'exit code {process.returncode}').splitlines()
        last = max((number for number, line in enumerate(said) if re.match(r'[\w.]*(Error|Exception)\b', line)), default=len(said) - 1)
        raise Failed(' '.join(' '.join(said[last:]).split())[:300], output)
    return time.monotonic() - begun, output


def lines(output: str) -> list[dict]:
    """The JSON objects in an output, one a line; a last line that was cut off is left out."""
    found = []
    for line in output.splitlines():
        if line.startswith('{'):
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError:
                break
    return found


def here(module: str, *flags: str, timeout: float | None = None, **environ: str) -> list[dict]:
    """The JSON lines of `python -m bench.MODULE`."""
    return lines(run(sys.executable, '-m', f'bench.{module}', *flags, timeout=timeout, **environ)[1])


def peer(interpreter: str, module: str, *flags: str, timeout: float | None = None, **environ: str) -> list[dict]:
    """The JSON lines of bench/peers/MODULE.py, by an interpreter with torch."""
    return lines(run(interpreter, PEERS / f'{module}.py', *flags, timeout=timeout, **environ)[1])


def train_here(case: cases.Case, *flags: str, **given) -> dict:
    """What `bench.train_step` measures of a case."""
    return here('train_step', f'--case={case.json()}', *flags, **given)[-1]


def train_peer(interpreter: str, case: cases.Case, *flags: str, **given) -> dict:
    """What bench/peers/train_step.py measures of the same case on the same batch."""
    with tempfile.TemporaryDirectory() as folder:
        np.savez(f'{folder}/batch.npz', **cases.batch(cases.config(case)))
        return peer(interpreter, 'train_step', f'--case={case.json()}', f'--batch={folder}/batch.npz', *flags, **given)[-1]
