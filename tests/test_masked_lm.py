"""BERT's masking: counts exact, specials never chosen, 80/10/10, slots that point where they say."""
import numpy as np
import pytest

from data import cache, example, vocabulary
from data.objectives import masked_lm

N = example.NEVER_SEEN
SPECIAL = vocabulary.Special(pad=0, eos=1, mask=2, cls=3, sep=4, sentinels=(999, 744), vocab_size=1000)


def corpus(*lengths, seed=0):
    draw = np.random.default_rng(seed)
    return cache.Tokens.from_arrays([draw.integers(5, 744, n) for n in lengths], SPECIAL)


def rows(objective, source, epoch=0, seed=0):
    for i, row in enumerate(objective.plan(source, seed, epoch)):
        yield objective.original(source, row), objective.transform(source, row, example.rng(seed, epoch, i))


def test_documents_are_cut_into_rows():
    objective, source = masked_lm.Objective(8), corpus(14, 1, 6)
    assert [o.tolist() for o, _ in rows(objective, source)] == [
        [3, *source.document(d)[a:b], 4] for d, a, b in ((0, 0, 6), (0, 6, 12), (0, 12, 14), (1, 0, 1), (2, 0, 6))]


def test_a_row_by_hand():
    """6 of 8 places used, one token masked: everything but the chosen place is known beforehand."""
    objective, source = masked_lm.Objective(8, mask=1.0, random=0.0, max_predictions=3), corpus(4)
    text, one = next(rows(objective, source))
    place = one['slots'][0]
    assert 1 <= place <= 4 and one['slots'].tolist() == [place, 0, 0]
    assert one['targets'].tolist() == [text[place], 0, 0] and one['weights'].tolist() == [1, 0, 0]
    assert one['tokens'].tolist() == [2 if i == place else t for i, t in enumerate(text)] + [0, 0]
    assert one['positions'].tolist() == [0, 1, 2, 3, 4, 5, 0, 0]
    assert one['segments'].tolist() == [1, 1, 1, 1, 1, 1, 0, 0]
    assert one['sees'].tolist() == [0, 0, 0, 0, 0, 0, -1, -1]
    assert one['seen'].tolist() == [0, 0, 0, 0, 0, 0, N, N]
    assert {name: value.dtype for name, value in one.items()} == {name: np.dtype(example.FIELDS[name]) for name in one}


@pytest.mark.parametrize('length, count', [(1, 1), (4, 1), (8, 2), (28, 4), (48, 8), (68, 10), (98, 15), (126, 19)])
def test_counts_are_exact(length, count):
    """length + 2 specials: 10 -> 1.5 -> 2, 30 -> 4.5 -> 4, 50 -> 7.5 -> 8, 70 -> 10.5 -> 10 (half to even)."""
    _, one = next(rows(masked_lm.Objective(128), corpus(length)))
    assert one['weights'].sum() == count == np.count_nonzero(one['slots']) and one['slots'].shape == (19,)


def test_slots_cap_the_count():
    _, one = next(rows(masked_lm.Objective(128, max_predictions=5), corpus(126)))
    assert one['weights'].tolist() == [1] * 5 and one['targets'].shape == (5,)


def test_targets_are_the_originals_and_the_rest_is_unchanged():
    objective, source = masked_lm.Objective(64), corpus(*range(1, 300, 7))
    for text, one in rows(objective, source):
        real = one['weights'] > 0
        slots = one['slots'][real]
        assert (one['targets'][real] == text[slots]).all() and (np.diff(slots) > 0).all()
        assert slots.min() >= 1 and slots.max() <= len(text) - 2
        kept = np.setdiff1d(np.arange(len(text)), slots)
        assert (one['tokens'][kept] == text[kept]).all() and (one['tokens'][len(text):] == SPECIAL.pad).all()
        assert (one['slots'][~real] == 0).all() and (one['targets'][~real] == SPECIAL.pad).all()


