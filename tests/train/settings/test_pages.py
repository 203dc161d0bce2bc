"""Large pages: which tunables are asked for, and that a command starts itself anew once, alone, and tells nobody."""
import json
import os
import subprocess
import sys

import pytest

from tests.helpers import subprocesses
from train.settings import pages

PROBE = """
import json, os, subprocess, sys
from train.settings import pages
pages.KERNEL, pages.glibc = os.environ['KERNEL'], lambda: (2, 36)
with open(os.environ['STARTS'], 'a') as file:
    print(os.getpid(), file=file)
if __name__ == '__main__':
    pages.prepare()
    child = subprocess.run([sys.executable, '-c', 'import json, os; print(json.dumps(dict(os.environ)))'], capture_output=True)
    names = 'GLIBC_TUNABLES', pages.MARKER
    seen = [{name: environ[name] for name in names if name in environ} for environ in (os.environ, json.loads(child.stdout))]
    print(json.dumps({'told': pages.told(), 'seen': seen, 'argv': sys.argv[1:], 'flags': [sys.flags.dev_mode, sys.prefix],
                      'stdin': sys.stdin.read(), 'cwd': os.getcwd()}))
"""
LARGE = 'glibc.malloc.hugetlb=1'


def kernel(folder, text='always [madvise] never'):
    """A file like that of the kernel."""
    (folder / 'enabled').write_text(f'{text}\n')
    return str(folder / 'enabled')


@pytest.fixture
def settled(tmp_path, monkeypatch):
    """A machine where large pages are asked for."""
    monkeypatch.setattr(pages, 'KERNEL', kernel(tmp_path))
    monkeypatch.setattr(pages, 'glibc', lambda: (2, 35))


def test_tunables_are_added_to_the_users(settled):
    assert pages.wanted({'JAX_PLATFORMS': 'cpu'}) == LARGE
    assert pages.wanted({'JAX_PLATFORMS': 'cpu', 'GLIBC_TUNABLES': 'glibc.malloc.arena_max=1'}) == f'glibc.malloc.arena_max=1:{LARGE}'


@pytest.mark.parametrize('environ', [
    {'JAX_PLATFORMS': 'tpu'}, {'JAX_PLATFORMS': 'cuda,cpu'}, {'PJRT_NAMES_AND_LIBRARY_PATHS': 'a:b'},
    {'JAX_PLATFORMS': 'cpu', 'GLIBC_TUNABLES': 'glibc.malloc.hugetlb=2'},
    {'JAX_PLATFORMS': 'cpu', 'GLIBC_TUNABLES': 'a=b:glibc.malloc.hugetlb=0'}], ids=str)
def test_nothing_is_asked_for_beside_an_accelerator_or_the_users_own_choice(settled, environ):
    assert pages.wanted(environ) is None


@pytest.mark.parametrize('text', ['[always] madvise never', 'always madvise [never]', ''])
def test_other_settings_of_the_kernel_are_left_alone(settled, text, tmp_path):
    kernel(tmp_path, text)
    assert pages.wanted({'JAX_PLATFORMS': 'cpu'}) is None


@pytest.mark.parametrize('name, version', [('glibc 2.34', (2, 34)), ('glibc 2.4.1', (2, 4)), ('musl 1.2', ()), (None, ())])
def test_older_and_other_c_libraries_are_left_alone(settled, monkeypatch, name, version):
    monkeypatch.undo()
    monkeypatch.setattr(os, 'confstr', lambda key: name)
    assert pages.glibc() == version < (2, 35) and pages.wanted({'JAX_PLATFORMS': 'cpu'}) is None


def started(folder, *arguments, **environ):
    """(what the probe says, or None; how often its file was run; how many processes that were) for python ARGUMENTS in `folder`."""
    (folder / 'probe.py').write_text(PROBE)
    (folder / 'starts').write_text('')
    base = {name: value for name, value in os.environ.items() if name not in ('GLIBC_TUNABLES', 'PYTHONPATH')}
    base |= {'JAX_PLATFORMS': 'cpu', 'PYTHONPATH': f'{subprocesses.ROOT}', 'KERNEL': kernel(folder), 'STARTS': str(folder / 'starts')}
    done = subprocess.run([sys.executable, *arguments], cwd=folder, env={**base, **environ}, input='typed', capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    starts = (folder / 'starts').read_text().split()
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{')]
    return said[0] if said else None, len(starts), len(set(starts))


@pytest.mark.skipif(not os.path.exists('/proc/self/environ'), reason='needs /proc')
@pytest.mark.parametrize('before, given', [([], None), (['-u', '-X', 'dev'], 'glibc.malloc.arena_max=1:glibc.malloc.tcache_count=9')])
def test_a_command_starts_itself_anew_once_and_no_child_is_told(tmp_path, before, given):
    own = {'GLIBC_TUNABLES': given} if given else {}
    said, starts, processes = started(tmp_path, *before, '-m', 'probe', '--prompt=two words', '-m', 'other', **own)
    assert (starts, processes) == (2, 1)
    assert said == {'told': f'{given}:{LARGE}' if given else LARGE, 'seen': [own, own], 'argv': ['--prompt=two words', '-m', 'other'],
                    'flags': ['dev' in before, sys.prefix], 'stdin': 'typed', 'cwd': str(tmp_path)}


@pytest.mark.parametrize('arguments, environ', [
    (['-m', 'probe', '--help'], {}),
    (['-m', 'probe'], {'GLIBC_TUNABLES': 'glibc.malloc.arena_max=1:glibc.malloc.hugetlb=0'}),
    (['-c', 'import probe'], {}),
    (['-c', 'import runpy; runpy.run_module("probe", run_name="__main__")'], {}),
    (['probe.py'], {}),
    (['-m', 'cProfile', '-m', 'probe'], {}),
    (['-m', 'trace', '--count', '--coverdir=.', '--module', 'probe'], {}),
    (['-m', 'pdb', '-c', 'continue', '-c', 'quit', '-m', 'probe'], {}),
    (['-X', 'importtime', '-m', 'probe'], {}),
    (['-m', 'probe'], {'PYTHONPROFILEIMPORTTIME': '1'}),
    (['-X', 'tracemalloc', '-m', 'probe'], {})],
    ids=str)
def test_a_command_that_is_imported_traced_or_profiled_is_left_alone(tmp_path, arguments, environ):
    said, starts, _ = started(tmp_path, *arguments, **environ)
    assert starts == 1 and (said is None or LARGE not in (said['told'] or ''))


@pytest.mark.skipif(not hasattr(sys, 'monitoring'), reason='from Python 3.12 on')
def test_a_tool_of_sys_monitoring_counts_as_tracing(monkeypatch):
    monkeypatch.setattr(sys, 'gettrace', lambda: None)
    assert not pages.traced()
    sys.monitoring.use_tool_id(sys.monitoring.COVERAGE_ID, 'test')
    try:
        assert pages.traced()
    finally:
        sys.monitoring.free_tool_id(sys.monitoring.COVERAGE_ID)
