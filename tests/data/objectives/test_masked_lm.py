"""BERT's masking: counts exact, specials never chosen, 80/10/10, slots that point where they say."""
import numpy as np
import pytest

from data import example, special_tokens, tokenizer
from data.objectives import masked_lm
from data.text import cache, sources

N = example.NEVER_SEEN
SPECIAL = special_tokens.Special(pad=0, eos=1, mask=2, cls=3, sep=4, sentinels=(999, 744), vocab_size=1000)


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


# Words, n-grams, spans, pairs and full sentences, static masks, rates of documents.

RESERVED = np.zeros(1000, bool)
RESERVED[SPECIAL.reserved] = True


def sentences(count=30, seed=0, words=True):
    """A corpus of sentences whose ids from 400 on go on with a word."""
    draw, documents, starts = np.random.default_rng(seed), [], []
    for _ in range(count):
        lengths = draw.integers(1, 40, draw.integers(1, 12))
        documents.append(draw.integers(5, 744, lengths.sum()))
        starts.append(np.cumsum(lengths)[:-1])
    return cache.Tokens.from_arrays(documents, SPECIAL, starts, word_starts=np.arange(1000) < 400 if words else None)


KINDS = {
    'bert': dict(inputs='next_sentence', masks=10),
    'bert whole words': dict(inputs='next_sentence', select='word'),
    'albert': dict(inputs='sentence_order', select='ngram', masks=3),
    'roberta': dict(inputs='full_sentences', count='roberta', candidates='row', random_ids='text'),
    'roberta whole words': dict(inputs='full_sentences', count='roberta', select='word'),
    'spanbert': dict(inputs='doc_sentences', select='span'),
    'a rate a row': dict(inputs='full_sentences', max_rate=0.5),
    'a rate a document': dict(inputs='full_sentences', count_in='document', max_rate=0.5),
    'static rates': dict(count_in='document', max_rate=0.5, masks=2),
    'a count a document': dict(inputs='full_sentences', count_in='document', select='word'),
}


@pytest.mark.parametrize('name', KINDS)
def test_rows_of_every_kind(name):
    """Targets are the originals, the rest is unchanged, nothing is chosen twice, specials only where they may be."""
    objective, source = masked_lm.Objective(64, **KINDS[name]), sentences()
    assert objective.problems(SPECIAL) == []
    slots = objective.lengths()['slots']
    for text, one in rows(objective, source):
        real = one['weights'] > 0
        chosen = one['slots'][real]
        assert one['tokens'].shape == (64,) and one['slots'].shape == one['targets'].shape == (slots,)
        assert (one['targets'][real] == text[chosen]).all() and (np.diff(chosen) > 0).all() and (chosen < len(text)).all()
        assert objective.candidates == 'row' or not RESERVED[text[chosen]].any()
        kept = np.setdiff1d(np.arange(len(text)), chosen)
        assert (one['tokens'][kept] == text[kept]).all() and (one['tokens'][len(text):] == SPECIAL.pad).all()
        assert (one['slots'][~real] == 0).all() and not one['weights'][~real].any() and not one['segments'][len(text):].any()
        if objective.pair:
            first, second = np.flatnonzero(text == SPECIAL.sep)
            assert second == len(text) - 1
            assert one['types'].tolist() == [0] * (first + 1) + [1] * (second - first) + [0] * (64 - len(text))
            assert list(one['labels']) == [objective.pair] and one['labels'][objective.pair] in (0, 1)
        else:
            assert 'types' not in one and 'labels' not in one


@pytest.mark.parametrize('name', KINDS)
def test_reproducible_and_new_each_epoch(name):
    objective, source = masked_lm.Objective(64, **KINDS[name]), sentences()
    def epoch(number, seed=0):
        return [{field: np.asarray(value).tolist() for field, value in one.items()}
                for _, one in rows(objective, source, number, seed)]
    assert epoch(0) == epoch(0) != epoch(1)
    assert epoch(0) != epoch(0, seed=1)
    assert (epoch(0) == epoch(objective.masks or 7)) == bool(objective.masks)   # static: the same rows and masks again


