"""T5's span corruption: examples by hand, the inverse, lengths and sentinels over a corpus, T5's other objectives, config checks."""
import collections

import numpy as np
import pytest

from data import example, special_tokens, tokenizer
from data.noise import spans
from data.objectives import span_corruption
from data.rows import sides as two_sides
from data.text import cache, sources
from tests.helpers import spans as helper

N = example.NEVER_SEEN
SPECIAL = special_tokens.Special(pad=0, eos=1, mask=2, cls=3, sep=4, sentinels=(999, 744), vocab_size=1000)


def corpus(*lengths, seed=0):
    draw = np.random.default_rng(seed)
    return cache.Tokens.from_arrays([draw.integers(5, 744, n) for n in lengths], SPECIAL)


def rows(objective, source, epoch=0, seed=0):
    for i, row in enumerate(objective.plan(source, seed, epoch)):
        yield objective.original(source, row), objective.transform(source, row, example.rng(seed, epoch, i))


def sides(one):
    """(inputs, targets) without EOS and padding."""
    inputs = one['encoder_tokens'][one['encoder_segments'] > 0]
    targets = one['targets'][one['weights'] > 0]
    assert inputs[-1] == SPECIAL.eos == targets[-1]
    return inputs[:-1], targets[:-1]


def test_an_example_by_hand():
    """One span: the noise is the end of the row (see test_corruption), so nothing is random."""
    objective = span_corruption.Objective(10, noise_density=0.25, mean_span_length=3.0)
    source = cache.Tokens.from_arrays([np.arange(10, 21)], SPECIAL)
    (text, one), = rows(objective, source)
    assert text.tolist() == [*range(10, 21)]
    assert {name: value.tolist() for name, value in one.items()} == {
        'encoder_tokens': [10, 11, 12, 13, 14, 15, 16, 17, 999, 1],
        'encoder_positions': [*range(10)], 'encoder_segments': [1] * 10, 'encoder_sees': [0] * 10,
        'encoder_seen': [0] * 10,
        'tokens': [0, 999, 18, 19, 20], 'targets': [999, 18, 19, 20, 1], 'weights': [1] * 5,
        'positions': [*range(5)], 'segments': [1] * 5, 'sees': [*range(5)], 'seen': [*range(5)]}


