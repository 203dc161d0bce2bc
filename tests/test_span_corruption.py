"""T5's span corruption: an example by hand, the inverse, lengths and sentinels over a corpus, and its config checks."""
import collections

import numpy as np
import pytest

from data import cache, corruption, example, vocabulary
from data.objectives import span_corruption

N = example.NEVER_SEEN
SPECIAL = vocabulary.Special(pad=0, eos=1, mask=2, cls=3, sep=4, sentinels=(999, 744), vocab_size=1000)


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
    tokens, _ = corruption.span_lengths(64, 0.15, 3.0)
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
        assert (corruption.merge(inputs, targets, SPECIAL) == text).all()
        in_inputs, in_targets = inputs[inputs >= 744], targets[targets >= 744]
        assert in_inputs.tolist() == [999 - j for j in range(len(in_inputs))]
        assert in_targets.tolist() == [999 - j for j in range(len(in_targets))]
        noise, spans = corruption.span_counts(len(text), objective.noise_density, objective.mean_span_length)
        if len(text) > 1:
            assert len(in_inputs) == len(in_targets) == spans and targets[0] == 999 and inputs[-1] >= 744
            assert len(targets) == noise + spans
            assert len(inputs) + 1 + len(targets) + 1 == len(text) + 2 * spans + 2
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
    tokens, _ = corruption.span_lengths(64, 0.15, 3.0)
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
    (dict(mean_span_length=float('inf')), 'objective.mean_span_length'),
    (dict(noise_density=0.7, mean_span_length=1.0), 'objective.noise_density'),
    (dict(sequence_length=1100, noise_density=0.5), 'objective.mean_span_length')])
def test_problems(fields, key):
    wrong = span_corruption.Objective(**{'sequence_length': 64, **fields}).problems(SPECIAL)
    assert [k for k, _ in wrong] == [key]


def test_sentinels_run_out_as_they_do_for_t5():
    """100 sentinels: enough up to 1,809 inputs at (0.15, 3), 403 at (0.5, 3), 906 at (0.5, 8), 1,005 at (0.25, 3)."""
    special = vocabulary.Special(pad=0, eos=1, mask=2, cls=3, sep=4, sentinels=(999, 900), vocab_size=1000)
    for density, mean, first in ((0.15, 3.0, 1810), (0.5, 3.0, 404), (0.5, 8.0, 907), (0.25, 3.0, 1006)):
        assert span_corruption.Objective(first - 1, density, mean).problems(special) == []
        (key, text), = span_corruption.Objective(first, density, mean).problems(special)
        assert key == 'objective.mean_span_length'
        assert f'sequence_length = {first} makes 101 spans, the tokenizer has 100 sentinels' in text


def test_too_many_spans_is_a_clear_error_even_unchecked():
    special = vocabulary.Special(pad=0, eos=1, mask=2, cls=3, sep=4, sentinels=(999, 998), vocab_size=1000)
    source = cache.Tokens.from_arrays([np.arange(5, 205)], special)
    objective = span_corruption.Objective(64)
    with pytest.raises(ValueError, match='tokenizer has 2; lower objective.noise_density or sequence_length'):
        objective.transform(source, objective.plan(source, 0, 0)[0], example.rng(0, 0, 0))


def test_what_it_states():
    objective = span_corruption.Objective(512)
    assert objective.lengths() == {'tokens': 114, 'targets': 114, 'encoder_tokens': 512}
    assert objective.architectures == ('encoder_decoder',) and objective.hint == 'causal' and not objective.likelihood
