"""BART: rows of whole sentences, an example by hand, each noise alone and all together, config checks."""
import collections
import math

import numpy as np
import pytest

from data import example, special_tokens, tokenizer
from data.noise import infilling
from data.objectives import denoising
from data.text import cache, sources

N = example.NEVER_SEEN
SPECIAL = special_tokens.Special(pad=0, eos=1, mask=2, cls=3, sep=4, sentinels=(999, 744), vocab_size=1000)
OFF = dict(permute=0.0, infill=0.0)


def corpus(*lengths, step=7, seed=0):
    draw = np.random.default_rng(seed)
    return cache.Tokens.from_arrays([draw.integers(5, 744, n) for n in lengths], SPECIAL, [range(0, n, step) for n in lengths])


SOURCE = corpus(500, 3, 41, 1, 90, 700)


def rows(objective, source, epoch=0):
    for i, row in enumerate(objective.plan(source, 0, epoch)):
        yield row, objective.original(source, row), objective.transform(source, row, example.rng(0, epoch, i))


def parts(one):
    """(inputs, targets) as the model has them, <s> and </s> included."""
    return one['encoder_tokens'][one['encoder_segments'] > 0], one['targets'][one['weights'] > 0]


def test_an_example_by_hand():
    """No noise: both sides are <s> text </s>, the decoder reads its targets turned right, so from </s> on."""
    source = cache.Tokens.from_arrays([[10, 11, 12]], SPECIAL)
    (_, text, one), = rows(denoising.Objective(7, **OFF), source)
    assert text.tolist() == [3, 10, 11, 12, 1]
    assert {name: value.tolist() for name, value in one.items()} == {
        'encoder_tokens': [3, 10, 11, 12, 1, 0, 0], 'encoder_positions': [0, 1, 2, 3, 4, 0, 0], 'encoder_segments': [1] * 5 + [0, 0],
        'encoder_sees': [0] * 5 + [-1, -1], 'encoder_seen': [0] * 5 + [N, N],
        'tokens': [1, 3, 10, 11, 12, 0, 0], 'targets': [3, 10, 11, 12, 1, 0, 0], 'weights': [1] * 5 + [0, 0],
        'positions': [0, 1, 2, 3, 4, 0, 0], 'segments': [1] * 5 + [0, 0], 'sees': [0, 1, 2, 3, 4, -1, -1], 'seen': [0, 1, 2, 3, 4, N, N]}


def test_rows_are_whole_sentences_of_one_document():
    """Nine sentences of 7 fit 64 - 2 tokens minus what is over; a sentence longer than a row is cut."""
    objective = denoising.Objective(64)
    table = objective.plan(SOURCE, 0, 0)
    assert (table[1:, 0] == table[:-1, 1]).all() and table[0, 0] == 0 and table[-1, 1] == SOURCE.num_tokens
    for begin, end in table.tolist():
        assert begin in SOURCE.sentence_offsets and (end in SOURCE.sentence_offsets or end == SOURCE.num_tokens)
        assert not np.any((SOURCE.offsets > begin) & (SOURCE.offsets < end)) and end - begin <= 62
        room = end + 7 - begin <= 62
        assert not room or end in SOURCE.offsets
    long = cache.Tokens.from_arrays([np.arange(5, 155), np.arange(5, 25)], SPECIAL, [[0, 140], [0]])
    assert objective.plan(long, 0, 0).tolist() == [[0, 62], [62, 124], [124, 150], [150, 170]]


@pytest.mark.parametrize('fields', [dict(), dict(replace_length=-1), dict(replace_length=0), dict(rotate=1.0), dict(insert=0.2, random=0.2),
                                    dict(infill=0.0, mask=0.15), dict(infill=0.0, delete=0.15), dict(full_stop=50, permute=0.5),
                                    dict(replace_length=-1, random=0.1, mask=0.1, delete=0.1, insert=0.3, rotate=0.5)])
