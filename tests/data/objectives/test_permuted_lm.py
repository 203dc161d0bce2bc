"""XLNet's data against its own algorithms, written out: masks, spans, pairs, ranks; rows that follow one another."""
import random

import numpy as np
import pytest

from data import errors, example, pipeline, special_tokens, tokenizer as tokenizers
from data.objectives import permuted_lm
from data.rows import streams
from data.text import cache, sentences, sources

SPECIAL = special_tokens.Special(pad=0, eos=1, mask=2, cls=3, sep=4, sentinels=(999, 744), vocab_size=1000)
STARTS = np.arange(1000) % 3 != 0


def corpus(*lengths, seed=0, every=7):
    draw = np.random.default_rng(seed)
    documents = [draw.integers(5, 744, n) for n in lengths]
    return cache.Tokens.from_arrays(documents, SPECIAL, [np.flatnonzero(draw.random(n) < 1 / every) for n in lengths],
                                    word_starts=STARTS)


def objective(size=32, **fields):
    return permuted_lm.Objective(size, **{'batch_size': 4, 'memory_length': 24, **fields})


def rows(objective, source, epoch=0, seed=0):
    for i, row in enumerate(pipeline.plan(objective, source, seed, epoch)):
        yield row, objective.transform(source, row, example.rng(seed, epoch, i))


def local_perm(index, masked, functional):
    """XLNet's `_local_perm` from its permutation: perm_mask[i, j] is True where i must not see j."""
    non_mask = ~masked & ~functional
    rev = np.where(non_mask, -1, index)
    own = np.where(masked & ~functional, rev, rev + 1)
    return (own[:, None] <= rev[None]) & ~non_mask[None]


@pytest.mark.parametrize('fields', [dict(), dict(permutation_length=4), dict(reuse_length=24, permutation_length=8),
                                    dict(num_predict=12)])
def test_the_integers_are_the_masks_of_the_original(fields):
    one_row = objective(**fields)
    reuse = one_row.reused
    for _, one in rows(one_row, corpus(300, 80, 200)):
        functional = np.isin(one['tokens'], (SPECIAL.sep, SPECIAL.cls))
        rank = one['seen']
        masked = (rank != 0) & (np.arange(32) < reuse) | (rank > reuse + 1)  # chosen or functional
        mask = np.zeros((32, 32), bool)
        for begin, end in ((0, reuse), (reuse, 32)):
            part = slice(begin, end)
            index = rank[part] - 1 - (reuse + 1) * (begin > 0)               # of those for which it matters
            mask[part, part] = local_perm(index, masked[part] & ~functional[part], functional[part])
        mask[:reuse, reuse:] = True
        content, query = mask & ~np.eye(32, dtype=bool), mask
        np.testing.assert_array_equal(rank[None] <= one['sees'][:, None], ~content)
        slots = one['slots'][one['weights'] > 0]
        np.testing.assert_array_equal(rank[None] <= rank[slots][:, None] - 1, ~query[slots])
        assert not query[slots].all(1).any()                                # every query sees something


def test_a_row_by_hand():
    """6 tokens, 4 to remember: one target a half, whose only rank is known, and what is left of A and B is one token each."""
    source = cache.Tokens.from_arrays([np.arange(100, 160)], SPECIAL, word_starts=STARTS)
    one_row = permuted_lm.Objective(10, batch_size=1, reuse_length=5, num_predict=2, memory_length=7, directions='forward')
    assert one_row.problems() == []
    (row, first), (_, second) = list(rows(one_row, source))[:2]
    assert row[1:5].tolist() == [0, 61, 0, 0]
    assert first['tokens'][:6].tolist() == list(range(100, 106)) and second['tokens'][:6].tolist() == list(range(105, 111))
    assert first['tokens'][[6, 8, 9]].tolist() == [SPECIAL.sep, SPECIAL.sep, SPECIAL.cls] and 100 <= first['tokens'][7] < 160
    assert first['types'].tolist() == [0] * 7 + [1, 1, 2] and first['segments'].tolist() == [1] * 10
    assert first['positions'].tolist() == list(range(10)) and second['positions'].tolist() == list(range(5, 15))
    ranks = first['seen'].tolist()
    assert (first['sees'] == first['seen']).all()
    target = first['slots'][0]
    assert [i for i in range(5) if ranks[i]] == [target] and 1 <= ranks[target] <= 5
    assert all(rank > 6 for rank in np.array(ranks)[[6, 8, 9]]) and min(ranks[5:]) == 6
    said = first['weights'] > 0
    assert first['targets'][said].tolist() == first['tokens'][first['slots'][said]].tolist()
    third = list(rows(one_row, source))[2][1]
    assert third['positions'][0] == 7                                        # no more than the memory holds