@pytest.mark.parametrize('name', ['bert whole words', 'albert', 'spanbert', 'roberta whole words', 'a count a document'])
def test_words_are_chosen_whole(name):
    objective, source = masked_lm.Objective(64, **KINDS[name]), sentences()
    for text, one in rows(objective, source):
        chosen = np.zeros(len(text), bool)
        chosen[one['slots'][one['weights'] > 0]] = True
        goes_on = (text >= 400) & (text < 744)
        goes_on[1:] &= text[:-1] >= 5          # a special token begins a new word after it
        assert (chosen[1:] == chosen[:-1])[goes_on[1:]].all()


@pytest.mark.parametrize('name', ['bert', 'bert whole words', 'albert', 'spanbert'])
def test_bert_counts(name):
    """Exact for tokens; words, n-grams and spans may leave over what no word fits into."""
    objective, source = masked_lm.Objective(64, **KINDS[name]), sentences()
    for text, one in rows(objective, source):
        budget = min(10, max(1, round(0.15 * len(text))))
        assert one['weights'].sum() == budget if name == 'bert' else one['weights'].sum() <= budget
    total = sum(one['weights'].sum() for _, one in rows(objective, source))
    assert total > 0.85 * sum(min(10, max(1, round(0.15 * len(text)))) for text, _ in rows(objective, source))


def test_robertas_count_is_exact_on_average():
    """floor(0.15 n + u): 0.15 * 23 = 3.45 gives 3 or 4, and specials are counted and chosen like the rest."""
    objective, source = masked_lm.Objective(23, count='roberta', candidates='row'), corpus(21)
    counts, places = [], np.zeros(23)
    for epoch in range(3000):
        one = next(rows(objective, source, epoch))[1]
        counts.append(int(one['weights'].sum()))
        places[one['slots'][one['weights'] > 0]] += 1
    assert set(counts) == {3, 4} and abs(np.mean(counts) - 3.45) < 4 * np.sqrt(0.45 * 0.55 / 3000)
    assert ((places - 450) ** 2 / 450).sum() < 22 + 4 * np.sqrt(44)
    assert objective.lengths()['slots'] == 4 and masked_lm.Objective(512, count='roberta').lengths()['slots'] == 77


def test_robertas_words():
    """15 % of the words, all of each; those that do not fit the slots stay out whole."""
    source = cache.Tokens.from_arrays([np.tile([7, 500, 501], 40)], SPECIAL, word_starts=np.arange(1000) < 400)
    objective, counts = masked_lm.Objective(122, rate=0.16, count='roberta', select='word'), []
    for epoch in range(300):
        counts.append(next(rows(objective, source, epoch))[1]['weights'].sum())
    assert set(counts) == {18, 21} and abs(np.mean(counts) - 3 * 6.4) < 4 * 3 * np.sqrt(0.24 / 300)
    few = masked_lm.Objective(122, rate=0.16, count='roberta', select='word', max_predictions=10)
    assert {int(next(rows(few, source, epoch))[1]['weights'].sum()) for epoch in range(50)} == {9}


def test_random_ids_of_text_alone():
    objective, source = masked_lm.Objective(512, mask=0.0, random=1.0, random_ids='text'), corpus(*[510] * 40)
    read = np.concatenate([one['tokens'][one['slots']] for _, one in rows(objective, source)])
    counts = np.bincount(read, minlength=1000)
    assert not counts[RESERVED].any() and (counts[~RESERVED] > 0).mean() > 0.95