@pytest.mark.parametrize('size', [16, 64])
def test_any_mixture_of_noise(size, fields, monkeypatch):
    """Targets are the clean row; <s> and </s> stay; inputs are text, [MASK]s and random text; no text is cropped."""
    infill = infilling.infill
    if size == 64:                            # no limit to spans of no word either; a row that is too long raises
        monkeypatch.setattr(infilling, 'infill', lambda *args: infill(*args[:8]))
    objective = denoising.Objective(size, **fields)
    assert objective.problems(SPECIAL) == []
    for _, text, one in rows(objective, SOURCE):
        inputs, targets = parts(one)
        assert (targets == text).all() and one['tokens'][0] == SPECIAL.eos and (one['tokens'][1:len(text)] == text[:-1]).all()
        assert (inputs[0], inputs[-1]) == (SPECIAL.cls, SPECIAL.eos)
        inner = inputs[1:-1]
        assert (np.isin(inner, SPECIAL.reserved) == (inner == SPECIAL.mask)).all()
        if not fields.get('random'):
            assert not collections.Counter(inner[inner != SPECIAL.mask].tolist()) - collections.Counter(text.tolist())
        for name, value in one.items():
            assert value.shape == (size,) and value.dtype == example.FIELDS[name]


@pytest.mark.parametrize('fields', [dict(), dict(infill=1.0, mean_span_length=1.0), dict(infill=1.0, mean_span_length=0.5),
                                    dict(infill=0.5, mean_span_length=0.1), dict(mean_span_length=17.0),
                                    dict(infill=1.0, mean_span_length=50.0), dict(infill=1.0, mean_span_length=0.5, insert=0.5)])
@pytest.mark.parametrize('replace_length', [1, 0, -1])
def test_spans_of_no_word_have_room(replace_length, fields, monkeypatch):
    """However many there are, the row's text stays whole: 250 full rows, none of which needs the limit."""
    infill, longest = infilling.infill, []
    objective = denoising.Objective(512, permute=0.0, replace_length=replace_length, **fields)
    monkeypatch.setattr(infilling, 'infill', lambda *args: longest.append(len(infill(*args[:8]))) or infill(*args))
    source = corpus(250 * objective._room(), step=objective._room())
    assert objective.problems(SPECIAL) == []
    for _, text, one in rows(objective, source):
        assert (parts(one)[1] == text).all()
    limit = objective._infilled
    assert len(longest) == 250 and max(longest) <= limit and (objective._room() == limit or max(longest) > 0.6 * limit)


def test_sentences_change_places_and_stay_whole():
    """With sentences alone the inputs are the corpus's sentences of that row, each unbroken, in another order."""
    moved = 0
    for row, text, one in rows(denoising.Objective(64, infill=0.0), SOURCE):
        inner, bounds = parts(one)[0][1:-1].tolist(), [*range(0, row[1] - row[0], 7), row[1] - row[0]]
        wanted = sorted(text[1:-1][a:b].tolist() for a, b in zip(bounds, bounds[1:]))
        found = []
        while inner:
            sentence = next(s for s in sorted(wanted, key=len, reverse=True) if inner[:len(s)] == s)
            found.append(sentence)
            inner = inner[len(sentence):]
        assert sorted(found) == wanted
        moved += found != [text[1:-1][a:b].tolist() for a, b in zip(bounds, bounds[1:])]
    assert moved > 10


def test_spans_begin_with_words():
    """Every third id begins a word: hidden stretches begin at one and end before one, or at the end of the row."""
    starts = np.zeros(1000, bool)
    starts[10:700:3] = True
    source = cache.Tokens.from_arrays([np.arange(10, 700)], SPECIAL, [range(0, 690, 30)], word_starts=starts)
    for by in denoising.SPANS_OF:
        broken = 0
        for _, text, one in rows(denoising.Objective(62, permute=0.0, replace_length=0, spans_of=by), source):
            inner = parts(one)[0][1:-1]
            kept = np.isin(text[1:-1], inner)
            broken += sum(len(set(kept[i:i + 3])) > 1 for i in range(0, len(kept), 3))
        assert (broken == 0) == (by == 'words')


def test_length_and_masks_of_full_rows():
    """The published figures again, documents to example: 418 inputs with 42.8 [MASK]s of 512."""
    objective, source = denoising.Objective(512, permute=0.0), corpus(510 * 400, step=510)
    found = np.array([(len(inputs), np.sum(inputs == SPECIAL.mask)) for inputs, _ in (parts(one) for _, _, one in rows(objective, source))])
    for values, published, digit in ((found[:, 0], 418, 0.5), (found[:, 1], 42.8, 0.3)):
        assert len(values) == 400 and abs(values.mean() - published) < digit + 4 * values.std() / 20


