"""`python -m train.evaluate --workdir=DIR`: metrics of the model of a run, or of an imported one, on a split of text.

Evaluates the newest undamaged checkpoint (its moving average of the weights, if it has one) with the run's objective: the same
examples with the same corruption every time, on any devices. Other text: --data, read with the run's tokenizer.
"""
import argparse
import dataclasses
import json
import os
import re
import sys

from train.settings import command, errors

END = 'nothing was evaluated'


def parser():
    made = argparse.ArgumentParser(prog='python -m train.evaluate', description=__doc__.split('\n')[0], allow_abbrev=False)
    made.add_argument('--workdir', required=True, type=os.path.expanduser, metavar='DIR', help='workdir of a run or of an import')
    made.add_argument('--data', metavar='TEXT', help='bundled:NAME, a file or glob (.txt .jsonl .parquet, .gz .xz), tfds:NAME:SPLIT; '
                                                     'all of it; default: the text that the run held out')
    made.add_argument('--field', default='text', help='column of JSON, parquet and TFDS rows (text)')
    made.add_argument('--batches', type=int, metavar='N', help='read only so many batches; default: everything')
    made.add_argument('--batch_size', type=int, metavar='N', help="rows of a batch; default: the run's")
    made.add_argument('--step', type=int, help='checkpoint to use; default: the newest')
    made.add_argument('--json', action='store_true', help='one JSON object instead of a table')
    return made


def check(options):
    """errors.Error with everything that is wrong with the options."""
    if wrong := command.below(options, batches=1, batch_size=1) + command.without_run(options.workdir):
        raise errors.Error(wrong, kind='evaluate', end=END)


def measured(options):
    """{metric: number} with `step` and `examples`; imports JAX."""
    from train.parallel import platform
    platform.prepare(os.environ)
    import jax

    from data import corpus, pipeline
    from model import paths
    from train import objectives, program, state as states
    from train.checkpoints import checkpoint, initial, workdir
    from train.parallel import sharding
    from train.prediction import evaluation
    from train.settings import parse

    config = workdir.read(options.workdir)
    initial.complete(options.workdir, config, 'evaluate', END)
    settings = config.data
    if options.data:
        settings = dataclasses.replace(settings, train=options.data, eval=None, eval_fraction=0.0, field=options.field)
    tokenizer = dataclasses.replace(config.tokenizer, path=os.path.join(options.workdir, 'tokenizer'))
    text = corpus.open(settings, tokenizer, lambda notice: print(notice, file=sys.stderr))
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
            notice=lambda notice: print(notice, file=sys.stderr))
        found = evaluation.build(config, source, mesh, options.batches)(states.variables(params))
    examples = pipeline.size(config.objective, source, evaluation.SEED)
    read = min(examples, (options.batches or examples) * config.batch_size)
    return {'step': meta['step'], 'examples': read, **found}


def run(options):
    """Prints the metrics."""
    check(options)
    found = measured(options)
    if options.json:
        return print(json.dumps(found))
    width = max(map(len, found))
    for name, value in found.items():
        print(f'{name:{width}}  {value:,.4f}' if isinstance(value, float) else f'{name:{width}}  {value:,}')


main = command.entry(lambda argv: run(parser().parse_args(argv)))

if __name__ == '__main__':
    command.main(main)