def test_a_rate_for_each_document():
    """All rows of a document share its rate, which is uniform over the documents and drawn anew each epoch."""
    source = corpus(*[310] * 200)
    objective = masked_lm.Objective(64, rate=0.1, max_rate=0.5, count_in='document')
    shares = {}
    for epoch in (0, 1):
        counts = np.array([one['weights'].sum() / len(text) for text, one in rows(objective, source, epoch)]).reshape(200, 5)
        assert (np.ptp(counts, axis=1) <= 1 / 64 + 1e-9).all()
        shares[epoch] = counts.mean(axis=1)
        assert abs(shares[epoch].mean() - 0.3) < 4 * np.sqrt(0.4**2 / 12 / 200)
        assert abs(np.quantile(shares[epoch], 0.25) - 0.2) < 0.05 and abs(np.quantile(shares[epoch], 0.75) - 0.4) < 0.05
    assert abs(np.corrcoef(shares[0], shares[1])[0, 1]) < 0.3
    free = masked_lm.Objective(64, rate=0.1, max_rate=0.5)                 # a rate for each row
    counts = np.array([one['weights'].sum() / 64 for _, one in rows(free, source)]).reshape(200, 5)
    assert np.ptp(counts, axis=1).mean() > 0.15


def test_a_count_for_each_document():
    """[CLS] 18 tokens [SEP] 28 tokens [SEP]: 0.1 of 20 and of 29, each by itself."""
    source = cache.Tokens.from_arrays([np.full(18, 10), np.full(28, 20)], SPECIAL)
    objective = masked_lm.Objective(60, rate=0.1, inputs='full_sentences', count_in='document')
    for epoch in range(20):
        text, one = next(rows(objective, source, epoch))
        said = one['targets'][one['weights'] > 0]
        assert len(text) == 49 and np.sum(said == 10) == 2 and np.sum(said == 20) == 3
    few = masked_lm.Objective(60, rate=0.1, inputs='full_sentences', count_in='document', max_predictions=3)
    said = [next(rows(few, source, epoch))[1]['targets'].tolist() for epoch in range(200)]
    assert all(len(one) == 3 and 0 not in one for one in said) and abs(np.mean(np.array(said) == 10) - 0.4) < 0.08


def test_whole_words_share_their_fate_in_roberta_alone():
    """Words of one to four tokens, none random: fairseq draws for each word, BERT for each token."""
    source = sentences(words=True)
    for count, fate, mixed in (('roberta', None, False), ('roberta', 'token', True), ('bert', None, True), ('bert', 'unit', False)):
        objective, found = masked_lm.Objective(64, select='word', count=count, fate=fate, random=0.0, mask=0.5), 0
        for text, one in rows(objective, source):
            slots = one['slots'][one['weights'] > 0]
            hidden = one['tokens'][slots] == SPECIAL.mask
            begins = (text[slots] < 400) | (np.diff(slots, prepend=-2) > 1)
            found += sum(len(set(word.tolist())) > 1 for word in np.split(hidden, np.flatnonzero(begins)[1:]))
        assert (found > 0) == mixed


@pytest.mark.parametrize('settings', [dict(select='span'), dict(select='ngram', fate='unit'), dict(select='span', fate='token')])
def test_spans_share_their_fate(settings):
    """Without random ids, which may be the original by chance: a span is [MASK] or stays as a whole, 0.8 to 0.2."""
    source, whole, masked, mixed = corpus(*[510] * 60), [], [], 0
    for text, one in rows(masked_lm.Objective(512, random=0.0, **settings), source):
        slots = one['slots'][one['weights'] > 0]
        hidden = one['tokens'][slots] == SPECIAL.mask
        assert (hidden | (one['tokens'][slots] == text[slots])).all()
        for run in np.split(hidden, np.flatnonzero(np.diff(slots) > 1) + 1):
            mixed += len(set(run.tolist())) > 1
            whole.append(run[0])
            masked += run.tolist()
    assert abs(np.mean(whole) - 0.8) < 4 * np.sqrt(0.16 / len(whole)) and abs(np.mean(masked) - 0.8) < 0.05
    if settings == dict(select='span'):
        assert mixed == 0 and len(whole) < len(masked) / 3
    else:                                     # n-grams may touch
        assert 0 < mixed < len(whole) * (0.7 if 'token' in settings.values() else 0.1)


