"""`python -m train.generate --workdir=DIR --prompt="..."`: text from the model of a run.

Decoders continue the prompt; encoder-decoders read it and answer; encoders fill its masks, spelt <mask>. The newest good
checkpoint is used, its moving average of the weights if it has one, on whatever devices there are.
"""
import argparse
import json
import os

from train.parallel import platform
from train.settings import command, errors, pages


def parser():
    made = argparse.ArgumentParser(prog='python -m train.generate', description=__doc__.split('\n')[0], allow_abbrev=False,
                                   formatter_class=command.Help)
    made.add_argument('--workdir', required=True, type=command.location, metavar='DIR', help='workdir of a run')
    made.add_argument('--prompt', action='append', default=None, metavar='TEXT', help='may be given several times; default: the empty text')
    made.add_argument('--method', choices=('sample', 'greedy'), default='sample')
    made.add_argument('--temperature', type=float, default=0.8)
    made.add_argument('--top_k', type=int, default=0, metavar='K', help='draw from the K likeliest tokens; 0 = off')
    made.add_argument('--top_p', type=float, default=1.0, metavar='P', help='draw from the likeliest tokens with probability P together')
    made.add_argument('--num_return_sequences', type=int, default=1, metavar='N')
    made.add_argument('--max_new_tokens', type=int, default=128, metavar='N')
    made.add_argument('--step', type=int, default=None, help='checkpoint to use; default: the newest')
    made.add_argument('--seed', type=int, default=0)
    made.add_argument('--json', action='store_true', help='one JSON object a continuation: prompt, text, tokens')
    made.set_defaults(defaults={action.dest: action.default for action in made._actions})
    return made


def check(options):
    """errors.Error with everything that is wrong with the options."""
    wrong = [errors.Problem(f'--{name} = {getattr(options, name)}', f'expected {expected}.') for name, expected, fine in (
        ('temperature', 'more than 0; --method=greedy takes the likeliest token', 0 < options.temperature < float('inf')),
        ('top_k', '0 (off) or more', options.top_k >= 0),
        ('top_p', 'more than 0 and at most 1', 0 < options.top_p <= 1)) if not fine]
    wrong += command.below(options, num_return_sequences=1, max_new_tokens=1) + command.outside(options, seed=range(2**32))
    if options.method == 'greedy':
        wrong += command.unread(options, ('temperature', 'top_k', 'top_p'), '--method=greedy takes the likeliest token')
    if options.method == 'greedy' and options.num_return_sequences > 1:
        wrong.append(errors.Problem(f'--num_return_sequences = {options.num_return_sequences}',
                                      'greedy has one answer; use --method=sample for several.'))
    if wrong := wrong + command.without_run(options.workdir):
        raise errors.Error(wrong, kind='generate', end='nothing was generated')


def run(options):
    """Prints the answers; imports JAX."""
    check(options)
    platform.prepare(os.environ)
    from train.checkpoints import workdir
    from train.prediction import prompts
    found = prompts.answers(options)
    between = '' if workdir.read(options.workdir).model.architecture == 'decoder' else '\n→ '
    for i, one in enumerate(found):
        print(json.dumps(one, ensure_ascii=False) if options.json else '\n' * bool(i) + one['prompt'] + between + one['text'])


main = command.entry(lambda argv: run(parser().parse_args(argv)))

if __name__ == '__main__':
    pages.prepare()
    command.main(main)
