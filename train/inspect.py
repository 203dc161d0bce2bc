"""`python -m train.inspect --config=... [--num_examples=N] [--json | --html=FILE]`: what the model will be fed.

Raw text, the ids before and after corruption, targets, weights, positions, segments, the attention picture, and what the
objective did over N examples beside what its settings say. Nothing is trained or compiled, and JAX is imported only to trace a
loss of the objective's own. Every example is named by (epoch, index), from which it can be shown again. Exit code 7 if the
objective's hint is wrong for its arrays, the batch contract is broken in another way, or its loss lacks what the loop calls.
"""
import dataclasses
import json
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
    made.add_argument('--html', metavar='FILE', help='write one self-contained page')
    made.add_argument('--shown', type=int, default=SHOWN, metavar='N',
                      help=f'examples that the page shows in full ({SHOWN}); all are counted')
    made.add_argument('--split', choices=('train', 'eval'), default='train', help='eval: the held-out text with its fixed corruption')
    made.add_argument('--start', type=int, metavar='P', help='from position P of the run, the number of examples seen before; default 0')
    made.add_argument('--epoch', type=int, metavar='E', help='from the start of epoch E; with --index, the epoch that it is counted in')
    made.add_argument('--index', type=int, metavar='I',
                      help='example I of the epoch, as `index` and `epoch` of --json name it, and those after it')
    return made


def check(options):
    """Problems of the command's own flags."""
    yield from command.below(options, num_examples=1, shown=0, start=0, epoch=0, index=0)
    if options.json and options.html:
        yield errors.Problem(f'--html = {options.html}', '--json writes to standard output; choose one of them.')
    if options.start is not None and (options.epoch is not None or options.index is not None):
        yield errors.Problem(f'--start = {options.start}', 'counts over epochs; choose it or --epoch and --index.')
    if options.html and not os.path.isdir(os.path.dirname(os.path.abspath(options.html))):
        yield errors.Problem(f'--html = {options.html}', 'no such folder; make it first.')


def inspect(request):
    """Reads the examples and shows them; raises checks.Broken at the end if any breaks the contract."""
    from data import corpus as corpora, pipeline
    from train import objectives
    from train.inspection import checks, look, rates

    config, options = request.config, request.options
    notices = list(request.notices)
    corpus = corpora.open(config.data, config.tokenizer, notices.append)
    config = parse.with_vocabulary(config, corpus.tokenizer, request.origins)
    if options.split == 'eval':
        config = dataclasses.replace(config, objective=config.objective.evaluated())
    objective, source, tokenizer = config.objective, getattr(corpus, options.split), corpus.tokenizer
    if source is None:
        text = 'nothing is held out: set data.eval, or data.eval_fraction above 0.'
        raise errors.Error([errors.Problem('--split = eval', text)], end='nothing was shown')
    seed, shuffle = (0, False) if options.split == 'eval' else (config.seed, objective.shuffled)  # as train/prediction/evaluation.py
    sums, wrong, kept = rates.Rates(objective, source), {}, []
    write = shower(options, objective, tokenizer, notices)
    if objective.own_loss or objectives.own(objective.name):
        from train.inspection import losses
        first = pipeline.make(objective, source, seed, 0, 0)
        wrong = {sentence: sentence for sentence in losses.findings(config, first)}
    for epoch, index in places(objective, source, seed, options, shuffle):
        one = look.read(objective, source, seed, epoch, index)
        found = checks.findings(one.example, objective, tokenizer.special, config.model.limit)
        for sentence in found:
            wrong.setdefault(sentence.partition('(')[0], f'example {index} of epoch {epoch}: {sentence}')
        sums.add(one)
        if write:
            write(one, found)
        elif len(kept) < options.shown:
            kept.append((one, found))
    if options.html:
        from train.inspection import page
        size = pipeline.size(objective, source, seed)
        page.write(options.html, config, source, tokenizer, sums, kept, list(wrong.values()), notices, size)
        print(f'{options.html}: {sums.examples} examples, {len(kept)} of them in full')
    elif not options.json:
        from train.inspection import terminal
        terminal.summary(terminal.console(), sums)
    if wrong:
        raise checks.Broken('\n'.join([f'{len(wrong)} kind{"s" * (len(wrong) > 1)} of fault', *(
            f'  {i}. {sentence}' for i, sentence in enumerate(wrong.values(), 1))]))


def shower(options, objective, tokenizer, notices):
    """show(look, findings) for the kind of output; None where the page is written at the end."""
    if options.html:
        return None
    if options.json:
        from train.inspection import look
        return lambda one, _: print(json.dumps(look.record(one, tokenizer), ensure_ascii=False))
    from train.inspection import terminal
    screen = terminal.console()
    for notice in notices:
        print(notice, file=sys.stderr)
    return lambda one, found: terminal.show(screen, one, objective, tokenizer, found)


def places(objective, source, seed, options, shuffle):
    """[(epoch, index)] of the examples asked for."""
    from data import pipeline
    n, epoch = pipeline.size(objective, source, seed), options.epoch or 0
    if options.index is not None:
        if options.index >= n:
            text = f'an epoch has {n} examples: expected 0 to {n - 1}.'
            raise errors.Error([errors.Problem(f'--index = {options.index}', text)], end='nothing was shown')
        return [(epoch, index) for index in range(options.index, min(options.index + (options.num_examples or 1), n))]
    start = epoch * n if options.start is None else options.start
    count = options.num_examples or (200 if options.html else 4)
    return list(zip(*(part.tolist() for part in pipeline.places(n, seed, range(start, start + count), shuffle))))


def run(argv):
    """Shows the examples that a command line asks for."""
    try:
        inspect(parse.parse(argv, parser(), devices=False, check=check, end='nothing was shown'))
        sys.stdout.flush()
    except BrokenPipeError:                   # `| head`: whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


main = command.entry(run)

if __name__ == '__main__':
    command.main(main)