@pytest.mark.parametrize('name', KINDS)
def test_realised_rates_are_the_expected(name):
    objective, source = masked_lm.Objective(64, **KINDS[name]), sentences(150)
    totals, plan = {}, objective.plan(source, 0, 0)
    assert len(plan) >= 200
    for i, row in enumerate(plan):
        for rate, pair in objective.realised(source, row, objective.transform(source, row, example.rng(0, 0, i))).items():
            totals[rate] = np.add(totals.get(rate, 0), pair)
    expected = objective.expected()
    assert {'mask', 'random', 'kept'} <= set(expected) <= set(totals)
    for rate, p in expected.items():
        count, out_of = totals[rate]
        assert abs(count / out_of - p) < max(4 * np.sqrt(p * (1 - p) / out_of), p / 4 * (rate in objective.rough)), rate


@pytest.mark.parametrize('fields, key', [
    (dict(inputs='pairs'), 'inputs'), (dict(select='words'), 'select'), (dict(count='exact'), 'count'),
    (dict(count_in='batch'), 'count_in'), (dict(fate='span'), 'fate'), (dict(candidates='all'), 'candidates'),
    (dict(random_ids='unigram'), 'random_ids'), (dict(max_rate=0.1), 'max_rate'), (dict(max_rate=1.0), 'max_rate'),
    (dict(short=1.5), 'short'), (dict(span_p=0.0), 'span_p'), (dict(max_ngram=0), 'max_ngram'), (dict(max_span=0), 'max_span'),
    (dict(masks=-1), 'masks')])
def test_problems_of_choices(fields, key):
    (found, text), = masked_lm.Objective(64, **fields).problems()
    assert found == f'objective.{key}' and text.startswith('expected ') and text.endswith(('.', '?'))
    if key == 'select':
        assert text == 'expected token, word, ngram or span. Did you mean word?'


def test_pairs_need_five_places():
    assert [key for key, _ in masked_lm.Objective(4, inputs='next_sentence').problems()] == ['sequence_length']
    assert masked_lm.Objective(5, inputs='next_sentence').problems() == []
    assert {len(text) for text, _ in rows(masked_lm.Objective(5, inputs='sentence_order'), sentences())} == {5}


@pytest.mark.parametrize('kind', ['bytes', 'unigram', 'bpe'])
def test_chinese(kind):
    """Every character that is spelt in bytes is a word; pieces are words; masks never cut a character in two."""
    texts = list(sources.open('bundled:sanguo'))[:6]
    vocabulary_ = tokenizer.train(texts, kind, 1500) if kind != 'bytes' else tokenizer.Bytes()
    ids = vocabulary_.encode_batch(texts)
    source = cache.Tokens.from_arrays(ids, vocabulary_.special, tokenizer=vocabulary_, token_bytes=vocabulary_.token_bytes)
    for select in ('word', 'span', 'ngram'):
        objective, spelt = masked_lm.Objective(128, select=select), 0
        for i, row in enumerate(objective.plan(source, 0, 0)[:100]):
            text, one = objective.original(source, row), objective.transform(source, row, example.rng(0, 0, i))
            chosen = np.zeros(len(text), bool)
            chosen[one['slots'][one['weights'] > 0]] = True
            budget = min(19, max(1, round(0.15 * len(text))))
            assert budget - 3 < chosen.sum() <= budget
            lengths = [len(vocabulary_.table[t]) for t in text]
            inside = np.array([n == 1 and 0x80 <= vocabulary_.table[t][0] < 0xC0 for n, t in zip(lengths, text)])
            inside[:2] = False                 # a row may begin inside a character
            assert (chosen[1:] == chosen[:-1])[inside[1:]].all()
            spelt += (inside & chosen).sum()
        assert spelt > 0
