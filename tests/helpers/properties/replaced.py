"""Replaced-token detection: ELECTRA."""
import numpy as np

from tests.helpers.properties import batch, given, masked as mlm
from tests.helpers.properties.given import expect
from tests.helpers.properties.spans import rounded


def replaced_token_detection(examples, rate=0.15, mask=0.85, generator='model', single=0.1, **_):
    masked = drawn = 0
    alone, replacements = [], []
    for one, x in examples:
        batch.restarting(one, x)
        batch.full(one, x)
        mlm.pair(one, x)
        used = mlm.slots(one, x)
        room = int((rate + 0.005) * x.tokens.size)
        expect(x.slots.size == room, f'P = int((rate + 0.005) * L) = {room} slots', one)
        text = int((~np.isin(x.original, [x.special[name] for name in ('cls', 'sep', 'mask')])).sum())
        count = min(max(rounded(len(x.original) * rate), 1), room, text)
        expect(len(used) == count, f'{count} of {len(x.original)} tokens are drawn, got {len(used)}', one)
        new = x.tokens[used]
        if generator == 'model':
            expect(((new == x.special['mask']) | (new == x.original[used])).all(), 'a drawn token becomes [MASK] or stays', one)
            masked, drawn = masked + int((new == x.special['mask']).sum()), drawn + len(used)
        else:
            replacements.append((x, used))
        alone += single_segment(x)
    given.share(sum(alone), len(alone), single, 'share of rows of one segment, of those that could have two')
    if replacements:
        drawn_ids(replacements, generator)
    if generator == 'model':
        given.share(masked, drawn, mask, 'share of drawn tokens that are [MASK]')


def single_segment(x):
    """[whether the row is one segment] if its first sentence reaches the target of A, and the next could only go to B; else []."""
    if not given.is_bytes(x):
        return []
    size, sep = x.tokens.size, x.special['sep']
    text = x.original[1:-1]
    first = int(np.flatnonzero(x.original == sep)[0]) - 1
    pair = first < len(text)
    ends = given.sentence_ends(np.append(text[:first], [3 + ord(' '), 3 + ord('x')]) if pair else text)
    if not ends or not (size - 3) // 2 <= ends[0] <= size - 4 or ends[0] == first and not pair:
        return []
    return [not pair]


def drawn_ids(rows, generator):
    """Replacements without a network are ids of text: each as likely, or as frequent as in the text."""
    new = np.concatenate([x.tokens[used] for x, used in rows])
    special = rows[0][0].special
    reserved = [special[name] for name in ('pad', 'eos', 'mask', 'cls', 'sep')]
    first, last = special['sentinels']
    expect(not np.isin(new, reserved).any() and not ((new >= last) & (new <= first)).any(), 'replacements are text')
    if generator == 'uniform':
        ids = np.setdiff1d(np.arange(last), reserved)
        for part in np.array_split(ids, min(16, len(ids))):
            given.share(int(np.isin(new, part).sum()), len(new), len(part) / len(ids),
                        f'share of replacements among ids {part[0]} to {part[-1]}')
        return
    text = np.concatenate([x.original for x, _ in rows])
    common = np.argsort(-np.bincount(text[~np.isin(text, reserved)]))[:4]
    for i in common.tolist():                 # the rows' text is no independent sample: its spread is measured
        given.balanced([(x.tokens[used] == i).mean() - (x.original == i).sum() / (~np.isin(x.original, reserved)).sum()
                        for x, used in rows if len(used)], f'share of replacements that are {i}, which is frequent')
