"""Permuted language modelling: XLNet."""
import numpy as np

from tests.helpers.properties import given, words
from tests.helpers.properties.given import expect


def permuted_lm(examples, reuse_length=0, num_predict=0, permutation_length=0, batch_size=0, directions='both', max_span=5, context=6,
                span_unit='token', **_):
    later = pairs = 0
    windows, measured, drawn_spans, rng = {}, [], [], np.random.default_rng(0)
    for one, x in examples:
        if not len(x.original):
            expect(not x.counted.any() and not x.real.any(), 'a row without text counts for nothing', one)
            continue
        size, room = len(x.original), num_predict or len(x.original) // 6
        reuse = reuse_length or size // 2
        block = permutation_length or reuse
        expect(np.array_equal(x.tokens, x.original) and x.real.all() and x.slots.size == room, 'the row is full and nothing is replaced',
               one)
        seps = np.flatnonzero(x.tokens == x.special['sep'])
        expect(len(seps) == 2 and seps[1] == size - 2 and x.tokens[-1] == x.special['cls'], 'R tokens, A <sep> B <sep> <cls>', one)
        types = np.where(np.arange(size) <= seps[0], 0, np.where(np.arange(size) < size - 1, 1, 2))
        expect((x.types == types).all(), 'types 0, 1 and 2 for <cls>', one)
        used = x.slots[x.counted]
        expect((np.diff(used) > 0).all() and (x.targets[x.counted] == x.tokens[used]).all(), 'the targets stand in the row', one)
        functional = np.isin(np.arange(size), [*seps, size - 1])
        expect(not functional[used].any(), 'separators and <cls> are not predicted', one)
        first = int((used < reuse).sum())
        expect(first == room - room // 2, f'{room - room // 2} targets in the first half, got {first}', one)
        expect(room // 2 - 3 <= len(used) - first <= room // 2, f'at most {room // 2} targets in the second half', one)
        expect((x.sees == x.seen).all(), 'the content stream sees up to its own rank', one)
        hidden = functional | np.isin(np.arange(size), used)
        for begin, end in ((0, reuse), (reuse, size)):
            rank, out = x.seen[begin:end], hidden[begin:end]
            visible = rank[~out]
            # A special token that was also drawn as a target keeps its rank.
            expect((visible == visible[:1]).all() and (rank[out] > visible[:1]).all(), 'context ranks first, all alike', one)
            expect(len(set(rank[out].tolist())) == out.sum(), 'what is hidden has ranks of its own', one)
            offset = rank - visible[:1] - 1 - np.arange(end - begin) // block * block
            if end - begin > block:
                for place in range(block):
                    same = offset[place::block][out[place::block]]
                    expect((same == same[:1]).all(), 'one permutation, repeated along the half', one)
        expect(x.seen[:reuse].max() < x.seen[reuse:].min(), 'the first half does not see the second, which sees all of it', one)
        steps = np.diff(x.positions)
        expect((steps == steps[0]).all() and abs(int(steps[0])) == 1, 'positions count along the text', one)
        if batch_size:
            backwards = directions == 'both' and one['index'] % batch_size >= batch_size // 2
            expect(steps[0] == (-1 if backwards else 1), 'the second half of the rows reads backwards', one)
            before = windows.get((one['epoch'], one['index'] - batch_size))
            if before is not None:
                a = before.tokens[reuse:reuse + min(reuse, int(np.flatnonzero(before.tokens == x.special['sep'])[0]) - reuse)]
                expect((x.tokens[:len(a)] == a).all(), 'a row goes on where the one before it, a batch ago, was', one)
        windows[one['epoch'], one['index']] = x
        if given.is_bytes(x):
            starts = given.word_starts(x.tokens[:reuse])
            starts = starts[::-1] if steps[0] < 0 else starts
            measured.append(runs(np.isin(np.arange(reuse), used)))
            drawn_spans.append([runs(targets(starts, room - room // 2, max_span, context, span_unit, rng)) for _ in range(8)])
        drawn = used[used < block]
        drawn = drawn[:len(drawn) // 2 * 2].reshape(-1, 2)
        pairs, later = pairs + len(drawn), later + int((x.seen[drawn[:, 0]] > x.seen[drawn[:, 1]]).sum())
    given.share(later, pairs, 0.5, 'of two targets, how often the later is said first')
    given.alike(measured, drawn_spans, 'targets in the first half')


def targets(starts, goal, longest, context, unit, rng):
    """bool[n]: targets as XLNet's `_sample_mask` draws them, token by token, in the direction of the text.

    n of 1..longest with p(n) proportional to 1 / n; `context * n` tokens, of which uniform {0..context * n - 1} lie before the
    span, which starts with the next word; what is lacking of the goal at the end of the text is drawn uniformly.
    """
    chosen, at = np.zeros(len(starts), bool), 0
    while chosen.sum() < goal:
        n = min(int(rng.choice(longest, p=words.harmonic(longest))) + 1, goal - int(chosen.sum()))
        before = int(rng.integers(n * context))
        begin = at + before
        while begin < len(starts) and not starts[begin]:
            begin += 1
        end = begin + n
        if unit == 'word':
            later = np.flatnonzero(starts[begin:])
            end = min(begin + int(later[n]) if n < len(later) else len(starts), begin + goal - int(chosen.sum()))
        if end >= len(starts):
            break
        chosen[begin:end] = True
        at = end + n * context - before
    rest = np.flatnonzero(~chosen)
    chosen[rng.choice(rest, goal - int(chosen.sum()), replace=False)] = True
    return chosen


def runs(chosen):
    """Runs of neighbouring targets, and the longest of them."""
    lengths = np.diff(np.flatnonzero(np.diff(chosen.astype(int), prepend=0, append=0)))[::2]
    return {'runs': len(lengths), 'longest run': int(lengths.max(initial=0))}
