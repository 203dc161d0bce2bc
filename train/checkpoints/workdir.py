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
from train.settings import errors, json_file, parse, schema


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
    """The Config of the run in `folder`. errors.Error if its config.json is damaged, or is not that of the newest checkpoint."""
    path = epath.Path(folder) / 'config.json'
    try:
        config = parse.from_dict(json_file.read(path), str(path))
    except ValueError as error:
        text = f'expected JSON, got {error}. Put it back, or start with another --workdir.'
        raise errors.Error([errors.Problem(str(path), text)]) from None
    if changed := [row for row in _changed(path.parent / 'checkpoints', config) if not parse.may_change(row[0])]:
        raise errors.Error([errors.Problem(f'{path}: {key} = {errors.shown(now)}', f'the newest checkpoint has {errors.shown(before)}. '
                                           'Set it back.') for key, before, now in changed])
    return config


def _changed(checkpoints, config):
    """[(key, value in the newest checkpoint, value in `config`)] where they differ; [] if there is none, or a damaged one."""
    try:
        meta = folders.read_meta(checkpoints / str(folders.complete(checkpoints)[-1]))
        return parse.diff(parse.from_dict(meta['config']), config)
    except (IndexError, KeyError, OSError, TypeError, ValueError):
        return []


def tokenizer(workdir: str, settings: schema.Tokenizer) -> schema.Tokenizer:
    """The settings of the tokenizer, with the path of the workdir's own copy if there is one: `tokenizer.path` may have been moved."""
    own = folders.absolute(workdir) / 'tokenizer'
    return dataclasses.replace(settings, path=os.fspath(own)) if settings.path and (own / 'tokenizer.json').exists() else settings


def write(workdir: str, config: schema.Config, tokenizer, parameters: int, begun: int = 0, facts: dict | None = None) -> list[str]:
    """Writes config.json and, at the first start, environment.json and tokenizer/ (None = none), each atomically. Returns notices.

    begun: the steps that were taken before. Then an environment.json that is missing or damaged is written anew, if there is room.
    facts: what else it states.
    """
    folder = folders.absolute(workdir)
    folder.mkdir(parents=True, exist_ok=True)
    _put(folder / 'config.json', _text(parse.to_dict(config)))
    if tokenizer is not None and not (folder / 'tokenizer' / 'tokenizer.json').exists():
        tokenizer.save(folder / 'tokenizer')
    return list(_write_environment(folder / 'environment.json', {'parameters': parameters, **(facts or {})}, begun))


def _write_environment(path, facts, begun):
    try:
        if json_file.read(path).keys() >= {'python', 'parameters', 'started'}:
            return
        raise ValueError('another JSON object')
    except ValueError as error:
        damage = f'{path.name} is damaged ({error})' if path.exists() else f'{path.name} is missing' if begun else ''
    try:
        if path.exists():
            damage += f', a copy is in {folders.set_aside(path, None if path.is_dir() else path.read_bytes())}'
        _put(path, _text(json_file.sealed({**environment(), **facts})))
        if damage:
            yield f'{damage}; it now states the environment of this start'
    except OSError as error:
        yield f'{path.name} cannot be written ({error.strerror})'


def environment() -> dict:
    """Versions, devices, revision and command, for readers of the results."""
    return {'python': platform.python_version(), **arrays.versions(),
            'devices': f'{jax.device_count()} x {jax.devices()[0].device_kind}', 'processes': jax.process_count(), 'revision': revision(),
            'command': ' '.join(sys.argv), 'started': datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds')}


def revision() -> str | None:
    """The git commit of the code, '+' if it was changed since; None outside a repository."""
    def git(*arguments):
        return subprocess.run(('git', *arguments), cwd=os.path.dirname(__file__), capture_output=True, text=True, check=True).stdout

    try:
        return git('rev-parse', '--short=12', 'HEAD').strip() + '+' * bool(git('status', '--porcelain', '--untracked-files=no'))
    except (OSError, subprocess.CalledProcessError):
        return None


def _text(tree):
    return (json.dumps(tree, indent=1, ensure_ascii=False) + '\n').encode(errors='backslashreplace')


def _put(path, data):
    if not path.exists() or path.read_bytes() != data:
        atomic.write(path, data)
