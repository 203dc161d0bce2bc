"""The lines with which a run begins: what an epoch reads of the text, and how the first rows are corrupted."""
from typing import Iterator

import numpy as np

from data import pipeline
from data.text import cache
from train.inspection import look, rates
from train.settings import schema

ROWS, SHOWN = 1000, 8                         # rows that are looked at, rates that are shown
PART = 0.95                                   # a smaller share of the text is worth a notice


def measured(config: schema.Config, source: cache.Tokens) -> rates.Rates:
    """The Rates of the first ROWS rows of a resolved config's run over a text."""
    found, size = rates.Rates(config.objective, source), pipeline.size(config.objective, source, config.seed)
    located = pipeline.epochs_and_indices(size, config.seed, np.arange(min(size, ROWS)), config.objective.shuffled)
    for epoch, index in np.stack(located, axis=1).tolist():
        found.add(look.read(config.objective, source, config.seed, epoch, index))
    return found


def lines(config: schema.Config, source: cache.Tokens) -> Iterator[str]:
    """The documents, tokens and examples, how much of the text they read, the rates of corruption; then what deserves attention."""
    size, found = pipeline.size(config.objective, source, config.seed), measured(config, source)
    share = config.objective.coverage(source, pipeline.plan(config.objective, source, config.seed, 0))
    filled = ', '.join(f'{tokens / out_of:.1%} of {name}' for task, name, tokens, out_of in found.fill if task is None)
    yield (f'{len(source):,} documents, {source.num_tokens:,} training tokens · an epoch: {size:,} examples of {config.sequence_length} '
           f'tokens read {share:.1%} of the text · filled: {filled}')
    known = [rate for rate in found.rates if rate.out_of]
    if known:
        configured = ['' if rate.expected is None else f' ({rate.expected:.2%})' for rate in known]
        shown = [f'{rate.name} {rate.realised:.2%}{text}' for rate, text in zip(known[:SHOWN], configured)]
        rest = f' · and {len(known) - SHOWN} more' * (len(known) > SHOWN)
        yield f'realised (configured) over {found.examples:,} rows: {" · ".join(shown)}{rest}'
    for rate in known:
        if rate.off:
            yield (f'{rate.name} is {rate.realised:.2%} where {rate.expected:.2%} is configured, {rate.far:,.0f} standard errors apart; '
                   'python -m train.inspect shows the rows')
    if share < PART:
        yield f'an epoch reads {share:.1%} of the text; {config.objective.unread}'
    if len(source) < max(part.documents_needed for part in config.objective.parts()):
        yield 'what should come from another document comes from the same, as the text is one; data.documents says what a document is'
    if size < config.batch_size:
        yield f'an epoch has {size:,} examples, less than batch_size = {config.batch_size:,}: a batch holds rows of several epochs'
