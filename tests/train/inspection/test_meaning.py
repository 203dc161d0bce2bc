"""What the inspector says of numbers that are not plain: labels, what a discriminator reads, rates that are not their setting."""
import numpy as np
import pytest

from data import objectives, tokenizer
from data.objectives import mixture
from data.text import cache
from train import inspect
from train.inspection import look

RTD = 'replaced_token_detection'


def shown(capsys, variant, *arguments):
    assert inspect.main([f'--config=configs/tiny.py:{variant}', *arguments]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize('inputs, meanings', [
    ('next_sentence', {'next_sentence 0 (B follows A)', 'next_sentence 1 (B does not follow A)'}),
    ('sentence_order', {'sentence_order 0 (in order)', 'sentence_order 1 (exchanged, or a random B)'})])
def test_labels_have_their_meaning(inputs, meanings, capsys):
    text = shown(capsys, 'masked_lm', f'--config.objective.inputs={inputs}', '--num_examples=20')
    assert meanings == {line.split(' · ')[2].rstrip(' ─') for line in text.splitlines() if inputs in line}


@pytest.mark.parametrize('name, fields, reasons', [
    ('masked_lm', {}, {'chosen': '10 of the 64 positions of a row; objective.rate = 0.15'}),
    ('masked_lm', dict(max_predictions=4), {'chosen': '4 of the 64 positions of a row; objective.rate = 0.15'}),
    ('masked_lm', dict(count='roberta', max_predictions=4), {'chosen': '4 of the 64 positions of a row; objective.rate = 0.15'}),
    ('masked_lm', dict(count='roberta'), {}),
    ('masked_lm', dict(rate=0.25), {}),
    ('masked_lm', dict(select='word'), {}),
    ('span_corruption', {}, {'noise': '10 of the 70 tokens of a row; objective.noise_density = 0.15'}),
    ('span_corruption', dict(style='replace_full'), {
        'noise': '9 of the 63 tokens of a row; 0.1 of them are random tokens; objective.noise_density = 0.15'}),
    ('span_corruption', dict(noise='iid', style='mask_full'), {}),
    (RTD, {}, {})])
def test_a_rate_that_is_not_its_setting_has_a_reason(name, fields, reasons):
    assert objectives.load(name)(64, **fields).reasons() == reasons


@pytest.mark.parametrize('name', sorted(set(objectives.names()) - {'mixture', 'alternation'}))
def test_reasons_are_of_rates_that_are_expected(name):
    for size in (16, 64, 100, 128, 512):
        objective = objectives.load(name)(size)
        assert objective.reasons().keys() <= objective.expected().keys()
        for key, why in objective.reasons().items():
            count, rest = why.split(' of the ')
            assert objective.expected()[key] == pytest.approx(int(count) / int(rest.split()[0]), rel=1e-3)


def test_reasons_are_printed_below_the_table(capsys):
    assert 'noise: configured is 10 of the 70 tokens of a row; objective.noise_density = 0.15\n' in shown(
        capsys, 'span_corruption', '--config.sequence_length=64')


def test_a_member_has_its_reasons():
    objective = objectives.load('mixture')(64, tuple(
        mixture.Member(name, objectives.load(name)(64)) for name in ('causal_lm', 'masked_lm')))
    assert objective.reasons() == {'masked_lm/chosen': '10 of the 64 positions of a row; objective.rate = 0.15'}


@pytest.mark.parametrize('generator', ['model', 'unigram', 'uniform'])
def test_a_discriminator_reads_the_text_or_the_draws_and_has_labels(generator):
    vocabulary = tokenizer.Bytes()
    source = cache.Tokens.from_arrays([np.array(vocabulary.encode('It was the best of times. ' * 9))] * 5, vocabulary.special,
                                      token_bytes=vocabulary.token_bytes, tokenizer=vocabulary)
    objective = objectives.load(RTD)(64, generator=generator)
    one = look.read(objective, source, 0, 0, 0)
    ids, labels = objective.judged(one.original, one.example)
    drawn = np.isin(np.arange(len(ids)), one.example['slots'][one.example['weights'] > 0])
    *_, row = look.rows(one, one.example, vocabulary, objective)
    text = dict(look.integers(one, one.example, objective))['labels']
    assert row.name == 'discriminator' and ''.join(piece.text for piece in row.pieces).startswith('<cls>') and len(text) == len(ids)
    if generator == 'model':
        assert np.array_equal(ids, one.original) and [c == '?' for c in text] == drawn.tolist() and set(text) == {'0', '?'}
        assert {piece.kind for piece in row.pieces if drawn[piece.start]} == {'drawn'}
    else:
        assert np.array_equal(ids, one.example['tokens'][:len(ids)]) and set(text) == {'0', '1'}
        assert [c == '1' for c in text] == (ids != one.original).tolist() == labels.astype(bool).tolist()
        assert {piece.kind for piece in row.pieces if labels[piece.start]} == {'random'} and not (labels[~drawn]).any()


def test_other_objectives_have_no_discriminator():
    vocabulary = tokenizer.Bytes()
    source = cache.Tokens.from_arrays([np.array(vocabulary.encode('It was the best of times. ' * 9))], vocabulary.special)
    objective = objectives.load('masked_lm')(64)
    one = look.read(objective, source, 0, 0, 0)
    assert 'discriminator' not in [row.name for row in look.rows(one, one.example, vocabulary, objective)]
    assert 'labels' not in dict(look.integers(one, one.example, objective))
