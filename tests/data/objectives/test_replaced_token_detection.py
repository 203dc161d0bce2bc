"""ELECTRA's rows and draws: segments as in its example builder, the n table, specials never drawn, 85 % [MASK], seeds, epochs."""
import numpy as np
import pytest

from data import example, special_tokens, tokenizer as tokenizers
from data.objectives import replaced_token_detection
from data.text import cache, sentences

Objective = replaced_token_detection.Objective
N = example.NEVER_SEEN
SPECIAL = special_tokens.Special(pad=0, eos=1, mask=2, cls=3, sep=4, sentinels=(999, 744), vocab_size=1000)


def corpus(*documents, seed=0):
    """Documents of sentences of these lengths, random text."""
    draw = np.random.default_rng(seed)
    starts = [np.cumsum([0, *d[:-1]]) for d in documents]
    return cache.Tokens.from_arrays([draw.integers(5, 744, sum(d)) for d in documents], SPECIAL, starts)


def novels(seed=0, count=40):
    draw = np.random.default_rng(seed)
    return corpus(*[draw.integers(1, 30, draw.integers(1, 60)) for _ in range(count)], seed=seed)


def rows(objective, source, epoch=0, seed=0):
    for i, row in enumerate(objective.plan(source, seed, epoch)):
        yield row, objective.original(source, row), objective.transform(source, row, example.rng(seed, epoch, i))


def builder(documents, max_length, lengths, single, coin):
    """ELECTRA's ExampleBuilder (build_pretraining_dataset.py), its random draws injected: the ids of all examples."""
    sentences, out, lengths, single, coin = [], [], iter(lengths), iter(single), iter(coin)

    def create():
        goal = 100000 if next(single) else (target - 3) // 2
        heads, first, second = next(coin), [], []
        for sentence in sentences:
            if not first or len(first) + len(sentence) < goal or (not second and len(first) < goal and heads):
                first += sentence
            else:
                second += sentence
        first = first[:max_length - 2]
        second = second[:max(0, max_length - len(first) - 3)]
        out.append([SPECIAL.cls] + first + [SPECIAL.sep] + (second + [SPECIAL.sep] if second else []))
        sentences.clear()

    target = next(lengths)
    for document in documents:
        for sentence in document:
            sentences.append(sentence)
            if sum(map(len, sentences)) >= target:
                create()
                target = next(lengths, None)
        if sentences:
            create()
            target = next(lengths, None)
    return out


@pytest.mark.parametrize('size', [16, 40, 128])
@pytest.mark.parametrize('short, single', [(0.0, 0.0), (0.5, 0.3), (1.0, 1.0), (0.05, 0.1)])
def test_rows_are_those_of_the_original_builder(size, short, single):
    source, objective = novels(), Objective(size, short=short, single=single)
    plan = objective.plan(source, 3, 1)
    documents = [[s.tolist() for s in np.split(source.document(d), source.sentences(d)[1:])] for d in range(len(source))]
    expected = builder(documents, size, plan[:, 2], plan[:, 3] & 1, plan[:, 3] & 2)
    assert [objective.original(source, row).tolist() for row in plan] == expected
    types = [objective.transform(source, row, example.rng(0, 0, 0))['types'] for row in plan]
    for text, kinds in zip(expected, types):
        first = text.index(SPECIAL.sep) + 1
        assert kinds.tolist() == [0] * first + [1] * (len(text) - first) + [0] * (size - len(text))


@pytest.mark.parametrize('coins, first', [(0, 5), (replaced_token_detection.JOINS, 9), (replaced_token_detection.SINGLE, 14)])
def test_segments_by_hand(coins, first):
    """Half of the row is (16 - 3) // 2 = 6: 3 + 2 stays below, 4 more does not, the coin deals; single takes all, cut to 14."""
    source, objective = corpus([3, 2, 4, 1, 7]), Objective(16)
    flat = source.flat.tolist()
    second = [*flat[first:13], 4] if first < 13 else []
    assert objective.original(source, np.array([0, 5, 16, coins])).tolist() == [3, *flat[:first], 4, *second]


def test_a_short_sentence_may_join_the_first_segment_late():
    """Goal 9 of 22: 4 + 6 is too long, the coin says B; 4 + 2 still fits A, exactly as in the original."""
    source, objective = corpus([4, 6, 2, 10]), Objective(22, short=0.0)
    flat = source.flat.tolist()
    expected = [3, *flat[:4], *flat[10:12], 4, *flat[4:10], *flat[12:19], 4]
    assert objective.original(source, np.array([0, 4, 22, 0])).tolist() == expected


def test_long_sentences_are_cut_and_documents_end_rows():
    source, objective = corpus([100], [2, 1], [30, 1]), Objective(12, short=0.0, single=0.0)
    plan = objective.plan(source, 0, 0)
    assert plan[:, :2].tolist() == [[0, 1], [1, 3], [3, 4], [4, 5]]
    document = source.document(0)
    assert objective.original(source, plan[0]).tolist() == [3, *document[:10], 4]
    assert objective.original(source, plan[3]).tolist() == [3, source.document(2)[30], 4]


