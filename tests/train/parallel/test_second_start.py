"""A second start compiles nothing: every program of a float32 run comes from the compilation cache."""
import json
import os
import subprocess
import sys

import pytest

from tests.helpers import subprocesses

COUNTED = """
import collections, json, os, sys
from train import main
from train.parallel import platform
platform.prepare(os.environ, sys.argv.pop())  # before JAX is imported, as the command does
from jax import monitoring

counts = collections.Counter()
monitoring.register_event_listener(lambda event, **_: counts.update([event.rpartition('/')[2]]))
monitoring.register_event_duration_secs_listener(lambda event, seconds, **_: counts.update([event.rpartition('/')[2]]))
code = main.main(sys.argv[1:])
names = {'programs': 'backend_compile_duration', 'asked': 'compile_requests_use_cache', 'found': 'cache_hits'}
print(json.dumps({name: counts[event] for name, event in names.items()}))
sys.exit(code)
"""


def counts(folder, name, dtype):
    """{'programs': compiled or found, 'asked': how many the cache was asked for, 'found': there} of a run of its own."""
    environ = {key: value for key, value in subprocesses.environment().items() if not key.startswith('JAX_PERSISTENT')}
    command = [sys.executable, '-c', COUNTED, '--config=configs/tiny.py', f'--workdir={folder / name}',
               f'--config.data.cache={folder}/cache', '--config.steps=2', '--config.eval_batches=1', f'--config.dtype={dtype}', dtype]
    environ['JAX_COMPILATION_CACHE_DIR'] = f'{folder}/jax'
    done = subprocess.run(command, cwd=subprocesses.ROOT, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_float32_finds_every_program(tmp_path):
    first, second = counts(tmp_path, 'first', 'float32'), counts(tmp_path, 'second', 'float32')
    assert first['found'] == 0 < first['programs'] < 10  # whole functions, not single operations
    assert second == {'programs': first['programs'], 'asked': first['programs'], 'found': first['programs']}


@pytest.mark.slow
def test_bfloat16_asks_the_cache_for_nothing(tmp_path):
    assert counts(tmp_path, 'first', 'bfloat16')['asked'] == 0 and not os.path.exists(tmp_path / 'jax')
