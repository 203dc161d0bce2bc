"""What a config takes from the run that `init.from` names: the shape of its model, its tokenizer and its objective.

Only if the config file states none: a file with a setting under `model` has a model of its own. Then `tokenizer` and
`objective` are taken too, unless the file or a flag sets them; a vocabulary of its own comes with another tokenizer. What
flags set wins over what is taken. Read from the run's config.json, without JAX.
"""
import json
import os
from typing import Any

from model import positions as schemes
from train.settings import config_file, errors


def read(given: list[tuple], workdir: str | None = None) -> tuple[list[tuple], list[errors.Problem]]:
    """([(key, value, origin, False)] to put before `given`, problems). given: of file and flags, as in parse.assemble.

    A run that has begun in `workdir` is its own source: the one it started from may have been moved since. Nothing is taken from a
    folder without config.json: a checkpoint alone does not describe its model.
    """
    source, origin = next(((value, origin) for key, value, origin, _ in reversed(given) if key == 'init.from'), (None, ''))
    file, both = ({key.partition('.')[0] for key, _, _, text in given if not text or flags} for flags in (False, True))
    if not isinstance(source, str) or 'model' in file:
        return [], []
    groups = ['model', *['tokenizer'] * ('tokenizer' not in both)]
    groups += ['objective'] * ('objective' not in file and not any(key == 'objective.name' for key, *_ in given))
    subject, source = f'init.from = {errors.shown(source)}', source.strip('\'"')
    if tree := begun(workdir, source):
        return [(*pair, f'taken from {workdir}', False) for pair in config_file.leaves({group: tree[group] for group in groups})], []
    if '://' not in source and not os.path.exists(os.path.expanduser(source)):
        return [], [errors.Problem(subject, 'no such folder; expected the workdir or the checkpoint of another run.', origin)]
    try:
        folder, tree = run(source)
    except ValueError as error:
        return [], [errors.Problem(subject, f'expected JSON in its config.json, got {error}.', origin)]
    if tree is None:
        return [], []
    found, wrong = dict(config_file.leaves({group: tree.get(group, {}) for group in groups if group != 'tokenizer'})), []
    if 'max_length' not in schemes.SCHEMES[found.get('model.positions', 'learned')].reads:  # no table has so many rows
        found.pop('model.max_length', None)
    if 'tokenizer' not in groups:
        found.pop('model.vocab_size', None)
    elif (folder / 'tokenizer').exists():
        found['tokenizer.path'] = os.path.join(os.fspath(folder), 'tokenizer')
    else:
        wrong = [errors.Problem('tokenizer.path', f'{source} has no tokenizer; set one, such as --config.tokenizer.path=DIR.')]
    return [(key, value, f'taken from {source}', False) for key, value in found.items()], wrong


def taken(one: tuple) -> bool:
    """Whether an entry of `given` comes from `read`."""
    return one[2].startswith('taken from')


def config_json(folder: str) -> dict:
    """The config.json in a folder, or {}: train/checkpoints/workdir.py reports a damaged one."""
    from etils import epath  # 0.1 s: only where a run is continued, or starts from another
    path = epath.Path(folder).expanduser() / 'config.json'
    try:
        return json.loads(path.read_text()) if path.exists() else {}
    except ValueError:
        return {}


def begun(workdir: str | None, source: str | None) -> dict:
    """config.json of the run in `workdir` if it started from `source`, else {}."""
    tree = config_json(workdir) if workdir and source else {}
    return tree if tree.get('init', {}).get('from') == source else {}


def value(workdir: str | None, key: str) -> Any:
    """The value of a setting in the config.json of `workdir`, or None."""
    return dict(config_file.leaves(config_json(workdir))).get(key) if workdir else None


def run(folder: str) -> tuple[Any, dict | None]:
    """(workdir, its config.json) of a workdir, its checkpoints/ or one of the steps there; (folder, None) if it has none.

    ValueError if that file is no JSON.
    """
    from etils import epath
    start = epath.Path(folder).expanduser()
    for path in (start, start.parent, start.parent.parent):
        if (path / 'config.json').exists() and (path / 'checkpoints').exists():
            return path, json.loads((path / 'config.json').read_text())
    return start, None
