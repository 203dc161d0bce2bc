"""What a config takes from the run that `init.from` names: the shape of its model, its tokenizer and its objective.

Only where the config file says nothing: a file with a setting under `model` has a model of its own. Then `tokenizer` and
`objective` are taken too, unless the file or a flag sets them; a vocabulary of its own comes with another tokenizer. What
flags set wins over what is taken. Read from the run's config.json, without JAX.
"""
import json
import os

from model import positions as schemes
from train.settings import config_file, errors


def read(given, workdir=None):
    """([(key, value, origin, False)] to put before `given`, problems). given: of file and flags, as in config.assemble.

    A run that has begun in `workdir` is its own source: the one it started from may have been moved since. Nothing is taken from a
    folder without config.json: a checkpoint alone does not say what it is.
    """
    source, told = next(((value, origin) for key, value, origin, _ in reversed(given) if key == 'init.from'), (None, ''))
    if not isinstance(source, str) or 'model' in _groups(given, flags=False):
        return [], []
    own_objective = 'objective' in _groups(given, flags=False) or any(key == 'objective.name' for key, *_ in given)
    own_tokenizer = 'tokenizer' in _groups(given, flags=True)
    subject, source = f'init.from = {errors.shown(source)}', source.strip('\'"')
    if tree := begun(workdir, source):
        groups = ['model', *['objective'] * (not own_objective), *['tokenizer'] * (not own_tokenizer)]
        found = config_file.leaves({group: tree[group] for group in groups})
        return [(key, value, f'taken from {workdir}', False) for key, value in found], []
    if '://' not in source and not os.path.exists(os.path.expanduser(source)):
        text = 'no such folder; expected the workdir or the checkpoint of another run.'
        return [], [errors.Problem(subject, text, told)]
    try:
        workdir, tree = run(source)
    except ValueError as error:
        return [], [errors.Problem(subject, f'expected JSON in its config.json, got {error}.', told)]
    if tree is None:
        return [], []
    taken, wrong = dict(config_file.leaves({'model': tree.get('model', {})})), []
    # No table of positions has so many rows: this run's length counts.
    if 'max_length' not in schemes.SCHEMES[taken.get('model.positions', 'learned')].reads:
        taken.pop('model.max_length', None)
    if not own_objective:
        taken.update(config_file.leaves({'objective': tree.get('objective', {})}))
    if own_tokenizer:
        taken.pop('model.vocab_size', None)
    elif (workdir / 'tokenizer').exists():
        taken['tokenizer.path'] = os.path.join(os.fspath(workdir), 'tokenizer')
    else:
        wrong = [errors.Problem('tokenizer.path', f'{source} has no tokenizer; set one, such as --config.tokenizer.path=DIR.')]
    return [(key, value, f'taken from {source}', False) for key, value in taken.items()], wrong


def begun(workdir, source):
    """config.json of the run in `workdir` if it started from `source`, else {}."""
    if not (workdir and source):
        return {}
    from etils import epath  # 0.1 s: only for a run that starts from another
    path = epath.Path(workdir).expanduser() / 'config.json'
    try:
        tree = json.loads(path.read_text()) if path.exists() else {}
    except ValueError:
        return {}                             # train/checkpoints/workdir.py says what is wrong with it
    return tree if tree.get('init', {}).get('from') == source else {}


def run(folder):
    """(workdir, its config.json) of a workdir, its checkpoints/ or one of the steps there; (folder, None) if it has none.

    ValueError if that file is no JSON.
    """
    from etils import epath
    start = epath.Path(folder).expanduser()
    for place in (start, start.parent, start.parent.parent):
        if (place / 'config.json').exists() and (place / 'checkpoints').exists():
            return place, json.loads((place / 'config.json').read_text())
    return start, None


def _groups(given, flags):
    """The first parts of the keys that the file sets, and with `flags` those that flags set too."""
    return {key.partition('.')[0] for key, _, _, text in given if flags or not text}
