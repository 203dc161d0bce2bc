"""The parameters with which a fresh run starts from another run or an imported model, chosen by the settings `init`.

Heads that this run has not are left out (ELECTRA's discriminator is no use to a masked LM); a vocabulary of another size is
grown or cut (model/resize.py); a notice reports both. All other parameters must have the same shapes.
"""
import re
from typing import Any, Callable

import jax

from model import paths, resize
from train.checkpoints import checkpoint, folders
from train.settings import errors, inherited, parse, schema

HEADS = ('backbone/head/', 'head/', 'query/', 'generator/', 'members/')  # the parts that depend on the objective
EVERYTHING = ('.*',)                          # the default of init.paths


def parameters(config: schema.Config, like: Any, notice: Callable[[str], None]) -> dict[str, jax.Array]:
    """{path: array} of what `config.init` takes from another checkpoint.

    like: this run's (abstract) parameters, whose shardings the arrays get. Mismatch (checkpoint.py) if a shape differs.
    """
    init, here, wanted, patterns = config.init, config.model, paths.flatten(like), config.init.paths
    try:
        _, tree = inherited.run(init.from_)
        other = tree and parse.from_dict(tree, f'{init.from_}/config.json').model
    except (ValueError, parse.Error):
        other = None
    if patterns == EVERYTHING and not init.rename:
        stored = checkpoint.stored(init.from_)
        unused = sorted(path for head in _unused_heads(stored, wanted, other, here) for path in stored if path.startswith(head))
        if unused:
            patterns = (f'^(?!({"|".join(map(re.escape, unused))})$)',)
            notice(f'left aside, as this objective has no such head: {paths.listed(unused)}')
    resized = {}
    if other is not None and other.vocab_size and other.vocab_size != here.vocab_size:
        axes = {path: axis for path in wanted if (axis := resize.axis(path)) is not None}
        shapes = {path: (*wanted[path].shape[:axis], other.padded_vocab, *wanted[path].shape[axis + 1:]) for path, axis in axes.items()}
        resized = {path: jax.ShapeDtypeStruct(shape, wanted[path].dtype) for path, shape in shapes.items()}
    found, _ = checkpoint.load_params(init.from_, {**wanted, **resized}, patterns, notice=notice, rename=init.rename)
    found = paths.flatten(found)
    for path in resized.keys() & found.keys():
        found[path] = jax.device_put(resize.rows(path, found[path], other, here), getattr(wanted[path], 'sharding', None))
    if resized.keys() & found.keys():
        change = 'new ones start as the mean of the others' if other.vocab_size < here.vocab_size else 'the last ones are cut off'
        notice(f'{other.vocab_size:,} tokens in {init.from_}, {here.vocab_size:,} here: {change}')
    fresh = sorted(wanted.keys() - found.keys())
    notice(f'{len(found)} of {len(wanted)} parameters start from {init.from_}' + (f'; fresh: {paths.listed(fresh)}' if fresh else ''))
    return found


def branch(config: schema.Config, abstract_state: Any, notice: Callable[[str], None]) -> tuple[Any, dict]:
    """(State, meta) of the run `init.from`, for one that goes on from there with other settings, which a notice names. Mismatch if the
    state is another one; errors.Error unless both have the same seed and rows of the same size."""
    source = folders.locate(config.init.from_, notice=notice)
    before = parse.from_dict(folders.read_meta(source)['config'])
    wrong = [errors.Problem(f'{key} = {getattr(config, key)}', f'{config.init.from_} has {getattr(before, key)}; expected the same, since '
                            'init.optimizer = True goes on where that run was in its data.')
             for key in ('seed', 'batch_size', 'sequence_length', 'overfit_one_batch') if getattr(config, key) != getattr(before, key)]
    if (begun := int(source.name)) >= config.steps:
        wrong.append(errors.Problem(f'steps = {config.steps}', f'{config.init.from_} is at step {begun}, behind which a branch goes on; '
                                    'expected more.'))
    if wrong:
        raise errors.Error(wrong)
    state, meta = checkpoint.read(source, abstract_state)
    other = [key for key, *_ in parse.diff(before, config) if not key.startswith('init.') and not parse.may_change(key)]
    notice(f'a branch of {config.init.from_}: goes on behind step {int(state.step)}, after {meta["examples"]:,} examples'
           + (f', with another {", ".join(other)}' if other else ''))
    return state, {key: value for key, value in meta.items() if key not in ('early_stopping', 'texts')}


def complete(folder: str, config: schema.Config, kind: str, end: str) -> None:
    """errors.Error if the checkpoint in a workdir lacks a head that its objective predicts with, as imported ones may."""
    stored, objective, model = checkpoint.stored(folder), config.objective, config.model
    bare = objective.head == 'discriminator' or model.tied and model.head == 'linear' and model.width == model.dim
    needed = ['backbone/head/'] * (not bare) + [path for part in objective.parts() for path in part.parameters]
    lost = [part for part in needed if not any(f'/{part}' in f'/{path}' for path in stored)] if stored else []
    if lost:
        text = (f'the checkpoint has no {" and no ".join(lost)}, which objective.name = {objective.name} needs. '
                f'Train a run that starts from it: --config.init.from={folder}.')
        raise errors.Error([errors.Problem(f'--workdir = {folder}', text)], kind=kind, end=end)


def _unused_heads(stored, wanted, other, here):
    """The members of HEADS that the checkpoint's paths `stored` have and this run has not."""
    for head in HEADS:
        paths_of_head = {path for path in stored if path.startswith(head)}
        same = other is not None and (other.tied, other.head) == (here.tied, here.head)
        if not paths_of_head <= wanted.keys() and (head != 'backbone/head/' or same and not any(path.startswith(head) for path in wanted)):
            yield head