def test_a_row_by_hand():
    source, objective = corpus([3, 2, 4, 1, 7]), Objective(16, mask=1.0)
    row = np.array([0, 5, 16, 0])
    text, one = objective.original(source, row), objective.transform(source, row, example.rng(0, 0, 0))
    places = one['slots']
    assert places.shape == (2,) == one['targets'].shape and (np.diff(places) > 0).all()
    assert one['tokens'].tolist() == [2 if i in places else t for i, t in enumerate(text)]
    assert one['targets'].tolist() == text[places].tolist() and one['weights'].tolist() == [1, 1]
    assert one['positions'].tolist() == list(range(16)) and one['segments'].tolist() == [1] * 16
    assert one['sees'].tolist() == [0] * 16 == one['seen'].tolist()
    assert one['types'].tolist() == [0] * 7 + [1] * 9
    assert {name: value.dtype for name, value in one.items()} == {name: np.dtype(example.FIELDS[name]) for name in one}


@pytest.mark.parametrize('rate, size, slots', [(0.15, 128, 19), (0.15, 512, 79), (0.25, 512, 130), (0.15, 64, 9), (0.15, 5, 1)])
def test_slots(rate, size, slots):
    assert Objective(size, rate=rate).lengths() == {'tokens': size, 'targets': slots, 'slots': slots}


@pytest.mark.parametrize('length, count', [(1, 1), (4, 1), (8, 2), (28, 4), (48, 8), (68, 10), (98, 15), (126, 19), (500, 19)])
def test_counts_are_exact(length, count):
    """length + 2 specials: 10 -> 1.5 -> 2, 30 -> 4.5 -> 4, 50 -> 7.5 -> 8, 70 -> 10.5 -> 10 (half to even)."""
    (_, _, one), = rows(Objective(128, short=0.0, single=1.0), corpus([length]))
    assert one['weights'].sum() == count == np.count_nonzero(one['slots']) and one['slots'].shape == (19,)


def test_at_most_the_slots():
    """round(0.15 * 64) = 10, int(0.155 * 64) = 9."""
    (_, _, one), = rows(Objective(64, short=0.0, single=1.0), corpus([62]))
    assert one['weights'].tolist() == [1] * 9


@pytest.mark.parametrize('generator', replaced_token_detection.GENERATORS)
def test_only_text_is_drawn_and_the_rest_is_unchanged(generator):
    objective, source = Objective(64, generator=generator, short=0.3), novels()
    for _, text, one in rows(objective, source):
        real = one['weights'] > 0
        slots = one['slots'][real]
        assert (one['targets'][real] == text[slots]).all() and (np.diff(slots) > 0).all() and (text[slots] >= 5).all()
        kept = np.setdiff1d(np.arange(len(text)), slots)
        assert (one['tokens'][kept] == text[kept]).all() and (one['tokens'][len(text):] == SPECIAL.pad).all()
        assert (one['slots'][~real] == 0).all() and (one['targets'][~real] == SPECIAL.pad).all()
        assert one['segments'].sum() == len(text) and (one['seen'][len(text):] == N).all() and len(text) <= 64


def test_reserved_ids_inside_the_text_are_never_drawn():
    ids = np.full(62, 10)
    ids[::2] = np.resize(SPECIAL.reserved, 31)
    source = cache.Tokens.from_arrays([ids], SPECIAL)
    for epoch in range(20):
        (_, _, one), = rows(Objective(64, rate=0.9, short=0.0, single=1.0), source, epoch)
        assert one['weights'].sum() == 31 and (one['targets'][one['weights'] > 0] == 10).all()


def test_15_percent_of_the_draws_stay():
    objective, source = Objective(128), corpus(*[[126]] * 400)
    made = [one for _, _, one in rows(objective, source)]
    read, said = np.concatenate([one['tokens'][one['slots']] for one in made]), np.concatenate([one['targets'] for one in made])
    assert set(np.flatnonzero(read != said)) == set(np.flatnonzero(read == SPECIAL.mask))
    assert abs(np.mean(read == SPECIAL.mask) - 0.85) < 4 * np.sqrt(0.85 * 0.15 / len(read))


def test_positions_are_equally_likely_and_distinct():
    objective, source = Objective(22, rate=0.2, short=0.0, single=1.0), corpus([20])
    counts = np.zeros(22)
    for epoch in range(1500):
        np.add.at(counts, next(rows(objective, source, epoch))[2]['slots'], 1)
    assert counts[0] == counts[21] == 0 and counts.sum() == 1500 * 4
    assert ((counts[1:21] - 300) ** 2 / 300).sum() < 19 + 4 * np.sqrt(38)