def naive_spans(starts, goal, draws, context):
    """XLNet's `_sample_mask` before the fill, with its numbers drawn beforehand and spans of n pieces."""
    size, mask, done, at = len(starts), np.zeros(len(starts), bool), 0, 0
    for n, share in draws:
        if at >= size or done >= goal:
            break
        n = min(n, goal - done)
        around = n * context
        left = int(share * around)
        right = around - left
        begin = at + left
        while begin < size and not starts[begin]:
            begin += 1
        if begin >= size:
            break
        end, count = begin + 1, 1
        while end < size:
            if starts[begin]:                                                # the piece that it looks at, PR 16
                count += 1
                if count > n:
                    break
            end += 1
        if end >= size:
            break
        mask[begin:end] = True
        done += end - begin
        at = end + right
    return mask


def test_spans_are_the_originals():
    filled = []
    for seed in range(300):
        draw = np.random.default_rng(seed)
        starts = draw.random(256) < 0.6
        found = permuted_lm.spans(starts, 43, 5, 6, 'token', np.random.default_rng(seed + 1))
        again = np.random.default_rng(seed + 1)
        weights = 1 / np.arange(1, 6)
        lengths = again.choice(np.arange(1, 6), 43, p=weights / weights.sum())
        mask = naive_spans(starts, 43, list(zip(lengths, again.random(43))), 6)
        assert found.sum() == 43 and (found | ~mask).all()
        assert not mask[-1]
        filled.append(43 - mask.sum())
    assert 5 < np.mean(filled) < 10                                          # about 36 of 256 come from spans


def test_lengths_of_spans_and_their_context():
    """Where words are as long as the context, spans stand alone: their lengths follow 1 / n."""
    counts = np.zeros(6)
    for seed in range(60):
        chosen = permuted_lm.spans(np.ones(4000, bool), 400, 5, 6, 'token', np.random.default_rng(seed))
        edges = np.flatnonzero(np.diff(np.concatenate([[0], chosen, [0]])))
        lengths, gaps = edges[1::2] - edges[::2], edges[2::2] - edges[1:-1:2]
        counts += np.bincount(lengths[:-1], minlength=6)[:6]                 # the last one may be cut
        assert gaps.mean() == pytest.approx(6 * lengths.mean(), rel=0.25)
    expected = np.array([.438, .219, .146, .109, .088])                      # runs that touch are rare and made longer
    n = counts.sum()
    assert (np.abs(counts[1:] / n - expected) < 0.02).all()


def test_spans_of_whole_words():
    for seed in range(50):
        starts = np.random.default_rng(seed).random(256) < 0.4
        chosen = permuted_lm.spans(starts, 40, 3, 6, 'word', np.random.default_rng(seed))
        assert chosen.sum() == 40
    starts = np.arange(300) % 3 == 0                                         # words of three pieces, room for ten
    chosen = permuted_lm.spans(starts, 30, 1, 6, 'word', np.random.default_rng(0))
    assert (chosen.reshape(-1, 3).all(1) | ~chosen.reshape(-1, 3).any(1)).all()


def split_a_and_b(data, parity, begin, room, rng):
    """XLNet's `_split_a_and_b` without targets; random numbers asked for as `permuted_lm.pair` does."""
    size, end, cuts = len(data), begin + 1, []
    while end < size:
        if parity[end] != parity[end - 1]:
            if end - begin >= room:
                break
            cuts.append(end)
        end += 1
    if not cuts or rng.random() < 0.5:
        a_end = cuts[rng.integers(len(cuts))] if cuts else end
        least = max(1, room - (a_end - begin))
        b_begin = rng.integers(0, size - 1 - least, endpoint=True)
        b_end = b_begin + least
        while b_begin > 0 and parity[b_begin - 1] == parity[b_begin]:
            b_begin -= 1
        while b_end < size - 1 and parity[b_end - 1] == parity[b_end]:
            b_end += 1
    else:
        a_end = cuts[rng.integers(len(cuts))]
        b_begin, b_end = a_end, end
    a_begin = begin
    while a_end - a_begin + b_end - b_begin > room:
        if a_end - a_begin > b_end - b_begin:
            a_end -= 1
        else:
            b_end -= 1
    return (a_begin, a_end), (b_begin, b_end)


