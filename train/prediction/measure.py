"""Metrics of a run's model, or of an imported one, on the text that the run held out or on another one."""
import argparse
import dataclasses
import os
import re
import sys

import jax
import numpy as np

from data import corpus, errors as data_errors
from model import paths
from train import objectives, program, state as states
from train.checkpoints import checkpoint, initial, workdir
from train.monitoring import display
from train.parallel import sharding
from train.prediction import evaluation
from train.settings import errors, parse

END = 'nothing was evaluated'


def metrics(options: argparse.Namespace) -> tuple[dict[str, float], dict[str, float]]:
    """({metric: number} with `step` and `examples`, {metric: standard error} of a sample), for the options of `train.evaluate`.

    errors.Error if there is no text.
    """
    config = workdir.read(options.workdir)
    initial.complete(options.workdir, config, 'evaluate', END)
    settings = config.data
    if options.data:
        settings = dataclasses.replace(settings, train=options.data, eval=None, eval_fraction=0.0, field=options.field,
                                       format=options.format, documents=options.documents or settings.documents)
    tokenizer = dataclasses.replace(config.tokenizer, path=os.path.join(options.workdir, 'tokenizer'))
    text = corpus.open(settings, tokenizer, tell)
    source = text.train if options.data else text.eval
    if source is None:
        text = 'the run holds nothing out (data.eval_fraction = 0); expected a text to evaluate on.'
        raise errors.Error([errors.Problem('--data', text)], kind='evaluate', end=END)
    here = {'batch_size': options.batch_size or config.batch_size, 'accumulation': 1, 'mesh': {}}  # and what follows from these
    config = parse.with_vocabulary(parse.from_dict({**parse.to_dict(config), **here}), text.tokenizer)
    mesh, module = sharding.mesh(config.mesh), objectives.build(config)
    with jax.set_mesh(mesh):
        abstract = program.build(config, module, mesh, program.shapes(config, source)).abstract
        like = states.union(abstract.params, abstract.frozen)
        needed = tuple(f'^{re.escape(path)}$' for path in paths.flatten(like))  # an imported model may have a head that is not used
        params, meta = checkpoint.load_params(
            options.workdir, like, needed, step=options.step, what='params' if config.ema is None else 'ema',
            notice=tell)
        workdir.same(meta, f'Put {tokenizer.path} back.', tokenizer=text.tokenizer.hash)
        before = meta.get('data'), meta.get('eval_data') or source.fingerprint
        if not options.data and before != (text.train.fingerprint, source.fingerprint):
            tell('the text has changed since this run was started: its own evaluations were of another one')
        evaluator = evaluation.build(config, source, mesh, options.batches)
        found = evaluator(states.variables(params), display.progress('evaluating', tell))
    if any(drawn == 1 < count for drawn, count in evaluator.draw.strata):
        tell('the sample has one unit of several, from which no standard error can be estimated; raise --batches')
    return {'step': meta['step'], 'examples': int(np.sum(evaluator.draw.units >= 0)), **found}, evaluator.errors


def tell(notice: str) -> None:
    """Prints a notice on standard error: standard output holds the metrics."""
    print(data_errors.printable(notice), file=sys.stderr)
