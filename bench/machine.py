"""Where figures come from: processor, C library, huge pages, card and driver, versions on both sides."""
from importlib import metadata
import os
import pathlib
import platform
import re
import subprocess
import sys

from train.settings import pages

HERE, PEER = ('jax', 'jaxlib', 'flax'), ('torch', 'transformers')
ASK = 'import platform, sys; from importlib import metadata; print(platform.python_version(), *map(metadata.version, sys.argv[1:]))'


def processor() -> str:
    """The processor's name and number of cores."""
    try:
        name = re.search(r'model name\s*: (.*)', pathlib.Path('/proc/cpuinfo').read_text())[1]
    except (OSError, TypeError):
        name = 'unknown'
    return f'{os.cpu_count()} cores ({name})'


def huge_pages() -> str:
    """The mode of transparent huge pages: always, madvise or never."""
    try:
        return re.search(r'\[(\w+)\]', pathlib.Path(pages.KERNEL).read_text())[1]
    except (OSError, TypeError):
        return 'unknown'


def card() -> str | None:
    """Name and driver of the first NVIDIA card, if there is one."""
    try:
        found = subprocess.run(['nvidia-smi', '--query-gpu=name,driver_version', '--format=csv,noheader'], capture_output=True, text=True)
    except OSError:
        return None
    name, _, driver = found.stdout.partition('\n')[0].rpartition(', ')
    return f'{name}, driver {driver}' if found.returncode == 0 and name else None


def versions() -> str:
    """Of what runs here."""
    return ' '.join([f'Python {platform.python_version()}', *(f'{name} {metadata.version(name)}' for name in HERE)])


def peer_versions(interpreter: str) -> str | None:
    """Of what runs on the other side; None where the interpreter has no torch or no transformers."""
    found = subprocess.run([interpreter, '-c', ASK, *PEER], capture_output=True, text=True)
    if found.returncode:
        return None
    python, *rest = found.stdout.split()
    return ' '.join([f'Python {python}', *(f'{name} {version}' for name, version in zip(PEER, rest))])


def describe(interpreter: str) -> str:
    """One line for the head of a table of figures on the CPU."""
    libc = ' '.join(platform.libc_ver()) or sys.platform
    return f'{processor()} · {libc} · huge pages: {huge_pages()} · here: {versions()} · peer: {peer_versions(interpreter)}'
