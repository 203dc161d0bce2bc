"""A fresh run's parameters from those of another run or an imported model, as `init` says.

Heads of another objective are left aside (ELECTRA's discriminator is no use to a masked LM), a vocabulary of another size is
grown or cut (model/resize.py); a notice says both. Everything else must be there with the same shapes.
"""
import json
import re

import jax

from model import paths, resize
from train.checkpoints import checkpoint
from train.settings import errors, inherited, parse

HEADS = ('backbone/head/', 'head/', 'query/', 'generator/')  # what follows from the objective
EVERYTHING = ('.*',)                          # the default of init.paths


def parameters(config, like, notice):
    """{path: array} of what `config.init` takes; like: this run's (abstract) parameters, whose shardings they get."""
    init, wanted = config.init, paths.flatten(like)
    there = before(init.from_)
    patterns = init.paths
    if patterns == EVERYTHING and not init.rename:
        stored = checkpoint.stored(init.from_)
        aside = sorted(path for part in unused(stored, wanted, there, config.model) for path in stored if path.startswith(part))
        if aside:
            patterns = (f'^(?!({"|".join(map(re.escape, aside))})$)',)
            notice(f'left aside, as this objective has no such head: {paths.listed(aside)}')
    resized = {} if there is None or not there.vocab_size or there.vocab_size == config.model.vocab_size else {
        path: shape_before(path, leaf, there) for path, leaf in wanted.items() if resize.axis(path) is not None}
    found, _ = checkpoint.load_params(init.from_, {**wanted, **resized}, patterns, notice=notice, rename=init.rename)
    found = paths.flatten(found)
    for path in resized.keys() & found.keys():
        rows = resize.rows(path, found[path], there, config.model)
        found[path] = jax.device_put(rows, getattr(wanted[path], 'sharding', None))
    if resized.keys() & found.keys():
        notice(f'{there.vocab_size:,} tokens in {init.from_}, {config.model.vocab_size:,} here: '
               + ('new ones start as the mean of the others' if there.vocab_size < config.model.vocab_size else
                  'the last ones are cut off'))
    fresh = sorted(wanted.keys() - found.keys())
    notice(f'{len(found)} of {len(wanted)} parameters start from {init.from_}' + (f'; fresh: {paths.listed(fresh)}' if fresh else ''))
    return found


def complete(folder, config, kind, end):
    """errors.Error if the checkpoint in a workdir lacks a head that its objective speaks with, as imported ones may."""
    stored, objective, model = checkpoint.stored(folder), config.objective, config.model
    bare = objective.head == 'discriminator' or model.tied and model.head == 'linear' and model.width == model.dim
    needed = ['backbone/head/'] * (not bare) + [path for part in objective.parts() for path in part.parameters]
    lost = [part for part in needed if not any(f'/{part}' in f'/{path}' for path in stored)] if stored else []
    if lost:
        text = (f'the checkpoint has no {" and no ".join(lost)}, which objective.name = {objective.name} needs. '
                f'Train a run that starts from it: --config.init.from={folder}.')
        raise errors.Error([errors.Problem(f'--workdir = {folder}', text)], kind=kind, end=end)


def before(folder):
    """The model.config.Config of the run in a folder (or of its checkpoints), or None if none is told there."""
    try:
        _, tree = inherited.run(folder)
        return tree and parse.from_dict(tree, f'{folder}/config.json').model
    except (json.JSONDecodeError, parse.Error):
        return None


def unused(stored, wanted, there, here):
    """Which of HEADS the checkpoint's paths `stored` have and this run has no place for."""
    for part in HEADS:
        mine = {path for path in stored if path.startswith(part)}
        if not mine or mine <= wanted.keys():
            continue
        same = there is not None and (there.tied, there.head) == (here.tied, here.head)
        if part != 'backbone/head/' or same and not any(path.startswith(part) for path in wanted):
            yield part


def shape_before(path, leaf, config):
    """A leaf's ShapeDtypeStruct with as many tokens as `config` has."""
    axis = resize.axis(path)
    shape = (*leaf.shape[:axis], config.padded_vocab, *leaf.shape[axis + 1:])
    return jax.ShapeDtypeStruct(shape, leaf.dtype)
