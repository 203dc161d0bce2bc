"""What a config takes from the run that `init.from` names: the shape of its model, its tokenizer, its objective and its dtype.

Only if the config file states none: a file with a setting under `model` has a model of its own. Then `tokenizer`, `objective` and
`dtype` are taken too, unless the file or a flag sets them; a vocabulary of its own comes with another tokenizer. What
flags set wins over what is taken. Read from the run's config.json, without JAX.
"""
import os
from typing import Any

from data import places
from model import positions as schemes
from train.settings import config_file, errors, json_file, schema, values


def read(file: dict[str, values.Given], flags: dict[str, values.Given],
         workdir: str | None = None) -> tuple[dict[str, values.Given], list[errors.Problem]]:
    """({key: Given} that the settings of file and flags are laid over, problems).

    A run that has begun in `workdir` is its own source: the one it started from may have been moved since. Nothing is taken from a
    folder without config.json: a checkpoint alone does not describe its model.
    """
    one = flags.get('init.from') or file.get('init.from')
    stated, both = ({key.partition('.')[0] for key in keys} for keys in (file, [*file, *flags]))
    if one is None or not one.value or not isinstance(one.value, str) or 'model' in stated:
        return {}, []
    groups = ['model', *(name for name in ('tokenizer', 'dtype') if name not in both)]
    groups += ['objective'] * ('objective' not in stated and 'objective.name' not in flags)
    source = one.value.strip('\'"')
    if tree := begun(workdir, source):
        return config_file.given({group: tree.get(group, {}) for group in groups}, f'taken from {workdir}', taken=True), []
    if wrong := [one.problem(text) for key, text in schema.Init(source).problems() if key == 'init.from']:
        return {}, wrong
    try:
        folder, tree = run(source)
    except ValueError as error:
        return {}, [one.problem(f'expected JSON in its config.json, got {error}.')]
    if tree is None:
        return {}, []
    tree = {group: tree.get(group, {}) for group in groups if group != 'tokenizer'}
    tree['model'] = dict(tree['model'])
    scheme = schemes.SCHEMES.get(tree['model'].get('positions', 'learned'), schemes.Scheme)
    if 'model.positions' in flags and 'max_length' not in scheme.reads:  # no table has so many rows
        tree['model'].pop('max_length', None)
    if 'tokenizer' not in groups:
        tree['model'].pop('vocab_size', None)
    elif (folder / 'tokenizer').exists():
        tree['tokenizer'] = {'path': os.path.join(os.fspath(folder), 'tokenizer')}
    else:
        wrong = [errors.Problem('tokenizer.path', f'{source} has no tokenizer; set one, such as --config.tokenizer.path=DIR.')]
    return config_file.given(tree, f'taken from {source}', taken=True), wrong


def config_json(folder: str | None) -> dict:
    """The config.json in a folder, or {}: train/checkpoints/workdir.py reports a damaged one."""
    if not folder:
        return {}
    try:
        tree = json_file.read(places.path(folder) / 'config.json')
    except ValueError:
        return {}
    return tree if grouped(tree) else {}


def begun(workdir: str | None, source: str | None) -> dict:
    """config.json of the run in `workdir` if it started from `source`, else {}."""
    tree = config_json(workdir) if source else {}
    return tree if tree.get('init', {}).get('from') == source else {}


def run(folder: str) -> tuple[Any, dict | None]:
    """(workdir, its config.json) of a workdir, its checkpoints/ or one of the steps there; (folder, None) if it has none.

    ValueError if that file is no JSON.
    """
    start = places.path(folder)
    for path in (start, start.parent, start.parent.parent):
        if (path / 'config.json').exists() and (path / 'checkpoints').exists():
            tree = json_file.read(path / 'config.json')
            if not grouped(tree):
                raise ValueError('no groups of settings')
            return path, tree
    return start, None


def grouped(tree: dict) -> bool:
    """Whether the groups that are read here are groups."""
    return all(isinstance(tree.get(group, {}), dict) for group in ('model', 'objective', 'tokenizer', 'init'))
