"""Commands of the project in processes of their own."""
import os
import pathlib
import socket
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def environment(devices=1):
    """The environment of a process with so many forced CPU devices, its programs compiled as quickly as in tests/conftest.py."""
    flags = f'--xla_force_host_platform_device_count={devices} --xla_backend_optimization_level=0'
    return {**os.environ, 'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': flags, 'PYTHONUNBUFFERED': '1'}


def run(*arguments, devices=1, cwd=ROOT, timeout=300, code=0):
    """`python ARGUMENTS` to its end, which must have this exit code: the finished process, with stdout and stderr as text."""
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=environment(devices), capture_output=True, text=True, timeout=timeout)
    assert done.returncode == code, f'{arguments}\n{done.stdout}{done.stderr}'
    return done


def start(command, devices=1):
    """The process of a command that has begun, its output and errors in one pipe of text."""
    return subprocess.Popen(command, cwd=ROOT, env=environment(devices), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def clone(folder, *diffs):
    """Writes the last commit to `folder`, with these diffs of docs/ applied; returns `git status --porcelain`, sorted lines."""
    subprocess.run(['git', '-c', 'safe.directory=*', 'clone', '-q', str(ROOT), str(folder)], check=True)
    for diff in diffs:
        subprocess.run(['git', 'apply', str(ROOT / 'docs' / diff)], cwd=folder, check=True)
    done = subprocess.run(['git', 'status', '--porcelain'], cwd=folder, capture_output=True, text=True, check=True)
    return sorted(done.stdout.splitlines())


def free_port():
    """A port of this machine that nothing listens to."""
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        return server.getsockname()[1]
