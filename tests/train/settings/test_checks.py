"""Checks of values beside one another, on Configs built by hand; test_parse.py compares the messages."""
import dataclasses

import pytest

from data import objectives
from model import config as model_config
from train.settings import checks, schema


def config(name='causal_lm', **settings):
    """A valid Config with some values set, keys with '__' for '.'."""
    found = {'steps': 100, 'model.max_length': 64, **{key.replace('__', '.'): value for key, value in settings.items()}}
    made = schema.build(schema.Config, found)
    kind = objectives.load(name)
    return dataclasses.replace(made, objective=kind(sequence_length=made.sequence_length))


@pytest.mark.parametrize('settings', [
    {}, dict(steps=None, epochs=2.5), dict(model__dim=60, model__heads=5),
    dict(model__dim=64, model__heads=6, model__head_dim=16),
    dict(model__kv_heads=2), dict(model__kv_heads=1), dict(model__positions='rotary'), dict(model__windows=(None, 8)),
    dict(model__windows=(8,)), dict(model__position_offset=2), dict(model__positions='rotary', model__rotary_scaling=(8.0, 1.0, 4.0, 8192)),
    dict(model__query_layer=True), dict(model__positions='alibi', model__heads=2, sequence_length=128), dict(model__types=1),
    dict(sequence_length=128, model__positions='rotary'), dict(model__vocab_size=4096),
    dict(model__vocab_size=300, tokenizer__kind='bytes'),
    dict(model__vocab_size=300, tokenizer__path='x'), dict(optimizer__warmup=100),
    dict(optimizer__schedule='wsd', optimizer__warmup=50, optimizer__decay=50),
    dict(optimizer__schedule='rsqrt', optimizer__decay=10000), dict(checkpoint__best='eval/loss', eval_every=5),
    dict(data__eval_fraction=0.0),
    dict(eval_every=5, data__eval_fraction=0.0, data__eval='x'), dict(init__from='.'),
    dict(mesh__rules=(('kernel$', ('fsdp', None, ('data', 'tensor'))), ('bias$', None)))])
def test_nothing_wrong(settings):
    assert list(checks.together(config(**settings))) == []


@pytest.mark.parametrize('settings, keys', [
    (dict(steps=None), ['steps']), (dict(epochs=1.0), ['epochs']), (dict(model__heads=6), ['model.heads']),
    (dict(model__kv_heads=16), ['model.kv_heads']),
    (dict(model__heads=6, model__kv_heads=4), ['model.heads', 'model.kv_heads']),
    (dict(model__dim=40, model__positions='rotary'), ['model.heads']),
    (dict(model__windows=()), ['model.windows']), (dict(sequence_length=65), ['model.max_length']),
    (dict(model__positions='rotary', model__rotary_scaling=(8.0, 4.0, 4.0, 8192)), ['model.rotary_scaling']),
    (dict(model__query_layer=True, model__layers=1), ['model.layers']),
    (dict(model__query_layer=True, model__positions='rotary'), ['model.positions']),
    (dict(model__query_layer=True, model__norm_position='post'), ['model.norm_position']),
    (dict(name='replaced_token_detection', model__architecture='encoder', model__types=1), ['model.types']),
    (dict(model__vocab_size=300), ['model.vocab_size']),
    (dict(name='denoising'), ['model.architecture']), (dict(name='replaced_token_detection'), ['model.architecture']),
    (dict(optimizer__warmup=101), ['optimizer.warmup']),
    (dict(optimizer__schedule='wsd', optimizer__warmup=50, optimizer__decay=51), ['optimizer.decay']),
    (dict(optimizer__schedule='cyclic', optimizer__cycle=101), ['optimizer.cycle']),
    (dict(checkpoint__best='eval/loss'), ['checkpoint.best']),
    (dict(early_stopping__metric='loss', eval_every=5), ['early_stopping.metric']),
    (dict(optimizer__multipliers=(('a', -1.0),)), ['optimizer.multipliers']),
    (dict(init__from='/nowhere/at/all'), ['init.from']), (dict(init__from='~nobody-here/run'), ['init.from']),
    (dict(init__from='https://host/run'), ['init.from']),
    (dict(mesh__rules=(('a', 'fsdp'), ('b', ('x', ('y',))))), ['mesh.rules', 'mesh.rules'])])
def test_disagreements(settings, keys):
    assert [key for key, _ in checks.together(config(**settings))] == keys


def test_a_value_already_reported_is_not_reported_twice():
    wrong = config(model__heads=6, optimizer__warmup=101)
    assert [key for key, _ in checks.together(wrong, bad={'model.dim'})] == ['optimizer.warmup']
    assert [key for key, _ in checks.together(wrong, bad={'steps'})] == ['model.heads']


def test_the_longest_row_is_the_encoders_or_the_decoders():
    assert checks.longest(config(sequence_length=48)) == 48
    spans = config('span_corruption', sequence_length=512)
    assert checks.lengths(spans) == {'tokens': 114, 'encoder_tokens': 512}  # T5's (512, 0.15, 3.0)
    assert checks.longest(spans) == 512


@pytest.mark.parametrize('value, numbers, text', [
    (6, [1, 2, 4, 8, 16], 'Near: 4, 8.'), (9, [1, 2, 4, 8], 'Near: 8.'), (5, [10, 20], 'Near: 10.')])
def test_near(value, numbers, text):
    assert model_config.near(value, numbers) == text


def test_divisors():
    for number in range(1, 60):
        assert model_config.divisors(number, 7) == [d for d in range(1, 60) if number % d == 0]
    assert model_config.divisors(10**18, 7, 10) == [1, 2, 4, 5, 8, 10, 16]
    assert model_config.divisors(64, 10**18, 10) == [1, 64]