def test_rotation_by_its_probability():
    objective, source, turned = denoising.Objective(64, rotate=0.3, **OFF), corpus(62 * 500, step=62), 0
    for _, text, one in rows(objective, source):
        inner = parts(one)[0][1:-1]
        turns = [k for k in range(62) if (np.roll(text[1:-1], k) == inner).all()]
        assert turns
        turned += turns != [0]
    share = 0.3 * 61 / 62
    assert abs(turned / 500 - share) < 4 * math.sqrt(share * (1 - share) / 500)


@pytest.mark.parametrize('name', ['mask', 'delete', 'insert'])
def test_realised_counts_are_exact_for_single_tokens(name):
    objective = denoising.Objective(64, **{**OFF, name: 0.2})
    for row, text, one in rows(objective, SOURCE):
        found, count = objective.realised(SOURCE, row, one), len(text) - 2
        expected = math.ceil((count + 2) * 0.2) if name == 'insert' else math.ceil(count * 0.2)
        assert found['[MASK]s'] == (0 if name == 'delete' else expected, count)
        assert found['tokens hidden'] == (0 if name == 'insert' else expected, count)


def test_realised_with_spans():
    sums, objective, source = np.zeros(2), denoising.Objective(512), corpus(510 * 400, step=510)
    for row, _, one in rows(objective, source):
        sums += objective.realised(source, row, one)['tokens hidden']
    assert abs(sums[0] / sums[1] - 0.267) < 0.003


def test_dynamic_and_reproducible():
    objective = denoising.Objective(64)
    row = objective.plan(SOURCE, 0, 0)[0]
    one, again, other = (objective.transform(SOURCE, row, example.rng(0, epoch, 0)) for epoch in (0, 0, 1))
    assert all((one[name] == again[name]).all() for name in one) and (one['encoder_tokens'] != other['encoder_tokens']).any()
    assert (one['targets'] == other['targets']).all()
    assert (objective.plan(SOURCE, 0, 0) == objective.plan(SOURCE, 5, 1)).all()


def test_chinese_in_bytes(monkeypatch):
    """Spans of words tear no character: what follows a hidden one begins with a first byte. (Empty spans may lie anywhere.)"""
    monkeypatch.setattr(infilling, 'insert', lambda tokens, *rest: tokens)
    vocab = tokenizer.Bytes()
    text = next(iter(sources.open('bundled:sanguo')))[:3000]
    source = cache.Tokens.from_arrays(vocab.encode_batch([text]), vocab.special, tokenizer=vocab)
    objective = denoising.Objective(61)
    said = []
    for _, clean, one in rows(objective, source):
        said.append(clean[1:-1])
        inner = parts(one)[0][1:-1]
        begins = source.words(inner)
        after = np.flatnonzero(inner[:-1] == vocab.special.mask) + 1
        assert all(begins[i] or inner[i] == vocab.special.mask for i in after)
    assert vocab.decode(np.concatenate(said)) == text


@pytest.mark.parametrize('fields, key', [
    (dict(permute=1.5), 'objective.permute'), (dict(infill=-0.1), 'objective.infill'), (dict(rotate=2.0), 'objective.rotate'),
    (dict(mask=1.1), 'objective.mask'), (dict(delete=-1.0), 'objective.delete'), (dict(insert=1.1), 'objective.insert'),
    (dict(random=1.1), 'objective.random'), (dict(mean_span_length=0.0), 'objective.mean_span_length'),
    (dict(mean_span_length=1e-5), 'objective.mean_span_length'), (dict(mean_span_length=51.0), 'objective.mean_span_length'),
    (dict(sequence_length=16, infill=1.0, mean_span_length=0.5), 'sequence_length'),
    (dict(replace_length=2), 'objective.replace_length'), (dict(spans_of='bytes'), 'objective.spans_of'),
    (dict(full_stop=1000), 'objective.full_stop'), (dict(sequence_length=3), 'sequence_length')])
def test_problems(fields, key):
    assert [k for k, _ in denoising.Objective(**{'sequence_length': 64, **fields}).problems(SPECIAL)] == [key]


def test_what_it_states():
    objective = denoising.Objective(512)
    assert objective.lengths() == {'tokens': 512, 'targets': 512, 'encoder_tokens': 512} and objective.problems(SPECIAL) == []
    assert objective.prompt([7, 8], SPECIAL) == ([SPECIAL.cls, 7, 8], SPECIAL.eos) and objective.architectures == ('encoder_decoder',)
    assert infilling.poisson(3.5)[0] == pytest.approx(math.exp(-3.5), rel=1e-6)