def test_uniform_replacements_are_uniform_over_text():
    objective, source = Objective(128, generator='uniform'), corpus(*[[126]] * 300)
    read = np.concatenate([one['tokens'][one['slots']] for _, _, one in rows(objective, source)])
    counts = np.bincount(read, minlength=1000)
    assert counts[SPECIAL.reserved].sum() == 0
    expected = len(read) / 739
    assert ((counts[5:744] - expected) ** 2 / expected).sum() < 738 + 4 * np.sqrt(2 * 738)


def test_unigram_replacements_follow_the_corpus():
    ids = np.repeat([10, 11, 12], [600, 300, 100])
    documents = [np.random.default_rng(i).permutation(ids) for i in range(40)]
    source = cache.Tokens.from_arrays(documents, SPECIAL, [np.arange(0, 1000, 50)] * 40)
    made = [one for _, _, one in rows(Objective(128, generator='unigram'), source)]
    read = np.concatenate([one['tokens'][one['slots'][one['weights'] > 0]] for one in made])
    expected = np.array([0.6, 0.3, 0.1]) * len(read)
    assert ((np.bincount(read)[10:] - expected) ** 2 / expected).sum() < 2 + 4 * 2


def test_shares_of_single_segments_and_short_rows():
    objective, source = Objective(32), novels(count=400)
    plan = objective.plan(source, 0, 0)
    n = len(plan)
    assert abs(np.mean(plan[:, 3] & 1) - 0.1) < 4 * np.sqrt(0.09 / n)
    short = 0.05 * 27 / 28                   # 5 to 32, of which 32 is not short
    assert abs(np.mean(plan[:, 2] < 32) - short) < 4 * np.sqrt(short / n)
    assert plan[:, 2].min() >= 5 and set(plan[:, 3]) <= {0, 1, 2, 3}
    assert (plan[1:, 0] == plan[:-1, 1]).all() and plan[0, 0] == 0 and plan[-1, 1] == len(source.sentence_offsets)


def test_draws_and_rows_are_dynamic_and_reproducible():
    objective, source = Objective(64), novels()
    assert (objective.plan(source, 0, 1) == objective.plan(source, 0, 1)).all()
    a, b = objective.plan(source, 0, 0), objective.plan(source, 0, 1)
    assert len(a) != len(b) or (a != b).any()
    one, again, other = (objective.transform(source, a[2], example.rng(0, epoch, 2)) for epoch in (0, 0, 1))
    assert all((one[name] == again[name]).all() for name in one)
    assert (one['slots'] != other['slots']).any()


@pytest.mark.parametrize('generator', replaced_token_detection.GENERATORS)
def test_realised_rates_are_the_expected_ones(generator):
    objective, source = Objective(64, generator=generator), novels(count=200)
    total = {name: np.zeros(2) for name in objective.expected()}
    for row, _, one in rows(objective, source):
        for name, pair in objective.realised(source, row, one).items():
            total[name] += pair
    assert set(total) == {'drawn', 'single_segment'} | ({'masked'} if generator == 'model' else set())
    for name, p in objective.expected().items():
        assert abs(total[name][0] / total[name][1] - p) < 4 * np.sqrt(p * (1 - p) / total[name][1]), name


@pytest.mark.parametrize('text', ['却说曹操引兵至许都。玄德曰：「公乃当世英雄！」二人大笑。次日，再议。\n',
                                  'Call me Ishmael. Some years ago... never mind how long!\n'])
def test_bytes_and_chinese(text):
    tokenizer, text = tokenizers.Bytes(), text * 9
    ids = tokenizer.encode(text)
    starts = sentences.token_starts(text.encode(), ids, tokenizer.token_bytes)
    source = cache.Tokens.from_arrays([ids], tokenizer.special, [starts], tokenizer.token_bytes, tokenizer)
    objective = Objective(96)
    for _, original, one in rows(objective, source):
        assert original[0] == tokenizer.special.cls and original[-1] == tokenizer.special.sep
        merged = one['tokens'].copy()
        merged[one['slots'][one['weights'] > 0]] = one['targets'][one['weights'] > 0]
        assert merged[:len(original)].tolist() == original.tolist()


@pytest.mark.parametrize('fields, key', [
    (dict(sequence_length=4), 'sequence_length'), (dict(rate=0.0), 'objective.rate'), (dict(rate=1.0), 'objective.rate'),
    (dict(mask=1.5), 'objective.mask'), (dict(single=-0.1), 'objective.single'), (dict(short=2.0), 'objective.short'),
    (dict(generator='bigram'), 'objective.generator'), (dict(generator_dim=0.0), 'objective.generator_dim'),
    (dict(generator_layers=1.5), 'objective.generator_layers'), (dict(temperature=-1.0), 'objective.temperature'),
    (dict(discriminator_weight=-1.0), 'objective.discriminator_weight'),
    (dict(disallow_correct=True, generator='uniform'), 'objective.disallow_correct')])
def test_problems(fields, key):
    assert [k for k, _ in Objective(**{'sequence_length': 64, **fields}).problems()] == [key]


def test_no_problems():
    assert Objective(64).problems(SPECIAL) == [] == Objective(5, generator='unigram', mask=0.0, temperature=0.0).problems()
