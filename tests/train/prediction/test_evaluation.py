"""An evaluation of a few batches estimates the split, also where a packed plan begins with the long documents, which are easy."""
import functools

import jax
import numpy as np
import pytest

from data import example, pipeline, tokenizer as tokenizers
from data.text import cache
from train import objectives, program, state as states
from train.parallel import sharding
from train.prediction import evaluation
from train.settings import parse, schema

BYTES = tokenizers.Bytes()
VARIANTS = ('causal_lm', 'masked_lm', 'span_corruption', 'prefix_lm', 'replaced_token_detection', 'permuted_lm', 'denoising', 'ul2',
            'mixture', 'alternation', 'fill_in_the_middle', 'deshuffle')
FAST = ('causal_lm', 'permuted_lm', 'alternation')


@functools.cache
def mixed():
    """Short documents of random digits and long ones of one letter, in sentences of about 20 tokens."""
    draw = np.random.default_rng(0)
    texts = [''.join(map(str, draw.integers(0, 10, draw.integers(20, 60)))) for _ in range(500)] + ['a' * 900] * 16
    documents = [np.array(BYTES.encode(text)) for text in texts]
    sentences = [np.arange(0, len(document), 20) for document in documents]
    return cache.Tokens.from_arrays(documents, BYTES.special, sentences, BYTES.token_bytes, BYTES)


def built(name):
    """(config, mesh, variables) of the tiny config of an objective, with parameters that predict the letter well and digits badly."""
    request = parse.parse([f'--config=configs/tiny.py:{name}', '--workdir=none', '--config.batch_size=4', '--config.model.layers=1',
                           '--config.tokenizer.kind=bytes', '--config.steps=10'], devices=False)
    config, mesh = parse.with_vocabulary(request.config, BYTES), sharding.mesh(schema.Mesh(), jax.devices()[:1])
    with jax.set_mesh(mesh):
        made = program.build(config, objectives.build(config), mesh, program.shapes(config, mixed())).create()
    return config, mesh, jax.tree.map(lambda x: 3 * x, states.evaluated(made))


@pytest.mark.parametrize('name', [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in VARIANTS])
def test_eight_batches_are_within_three_errors_of_the_whole(name):
    config, mesh, variables = built(name)
    with jax.set_mesh(mesh):
        whole, part = (evaluation.build(config, mixed(), mesh, batches) for batches in (None, 8))
        expected, found = whole(variables), part(variables)
        assert found == part(variables)         # the same rows every time
    assert whole.errors == {} and set(part.errors) <= set(found) and not part.draw.whole
    assert part.errors['eval/loss'] > 0 and len(part.draw.rows) <= 8 + 4
    assert abs(found['eval/loss'] - expected['eval/loss']) < 3 * part.errors['eval/loss']


@pytest.mark.slow
@pytest.mark.parametrize('name', ['causal_lm', 'mixture', 'permuted_lm'])
def test_the_mean_error_of_200_draws_is_their_spread(name):
    config, mesh, variables = built(name)
    rows = pipeline.plan(config.objective, mixed(), evaluation.SEED, 0)
    with jax.set_mesh(mesh):
        whole = evaluation.build(config, mixed(), mesh)(variables)['eval/loss']
        part, found, errors = evaluation.build(config, mixed(), mesh, 8), [], []
        for seed in range(200):
            part.draw = config.objective.draw(rows, 8, config.batch_size, example.rng(seed, 0, 0))
            found.append(part(variables)['eval/loss'])
            errors.append(part.errors['eval/loss'])
    assert np.mean(errors) == pytest.approx(np.std(found), rel=0.2)
    assert abs(np.mean(found) - whole) < 4 * np.std(found) / np.sqrt(200)
