"""Reads the examples that `train.inspect` is asked for, checks each of them, and shows them as text, JSON lines or a page."""
import dataclasses
import json

from data import corpus as corpora, pipeline
from train import objectives
from train.inspection import checks, look, rates
from train.settings import errors, parse, streams


def show(request: parse.Request) -> None:
    """Reads the examples and shows them; raises checks.Broken at the end if any breaks the contract."""
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
    for epoch, index in selected(objective, source, seed, options, shuffle):
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
        from train.inspection import page  # jinja2 and rich are imported where they are used: --json starts without them
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
        return lambda one, _: print(json.dumps(look.record(one, tokenizer), ensure_ascii=False))
    from train.inspection import terminal
    screen = terminal.console()
    for notice in notices:
        streams.complain(notice)
    return lambda one, found: terminal.show(screen, one, objective, tokenizer, found)


def selected(objective, source, seed, options, shuffle):
    """[(epoch, index)] of the examples asked for."""
    n, epoch = pipeline.size(objective, source, seed), options.epoch or 0
    if options.index is not None:
        if options.index >= n:
            text = f'an epoch has {n} examples: expected 0 to {n - 1}.'
            raise errors.Error([errors.Problem(f'--index = {options.index}', text)], end='nothing was shown')
        return [(epoch, index) for index in range(options.index, min(options.index + (options.num_examples or 1), n))]
    start = epoch * n if options.start is None else options.start
    count = options.num_examples or (200 if options.html else 4)
    return list(zip(*(part.tolist() for part in pipeline.epochs_and_indices(n, seed, range(start, start + count), shuffle))))
