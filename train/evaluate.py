"""`python -m train.evaluate --workdir=DIR`: metrics of the model of a run, or of an imported one, on a split of text.

Evaluates the newest undamaged checkpoint (its moving average of the weights, if it has one) with the run's objective: the same
examples with the same corruption every time, on any devices. Other text: --data, read with the run's tokenizer.
"""
import argparse
import json
import os

from data.text import formats
from train.parallel import platform
from train.settings import command, errors, pages


def parser():
    made = argparse.ArgumentParser(prog='python -m train.evaluate', description=__doc__.split('\n')[0], allow_abbrev=False,
                                   formatter_class=command.Help)
    made.add_argument('--workdir', required=True, type=command.location, metavar='DIR', help='workdir of a run or of an import')
    made.add_argument('--data', metavar='TEXT', help='bundled:NAME, files, folders and globs, tfds:NAME:SPLIT; all of it; '
                                                     'default: the text that the run held out')
    formats.add_flags(made, documents=None)
    made.add_argument('--batches', type=int, metavar='N', help='estimate from a sample of about so many batches; default: everything')
    made.add_argument('--batch_size', type=int, metavar='N', help="rows of a batch; default: the run's")
    made.add_argument('--step', type=int, help='checkpoint to use; default: the newest')
    made.add_argument('--json', action='store_true', help='one JSON object instead of a table')
    made.set_defaults(defaults={action.dest: action.default for action in made._actions})
    return made


def check(options):
    """errors.Error with everything that is wrong with the options."""
    wrong = command.below(options, batches=1, batch_size=1) + command.without_run(options.workdir)
    if not options.data:
        wrong += command.unread(options, ('field', 'format', 'documents'), 'the text that the run held out is read as the run reads it')
    if wrong:
        raise errors.Error(wrong, kind='evaluate', end='nothing was evaluated')


def run(options):
    """Prints the metrics; imports JAX."""
    check(options)
    platform.prepare(os.environ)
    from train.prediction import measure
    found, deviations = measure.metrics(options)
    if options.json:
        return print(json.dumps({**found, **({'standard_errors': deviations} if deviations else {})}))
    width = max(map(len, found))
    for name, value in found.items():
        error = f' ± {deviations[name]:,.4f}' if name in deviations else ''
        print(f'{name:{width}}  {value:,.4f}{error}' if isinstance(value, float) else f'{name:{width}}  {value:,}')


main = command.entry(lambda argv: run(parser().parse_args(argv)))

if __name__ == '__main__':
    pages.prepare()
    command.main(main)
