"""`python -m train.inspect --config=... [--num_examples=N] [--json | --html=FILE]`: what the model will be fed.

Raw text, the ids before and after corruption, targets, weights, positions, segments, the attention picture, and what the
objective did over N examples beside what its settings say. Nothing is trained or compiled, and JAX is imported only to trace a
loss of the objective's own. Every example is named by (epoch, index), from which it can be shown again. Exit code 7 if the
objective's hint is wrong for its arrays, the batch contract is broken in another way, or its loss lacks what the loop calls.
"""
import os
import sys

if not __package__:  # a command of this folder was started by its path: dataclasses then takes this file for Python's own `inspect`
    print(f'use python -m train.{os.path.basename(sys.argv[0]).removesuffix(".py")}', file=sys.stderr)
    sys.exit(2)

from train.settings import command, command_line, errors, parse

SHOWN = 24  # examples that a page shows in full


def parser():
    made = command_line.parser('train.inspect', 'Shows what the model will be fed: text, tokens, corruption, targets, attention.',
                        workdir=False)
    made.add_argument('--num_examples', type=int, metavar='N', help='how many; default: 4, with --html 200, with --index 1')
    made.add_argument('--json', action='store_true', help='one JSON object an example on standard output, nothing else')
    made.add_argument('--html', type=command.location, metavar='FILE', help='write one self-contained page')
    made.add_argument('--shown', type=int, default=SHOWN, metavar='N',
                      help='examples that the page shows in full; all are counted')
    made.add_argument('--split', choices=('train', 'eval'), default='train', help='eval: the held-out text with its fixed corruption')
    made.add_argument('--start', type=int, metavar='P', help='from position P of the run, the number of examples seen before; default 0')
    made.add_argument('--epoch', type=int, metavar='E', help='from the start of epoch E; with --index, the epoch that it is counted in')
    made.add_argument('--index', type=int, metavar='I',
                      help='example I of the epoch, as `index` and `epoch` of --json name it, and those after it')
    return made


def check(options):
    """Problems of the command's own flags."""
    yield from command.outside(options, num_examples=range(1, 10**6 + 1), start=range(2**62), epoch=range(2**31))
    yield from command.below(options, shown=0, index=0)
    if options.json and options.html:
        yield errors.Problem(f'--html = {options.html}', '--json writes to standard output; choose one of them.')
    if options.start is not None and (options.epoch is not None or options.index is not None):
        yield errors.Problem(f'--start = {options.start}', 'counts over epochs; choose it or --epoch and --index.')
    yield from command.unwritable('html', options.html)


def run(argv):
    """Shows the examples that a command line asks for."""
    try:
        request = parse.parse(argv, parser(), devices=False, check=check, end='nothing was shown')
        from train.inspection import examples
        examples.show(request)
        sys.stdout.flush()
    except BrokenPipeError:                   # `| head`: whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


main = command.entry(run)

if __name__ == '__main__':
    command.main(main)