@pytest.mark.parametrize('backwards', [False, True])
def test_pairs_are_the_originals(backwards):
    source = corpus(60, 3, 150, 41, seed=3, every=9)
    text = streams.text(source, 7)
    stream = streams.Stream(text, 4, 250, backwards)
    data, parity = stream.read(0, len(stream))[0], np.zeros(len(stream), int)
    parity[stream.read(0, len(stream))[1]] = 1
    parity = np.cumsum(parity)
    both = [0, 0]
    for seed in range(400):
        room = random.Random(seed).choice([2, 3, 8, 15, 29, 60])
        begin = random.Random(seed + 1).randrange(len(stream) - room)
        expected = split_a_and_b(data, parity, begin, room, np.random.default_rng(seed))
        found = permuted_lm.pair(stream, begin, room, np.random.default_rng(seed))
        assert found == expected
        both[found[0][1] == found[1][0]] += 1
    assert min(both) > 50


def test_targets_and_slots():
    few = 0
    for _, one in rows(objective(64), corpus(*[400] * 8)):
        weights, slots = one['weights'], one['slots']
        count = int(weights.sum())
        few += count < 10
        assert (weights == [1] * count + [0] * (10 - count)).all() and (slots[count:] == 0).all()
        assert (np.diff(slots[:count]) > 0).all()
        assert (one['targets'][:count] == one['tokens'][slots[:count]]).all() and (one['targets'][count:] == SPECIAL.pad).all()
        assert not np.isin(one['targets'][:count], (SPECIAL.sep, SPECIAL.cls)).any()
        assert (slots[:count] < 32).sum() == 5
        functional = np.isin(one['tokens'], (SPECIAL.sep, SPECIAL.cls))
        assert functional.sum() == 3 and (one['seen'][functional] > 33).all()
        assert {name: value.dtype for name, value in one.items()} == {name: np.dtype(example.FIELDS[name]) for name in one}
    assert few                                                               # the fill has met a <sep> or <cls>


def test_published_sizes():
    base = permuted_lm.Objective(512, batch_size=2)
    assert base.lengths() == {'tokens': 512, 'targets': 85, 'slots': 85} and base.problems() == []
    _, one = next(rows(base, corpus(5000)))
    assert (one['slots'][one['weights'] > 0] < 256).sum() == 43
    assert one['types'].tolist() == sorted(one['types']) and (one['types'] == 2).sum() == 1


def test_backward_rows_read_backwards():
    source, both = corpus(700, 300), objective(batch_size=4)
    made = list(rows(both, source))
    for (forward, one), (backward, other) in zip(made[0::4], made[2::4]):
        assert forward[1:4].tolist() == backward[1:4].tolist() and (forward[4], backward[4]) == (0, 1)
        assert (one['positions'] == -other['positions']).all()
    length = int(made[0][0][2])
    reads = [np.concatenate([one['tokens'][:16] for row, one in made if row[4] == way and row[1] == 0]) for way in (0, 1)]
    text = streams.Stream(streams.text(source, int(made[0][0][0])), 0, length, False).read(0, length)[0]
    assert (reads[0] == text[:len(reads[0])]).all() and (reads[1] == text[::-1][:len(reads[1])]).all()


def test_what_is_drawn_is_a_function_of_seed_epoch_and_index():
    source, one_row = corpus(700, 300), objective()
    first, again, epoch, seed = (list(rows(one_row, source, *which)) for which in ((0, 0), (0, 0), (1, 0), (0, 1)))
    assert len(first) == len(epoch) == len(seed)
    for name in first[0][1]:
        assert all((a[name] == b[name]).all() for (_, a), (_, b) in zip(first, again))
    for other in (epoch, seed):
        assert any((a['tokens'] != b['tokens']).any() for (_, a), (_, b) in zip(first, other))
        assert any((a['slots'] != b['slots']).any() for (_, a), (_, b) in zip(first, other))
    row = first[3][0]
    assert (one_row.original(source, row) == first[3][1]['tokens']).all()     # pairs belong to the plan, spans to the draw
    other = one_row.transform(source, row, example.rng(0, 9, 3))
    assert (other['tokens'] == first[3][1]['tokens']).all() and (other['slots'] != first[3][1]['slots']).any()


