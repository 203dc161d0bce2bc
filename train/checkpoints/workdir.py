"""The folder of a run. It belongs to one config: another one is an error that lists the differences; nothing is overwritten."""
import dataclasses
import datetime
import json
import os
import platform
import subprocess
import sys

from etils import epath
import jax

from data import atomic
from train.checkpoints import arrays, folders
from train.settings import errors, parse, schema


def check_writable(workdir: str) -> None:
    """errors.Error unless the folder exists, or can be made, and can be written to; called before the data is read."""
    folder = folders.absolute(workdir)
    if atomic.local(folder):
        there = next(path for path in (folder, *folder.parents) if path.exists())
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            why = 'cannot be written to' if there.is_dir() else 'is a file'
            raise errors.Error([errors.Problem(f'--workdir = {workdir}', f'expected a folder to write to, {there} {why}.')])


def claim(workdir: str, config: schema.Config, origins: dict | None = None) -> list[str]:
    """The notices for a `workdir` that is new or holds a run that `config` continues. errors.Error for any other."""
    folder = folders.absolute(workdir)
    if (folder / 'huggingface').exists():
        text = f'holds an imported model, not a run. Train it in a workdir of its own: --workdir=OTHER --config.init.from={workdir}.'
        raise errors.Error([errors.Problem(f'--workdir={workdir}', text)])
    if (folder / 'config.json').exists():
        return parse.resume(read(folder), config, workdir, origins)
    if (folder / 'checkpoints').exists():
        text = 'holds checkpoints but no config.json, which states their settings. Put it back, or start with another --workdir.'
        raise errors.Error([errors.Problem(f'--workdir={workdir}', text)])
    return []


def read(folder: epath.PathLike) -> schema.Config:
    """The Config of the run in `folder`. errors.Error if its config.json is damaged."""
    path = epath.Path(folder) / 'config.json'
    try:
        return parse.from_dict(json.loads(path.read_text()), str(path))
    except json.JSONDecodeError as error:
        text = f'expected JSON, got {error}. Put it back, or start with another --workdir.'
        raise errors.Error([errors.Problem(str(path), text)]) from None


def tokenizer(workdir: str, settings: schema.Tokenizer) -> schema.Tokenizer:
    """The settings of the tokenizer, with the path of the workdir's own copy if there is one: `tokenizer.path` may have been moved."""
    own = folders.absolute(workdir) / 'tokenizer'
    return dataclasses.replace(settings, path=os.fspath(own)) if settings.path and (own / 'tokenizer.json').exists() else settings


def write(workdir: str, config: schema.Config, tokenizer, parameters: int) -> None:
    """Writes config.json and, at the first start, environment.json and tokenizer/ (None = none), each atomically."""
    folder = folders.absolute(workdir)
    folder.mkdir(parents=True, exist_ok=True)
    _put(folder / 'config.json', parse.to_dict(config))
    if tokenizer is not None and not (folder / 'tokenizer' / 'tokenizer.json').exists():
        tokenizer.save(folder / 'tokenizer')
    if not (folder / 'environment.json').exists():
        _put(folder / 'environment.json', environment(parameters))


def environment(parameters: int) -> dict:
    """Versions, devices, revision and command, for readers of the results."""
    return {'python': platform.python_version(), **arrays.versions(),
            'devices': f'{jax.device_count()} x {jax.devices()[0].device_kind}', 'processes': jax.process_count(), 'revision': revision(),
            'command': ' '.join(sys.argv), 'parameters': parameters,
            'started': datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds')}


def revision() -> str | None:
    """The git commit of the code, '+' if it was changed since; None outside a repository."""
    def git(*arguments):
        return subprocess.run(('git', *arguments), cwd=os.path.dirname(__file__), capture_output=True, text=True, check=True).stdout

    try:
        return git('rev-parse', '--short=12', 'HEAD').strip() + '+' * bool(git('status', '--porcelain', '--untracked-files=no'))
    except (OSError, subprocess.CalledProcessError):
        return None


def _put(path, tree):
    text = json.dumps(tree, indent=1, ensure_ascii=False) + '\n'
    if not path.exists() or path.read_text() != text:
        atomic.write(path, text.encode())