def test_reserved_ids_inside_the_text_are_never_chosen():
    ids = np.full(62, 10)
    ids[::2] = np.resize(SPECIAL.reserved, 31)
    objective, source = masked_lm.Objective(64, rate=0.9), cache.Tokens.from_arrays([ids], SPECIAL)
    for epoch in range(20):
        _, one = next(rows(objective, source, epoch))
        assert one['weights'].sum() == 31 and (one['targets'][one['weights'] > 0] == 10).all()
    only = cache.Tokens.from_arrays([SPECIAL.reserved[:20]], SPECIAL)
    assert next(rows(objective, only))[1]['weights'].sum() == 0


def test_80_10_10_and_uniform_over_the_whole_vocabulary():
    objective, source = masked_lm.Objective(512), corpus(*[510] * 200)
    said, read, tokens = [], [], 0
    for text, one in rows(objective, source):
        said.append(one['targets'])
        read.append(one['tokens'][one['slots']])
        tokens += len(text)
    said, read = np.concatenate(said), np.concatenate(read)
    n = len(said)
    assert n == 200 * 77

    def near(share, p):
        return abs(share - p) < 4 * np.sqrt(p * (1 - p) / n)
    assert near(np.mean(read == SPECIAL.mask), 0.8 + 0.1 / 1000)
    assert near(np.mean(read == said), 0.1 + 0.1 / 1000)
    assert abs(np.sum(read == SPECIAL.mask) / tokens - 0.8 * 77 / 512) < 4 * np.sqrt(0.8 * 0.2 * n) / tokens
    random = read[(read != SPECIAL.mask) & (read != said)]
    low, high = np.mean(random < 5), np.mean(random >= 744)   # special ids, sentinels: unused in the text
    assert low > 0 and abs(high - 0.256) < 4 * np.sqrt(0.256 * 0.744 / len(random))


def test_positions_are_equally_likely():
    objective, source = masked_lm.Objective(22, rate=0.2), corpus(20)
    counts = np.zeros(22)
    for epoch in range(1500):
        np.add.at(counts, next(rows(objective, source, epoch))[1]['slots'], 1)
    assert counts[0] == counts[21] == 0 and counts.sum() == 1500 * 4
    chi = ((counts[1:21] - 300) ** 2 / 300).sum()
    assert chi < 19 + 4 * np.sqrt(38)


def test_masks_are_dynamic_and_reproducible():
    objective, source = masked_lm.Objective(64), corpus(*[62] * 5)
    row = objective.plan(source, 0, 0)[2]
    one, again, other = (objective.transform(source, row, example.rng(0, epoch, 2)) for epoch in (0, 0, 1))
    assert all((one[name] == again[name]).all() for name in one)
    assert (one['slots'] != other['slots']).any()
    assert (objective.plan(source, 0, 0) == objective.plan(source, 0, 1)).all()


def test_lengths():
    assert masked_lm.Objective(128).lengths() == {'tokens': 128, 'targets': 19, 'slots': 19}
    assert masked_lm.Objective(512).lengths()['slots'] == 77
    assert masked_lm.Objective(128, max_predictions=20).lengths()['slots'] == 20


@pytest.mark.parametrize('fields, key', [
    (dict(sequence_length=2), 'sequence_length'), (dict(rate=0.0), 'objective.rate'),
    (dict(rate=1.0), 'objective.rate'),
    (dict(mask=1.5, random=0.0), 'objective.mask'), (dict(mask=0.8, random=0.3), 'objective.random'),
    (dict(max_predictions=63), 'objective.max_predictions'), (dict(max_predictions=-1), 'objective.max_predictions')])
def test_problems(fields, key):
    assert [k for k, _ in masked_lm.Objective(**{'sequence_length': 64, **fields}).problems()] == [key]


def test_no_problems():
    assert masked_lm.Objective(64).problems(SPECIAL) == [] == masked_lm.Objective(64, mask=0.9, random=0.1).problems()
