"""The folder of a run. It belongs to one config: another one is an error that lists the differences; nothing is overwritten."""
import dataclasses
import datetime
import hashlib
import json
import os
import pathlib
import platform
import subprocess
import sys

from etils import epath
import jax

from data import atomic, errors as data_errors, tokenizer as tokenizers
from train.checkpoints import arrays, folders, manifest
from train.settings import config_file, errors, json_file, pages, parse, schema

ROOT = pathlib.Path(__file__).resolve().parents[2]
NUMBERS = ('jax_default_prng_impl', 'jax_threefry_partitionable', 'jax_enable_x64', 'jax_default_matmul_precision')  # depend on these


class OtherData(Exception):
    """The checkpoint was trained on another text or with another tokenizer."""

    exit_code, kind = 3, 'data'


def same(meta: dict, advice: str, **found: str | None) -> None:
    """OtherData unless a checkpoint's meta has these hashes {name: SHA-256 (hex)}, or knows none."""
    for name, value in found.items():
        if meta.get(name) not in (None, value):
            raise OtherData(f'the {name} has changed since this run was started: sha256 {str(value)[:12]}, the checkpoint has '
                            f'{meta[name][:12]}. {advice}')


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


def redrawn(meta: dict, config: schema.Config) -> str | None:
    """The notice that a run continues with another dropout than it began with: since `model.attention` exists, a hash draws it."""
    before = meta.get('config', {}).get('model')
    if before is None or 'attention' in before or not config.model.attention_dropout:
        return None
    return 'the dropout of attention is drawn in another way than when this run was started: other masks at the same rate from here on'


def read(folder: epath.PathLike) -> schema.Config:
    """The Config of the run in `folder`. errors.Error if its config.json is damaged, or is not that of the newest checkpoint."""
    path = epath.Path(folder) / 'config.json'
    try:
        config = parse.from_dict(json_file.read(path), str(path))
    except ValueError as error:
        text = f'expected JSON, got {error}. Put it back, or start with another --workdir.'
        raise errors.Error([errors.Problem(str(path), text)]) from None
    step, meta = folders.newest_meta(path.parent / 'checkpoints')
    changed = [errors.Problem(key, f'{path} has {errors.shown(found)}, its checkpoint {step} was trained with {errors.shown(trained)}: '
                                   'the file was changed since. Put it back.')
               for key, trained, found in (parse.diff(parse.from_dict(meta['config'], ''), config) if meta.get('config') else ())
               if not parse.may_change(key)]
    if changed:
        raise errors.Error(changed)
    return config


def tokenizer(workdir: str, settings: schema.Tokenizer) -> schema.Tokenizer:
    """The settings of the tokenizer, with the path of the workdir's own copy if there is one: `tokenizer.path` may have been moved."""
    own = folders.absolute(workdir) / 'tokenizer'
    return dataclasses.replace(settings, path=os.fspath(own)) if settings.path and (own / 'tokenizer.json').exists() else settings


def write(workdir: str, config: schema.Config, tokenizer, parameters: int, facts: dict | None = None) -> list[str]:
    """Writes config.json and, at the first start, environment.json and tokenizer/ (None = none), each atomically. Returns notices.

    What a run of before has lost or has damaged is written anew, if there is room. facts: what else environment.json states.
    """
    folder = folders.absolute(workdir)
    folder.mkdir(parents=True, exist_ok=True)
    before = (folder / 'config.json').exists()
    _put(folder / 'config.json', _text(parse.to_dict(config)))
    return [*(_write_tokenizer(folder / 'tokenizer', tokenizer) if tokenizer is not None else ()),
            *_write_environment(folder / 'environment.json', {'parameters': parameters, **(facts or {})}, before)]


def _write_tokenizer(path, tokenizer):
    try:
        if tokenizers.load(path).hash == tokenizer.hash:
            return
        damage = 'it is another one'
    except (data_errors.DataError, OSError) as error:
        damage = str(error)
    if path.exists():
        yield f'{path.name} is damaged ({damage}), moved to {folders.set_aside(path)}; it is written anew'
    tokenizer.save(path)


def _write_environment(path, facts, before):
    try:
        if json_file.read(path).keys() >= {'python', 'parameters', 'started'}:
            return
        raise ValueError('another JSON object')
    except ValueError as error:
        damage = f'{path.name} is damaged ({error})' if path.exists() else f'{path.name} is missing' if before else ''
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
            'devices': f'{jax.device_count()} x {jax.devices()[0].device_kind}', 'processes': jax.process_count(),
            'glibc_tunables': pages.told(), 'revision': revision(), 'command': ' '.join(sys.argv),
            'started': datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds')}


def agreed(workdir: str, config: schema.Config) -> dict:
    """{name: value} of what all processes of a run must have in common before the data is read. data.cache is each host's own."""
    settings = {key: value for key, value in config_file.leaves(parse.to_dict(config)) if key != 'data.cache'}
    return {**settings, '--workdir': os.fspath(folders.absolute(workdir)), 'code': f'{revision()}, sources {sources()[:12]}',
            'python': platform.python_version(), **arrays.versions(), **{name: str(jax.config.values[name]) for name in NUMBERS},
            'XLA_FLAGS': ' '.join(sorted(flag for flag in os.environ.get('XLA_FLAGS', '').split() if not flag.startswith('--xla_dump'))),
            **_source(config.init.from_)}


def _source(folder):
    """{'init.from': the step there and the SHA-256 of its manifest}, of the newest one that looks complete; {} without a folder."""
    if not folder:
        return {}
    above, step = folders.split(folder)
    step = step if step is not None else max(folders.complete(above), default=None)
    found = [] if step is None else [(above / str(step) / manifest.NAME).read_bytes()]
    return {'the checkpoint in init.from': f'step {step}, sha256 {hashlib.sha256(b"".join(found)).hexdigest()[:12]}'}


def sources() -> str:
    """SHA-256 (hex) of the Python files of the project."""
    total = hashlib.sha256()
    for room in ('data', 'model', 'train'):
        for path in sorted((ROOT / room).rglob('*.py')):
            total.update(f'{path.relative_to(ROOT)}\t{hashlib.sha256(path.read_bytes()).hexdigest()}\n'.encode())
    return total.hexdigest()


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