def test_rows_are_the_whole_text():
    objective, source = span_corruption.Objective(64), corpus(500, 3, 41, 1, 90, 700)
    tokens, _ = spans.span_lengths(64, 0.15, 3.0)
    for epoch in (0, 1):
        texts = [text for text, _ in rows(objective, source, epoch)]
        assert all(len(text) == tokens for text in texts[:-1]) and len(texts) == -(-source.num_tokens // tokens)
        assert collections.Counter(np.concatenate(texts).tolist()) == collections.Counter(source.flat.tolist())
    assert objective.plan(source, 0, 0)[0, 0] != objective.plan(source, 0, 1)[0, 0]


@pytest.mark.parametrize('fields', [dict(), dict(noise_density=0.5), dict(noise_density=0.2, mean_span_length=1.0),
                                    dict(noise_density=0.15, mean_span_length=8.0)])
def test_inverse_sentinels_and_lengths(fields):
    objective, source = span_corruption.Objective(64, **fields), corpus(*[37, 400, 5, 122, 1, 900])
    assert objective.problems(SPECIAL) == []
    sizes = objective.lengths()
    for text, one in rows(objective, source):
        inputs, targets = sides(one)
        assert (helper.merge(inputs, targets, SPECIAL) == text).all()
        in_inputs, in_targets = inputs[inputs >= 744], targets[targets >= 744]
        assert in_inputs.tolist() == [999 - j for j in range(len(in_inputs))]
        assert in_targets.tolist() == [999 - j for j in range(len(in_targets))]
        noise, count = spans.span_counts(len(text), objective.noise_density, objective.mean_span_length)
        if len(text) > 1:
            assert len(in_inputs) == len(in_targets) == count and targets[0] == 999 and inputs[-1] >= 744
            assert len(targets) == noise + count
            assert len(inputs) + 1 + len(targets) + 1 == len(text) + 2 * count + 2
        for name, value in one.items():
            length = sizes['encoder_tokens'] if name.startswith('encoder_') else sizes['targets']
            assert value.shape == (length,) and value.dtype == example.FIELDS[name]


def test_full_rows_fill_encoder_and_decoder():
    objective, source = span_corruption.Objective(512), corpus(568 * 3)
    for text, one in rows(objective, source):
        assert len(text) == 568 and (one['encoder_segments'] == 1).all()
        assert one['weights'].tolist() == [1] * 114


def test_decoder_reads_targets_shifted_from_bos():
    objective, source = span_corruption.Objective(64), corpus(300)
    for _, one in rows(objective, source):
        n = int(one['weights'].sum())
        assert one['tokens'][0] == SPECIAL.bos == SPECIAL.pad
        assert (one['tokens'][1:n] == one['targets'][:n - 1]).all() and (one['tokens'][n:] == SPECIAL.pad).all()
        assert one['positions'].tolist() == [*range(n)] + [0] * (len(one['tokens']) - n)
        assert one['sees'].tolist() == [*range(n)] + [-1] * (len(one['tokens']) - n)
        assert one['seen'].tolist() == [*range(n)] + [N] * (len(one['tokens']) - n)
        assert (one['segments'][:n] == 1).all() and (one['segments'][n:] == 0).all()


def test_encoder_is_bidirectional_and_the_last_row_padded():
    objective, source = span_corruption.Objective(64), corpus(90)
    *_, (text, one) = rows(objective, source)
    n = len(sides(one)[0]) + 1
    assert len(text) < 64 and (one['encoder_tokens'][n:] == SPECIAL.pad).all()
    assert one['encoder_sees'].tolist() == [0] * n + [-1] * (64 - n)
    assert one['encoder_seen'].tolist() == [0] * n + [N] * (64 - n)
    assert one['encoder_positions'].tolist() == [*range(n)] + [0] * (64 - n)


def test_a_last_row_of_one_token_hides_nothing():
    """T5's mask of one token is [False]: the inputs are the token, the targets one sentinel for it."""
    objective = span_corruption.Objective(64)
    tokens, _ = spans.span_lengths(64, 0.15, 3.0)
    *_, (text, one) = rows(objective, corpus(tokens + 1))
    inputs, targets = sides(one)
    assert inputs.tolist() == text.tolist() and targets.tolist() == [999]


def test_masks_are_dynamic_and_reproducible():
    objective, source = span_corruption.Objective(64), corpus(300)
    row = objective.plan(source, 0, 0)[0]
    one, again, other = (objective.transform(source, row, example.rng(0, epoch, 0)) for epoch in (0, 0, 1))
    assert all((one[name] == again[name]).all() for name in one)
    assert (one['encoder_tokens'] != other['encoder_tokens']).any()


@pytest.mark.parametrize('fields, key', [
    (dict(sequence_length=3), 'sequence_length'), (dict(noise_density=0.0), 'objective.noise_density'),
    (dict(noise_density=1.0), 'objective.noise_density'), (dict(mean_span_length=0.5), 'objective.mean_span_length'),
    (dict(noise_density=0.7, mean_span_length=1.0), 'objective.noise_density'),
    (dict(sequence_length=1100, noise_density=0.5), 'objective.mean_span_length'), (dict(noise='normal'), 'objective.noise'),
    (dict(style='dropped'), 'objective.style'), (dict(random=1.5), 'objective.random')])
def test_problems(fields, key):
    wrong = span_corruption.Objective(**{'sequence_length': 64, **fields}).problems(SPECIAL)
    assert [k for k, _ in wrong] == [key]


def test_sentinels_run_out_as_they_do_for_t5():
    """100 sentinels: enough up to 1,809 inputs at (0.15, 3), 403 at (0.5, 3), 906 at (0.5, 8), 1,005 at (0.25, 3)."""
    special = special_tokens.Special(pad=0, eos=1, mask=2, cls=3, sep=4, sentinels=(999, 900), vocab_size=1000)
    for density, mean, first in ((0.15, 3.0, 1810), (0.5, 3.0, 404), (0.5, 8.0, 907), (0.25, 3.0, 1006)):
        assert span_corruption.Objective(first - 1, density, mean).problems(special) == []
        (key, text), = span_corruption.Objective(first, density, mean).problems(special)
        assert key == 'objective.mean_span_length'
        assert f'sequence_length = {first} makes 101 spans, the tokenizer has 100 sentinels' in text


def test_too_many_spans_is_a_clear_error_even_unchecked():
    special = special_tokens.Special(pad=0, eos=1, mask=2, cls=3, sep=4, sentinels=(999, 998), vocab_size=1000)
    source = cache.Tokens.from_arrays([np.arange(5, 205)], special)
    objective = span_corruption.Objective(64)
    with pytest.raises(ValueError, match='tokenizer has 2; lower objective.noise_density or sequence_length'):
        objective.transform(source, objective.plan(source, 0, 0)[0], example.rng(0, 0, 0))


def test_what_it_states():
    objective = span_corruption.Objective(512)
    assert objective.lengths() == {'tokens': 114, 'targets': 114, 'encoder_tokens': 512}
    assert objective.architectures == ('encoder_decoder', 'decoder') and objective.hint == ('causal', 'padded') and not objective.likelihood
    decoder = span_corruption.Objective(512, architecture='decoder')
    assert decoder.lengths() == {'tokens': 626, 'targets': 626} and decoder.hint == ('ordered', 'padded')


@pytest.mark.parametrize('noise', span_corruption.NOISE)
def test_a_decoder_reads_the_same_corruption_in_one_row(noise):
    source = corpus(300, 41)
    both = [span_corruption.Objective(64, noise=noise, architecture=name) for name in ('encoder_decoder', 'decoder')]
    for (text, one), (same, row) in zip(*(rows(objective, source) for objective in both)):
        assert (text == same).all()
        for a, b in zip(sides(one), two_sides.split(row)):
            assert a.tolist() == b.tolist()
        read = len(sides(one)[0]) + 1
        assert row['tokens'][0] == SPECIAL.bos and row['weights'][:read].sum() == 0 and row['weights'][read] == 1
        assert (row['sees'][:read + 1] == read).all() and (row['seen'][:read + 1] == read).all()


@pytest.mark.parametrize('architecture', ['encoder_decoder', 'decoder'])
@pytest.mark.parametrize('style', span_corruption.STYLES)
@pytest.mark.parametrize('noise, density, mean', [('spans', 0.15, 3.0), ('rolled', 0.15, 3.0), ('rolled', 0.5, 3.0), ('iid', 0.15, 3.0),
                                                  ('iid', 0.5, 3.0)])
def test_every_noise_in_every_style_can_be_undone(noise, density, mean, style, architecture):
    objective = span_corruption.Objective(64, density, mean, noise=noise, style=style, architecture=architecture)
    assert objective.problems(SPECIAL) == []
    kept, hidden, longest = 0, 0, [0, 0]
    for text, one in rows(objective, corpus(37, 400, 5, 122, 1, 900)):
        inputs, targets = two_sides.split(one)
        longest = [max(longest[0], len(inputs) + 1), max(longest[1], len(targets) + 1)]
        if style == 'sentinels':
            assert (helper.merge(inputs, targets, SPECIAL) == text).all()
        elif style == 'drop':
            assert sorted([*inputs, *targets]) == sorted(text) and (inputs < 744).all()
            assert subsequence(inputs, text) and subsequence(targets, text)
        else:
            assert (targets == text).all() and len(inputs) == len(text)
            kept, hidden = kept + np.sum(inputs == text), hidden + np.sum(inputs == 999)
            assert ((inputs == text) | (inputs == 999)).all() or style == 'replace_full'
            assert (inputs[inputs != 999] < 744).all() and (inputs >= 5).all()
    assert longest[0] <= 64 and longest[1] <= objective.lengths()['targets'] - (64 if architecture == 'decoder' else 0)
    if style in ('drop', 'sentinels') and noise == 'spans':
        assert longest[0] == 64
    if style == 'replace_full':
        changed = 1465 - kept
        assert abs(hidden / changed - 0.9) < 4 * np.sqrt(0.09 / changed)


def subsequence(part, whole):
    rest = iter(whole.tolist())
    return all(token in rest for token in part.tolist())


def test_lengths_without_sentinels():
    """drop: t - round(0.15 t) + 1 <= 512 gives 601 tokens, 90 hidden; whole texts: 511 tokens and EOS on both sides."""
    assert span_corruption.Objective(512, style='drop').lengths() == {'tokens': 91, 'targets': 91, 'encoder_tokens': 512}
    assert len(span_corruption.Objective(512, style='drop').plan(corpus(601 * 4), 0, 0)) == 4
    for style in ('mask_full', 'replace_full'):
        assert span_corruption.Objective(512, style=style).lengths() == {'tokens': 512, 'targets': 512, 'encoder_tokens': 512}
    assert span_corruption.Objective(512, noise='rolled').lengths()['targets'] == spans.span_lengths(511, 0.15, 3.0)[1] + 1


def test_iid_by_hand(monkeypatch):
    """Noise at both ends: targets number on their own count and end with a sentinel where text follows (the paper's figure)."""
    mask = np.array([1, 1, 0, 0, 1, 0], bool)
    monkeypatch.setattr(spans, 'iid', lambda length, density, rng: mask.copy())
    source = cache.Tokens.from_arrays([np.arange(10, 16)], SPECIAL)
    found = {}
    for style in span_corruption.STYLES:
        (_, one), = rows(span_corruption.Objective(7, noise='iid', style=style, random=0.0), source)
        found[style] = [side.tolist() for side in sides(one)]
    assert found == {'sentinels': [[999, 12, 13, 998, 15], [10, 11, 999, 14, 998]], 'drop': [[12, 13, 15], [10, 11, 14]],
                     'mask_full': [[999, 999, 12, 13, 999, 15], [*range(10, 16)]],
                     'replace_full': [[999, 999, 12, 13, 999, 15], [*range(10, 16)]]}


def test_iid_sentinels_never_run_out_in_practice():
    """At most every other token begins a run: 513 inputs never need more than 256 + 1; beyond, 8 standard deviations are kept."""
    special = special_tokens.Special(pad=0, eos=1, mask=2, cls=3, sep=4, sentinels=(999, 700), vocab_size=1000)
    assert span_corruption.Objective(512, 0.5, noise='iid').problems(special) == []
    assert span_corruption.Objective(1024, 0.15, noise='iid').problems(special) == []
    (key, text), = span_corruption.Objective(1024, 0.5, noise='iid').problems(special)
    assert key == 'objective.noise_density' and 'the tokenizer has 300 sentinels' in text
    assert span_corruption.Objective(1024, 0.5, noise='iid', style='drop').problems(special) == []


@pytest.mark.parametrize('fields', [dict(), dict(noise='rolled'), dict(noise='iid'), dict(style='drop'), dict(style='mask_full'),
                                    dict(noise='iid', style='replace_full', random=0.3), dict(architecture='decoder')])
def test_realised_shares_are_the_expected(fields):
    objective, source = span_corruption.Objective(64, **fields), corpus(20_000)
    counts = np.zeros(2)
    for i, row in enumerate(objective.plan(source, 0, 0)):
        counts += objective.realised(source, row, objective.transform(source, row, example.rng(0, 0, i)))['noise']
    share = objective.expected()['noise']
    assert i >= 200 and abs(counts[0] / counts[1] - share) < 4 * np.sqrt(share * (1 - share) / counts[1])


@pytest.mark.parametrize('name', ['sanguo', 'novels'])
def test_bundled_text_in_bytes(name):
    """Chinese too: rows may cut a character, the merge gives every byte back."""
    vocab = tokenizer.Bytes()
    text = next(iter(sources.open(f'bundled:{name}')))[:3000]
    source = cache.Tokens.from_arrays(vocab.encode_batch([text]), vocab.special, tokenizer=vocab)
    objective, found = span_corruption.Objective(64), {}
    for row in objective.plan(source, 0, 0):
        inputs, targets = two_sides.split(objective.transform(source, row, example.rng(0, 0, 0)))
        found[row[0]] = helper.merge(inputs, targets, vocab.special)
    assert vocab.decode(np.concatenate([found[key] for key in sorted(found)])) == text