def test_too_little_text():
    source = corpus(70)
    one_row = objective(batch_size=8)
    made = list(rows(one_row, source))
    empty = [one for row, one in made if row[0] < 0]
    assert len(made) == 8 and len(empty) == 4
    full = next(one for row, one in made if row[0] >= 0)
    for one in empty:
        assert not one['weights'].any() and not one['segments'].any() and (one['seen'] == example.NEVER_SEEN).all()
        assert {name: (v.dtype, v.shape) for name, v in one.items()} == {name: (v.dtype, v.shape) for name, v in full.items()}
    with pytest.raises(errors.DataError, match='20 tokens are too few for one stream of sequence_length = 32'):
        one_row.plan(corpus(20), 0, 0)


@pytest.mark.parametrize('corpus_name', ['sanguo', 'novels'])
def test_bytes_and_chinese(corpus_name):
    """No span starts inside a character, but for what is left to the fill."""
    kind = tokenizers.Bytes()
    text = next(iter(sources.open(f'bundled:{corpus_name}')))[:3000]
    ids = np.asarray(kind.encode(text), np.int32)
    cuts = sentences.token_starts(text.encode(), ids, kind.token_bytes)
    source = cache.Tokens.from_arrays([ids], kind.special, [cuts], tokenizer=kind)
    starts = source.words(ids)
    assert 0 < starts.sum() < len(ids)
    one_row, whole = objective(64, batch_size=2), 0
    for row, one in rows(one_row, source):
        chosen = np.zeros(64, bool)
        chosen[one['slots'][one['weights'] > 0]] = True
        if row[4]:
            chosen, tokens = chosen[::-1], one['tokens'][::-1]
        else:
            tokens = one['tokens']
        begins = np.flatnonzero(np.diff(np.concatenate([[0], chosen])) > 0)
        whole += source.words(tokens)[begins].mean() > 0.5
    assert whole > 0.5 * len(one_row.plan(source, 0, 0))


def test_realised_rates_are_the_expected():
    one_row = objective(64, batch_size=8)
    counts = {name: np.zeros(2) for name in one_row.expected()}
    source = corpus(*[900] * 12)
    for row, one in rows(one_row, source):
        for name, pair in one_row.realised(source, row, one).items():
            counts[name] += pair
    assert counts['order_inverted'][1] > 500
    for name, share in one_row.expected().items():
        count, out_of = counts[name]
        assert abs(count / out_of - share) <= 4 * np.sqrt(share * (1 - share) / out_of)


@pytest.mark.parametrize('fields, key', [
    (dict(size=8), 'sequence_length'), (dict(reuse_length=28), 'objective.reuse_length'),
    (dict(num_predict=40), 'objective.num_predict'), (dict(num_predict=1), 'objective.num_predict'),
    (dict(permutation_length=5), 'objective.permutation_length'), (dict(size=33), 'objective.reuse_length'),
    (dict(memory_length=-1), 'objective.memory_length'), (dict(max_span=0), 'objective.max_span'),
    (dict(context=0), 'objective.context'), (dict(span_unit='piece'), 'objective.span_unit'),
    (dict(directions='backward'), 'objective.directions'), (dict(batch_size=3), 'batch_size')])
def test_problems(fields, key):
    assert [k for k, _ in objective(**fields).problems()] == [key]


def test_no_problems():
    assert objective().problems(SPECIAL) == [] == objective(batch_size=3, directions='forward', memory_length=0).problems()


@pytest.mark.parametrize('size', [10, 12, 18])
def test_the_shortest_rows(size):
    shortest = objective(size)
    assert shortest.problems(SPECIAL) == [] and shortest.lengths()['slots'] == max(2, size // 6)
    assert max(one['weights'].sum() for _, one in rows(shortest, corpus(300, 80, 200))) == max(2, size // 6)
