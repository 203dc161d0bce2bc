"""The train step on three kinds of loss: one term, two terms over two networks, and memory carried between batches."""
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from data import pipeline, tokenizer as tokenizers
from data.objectives import causal_lm, masked_lm, permuted_lm as plm, replaced_token_detection as rtd
from data.text import cache
from model import config as model_config, scoring, transformer
from train import state as states, step as steps
from train.objectives import loss as losses, permuted_lm, replaced_token_detection, token
from train.parallel import microbatches
from train.settings import schema

TOKENIZER = tokenizers.Bytes()
SHAPE = dict(layers=2, dim=32, heads=4, max_length=32, vocab_size=TOKENIZER.vocab_size, initializer='bert', dropout=0.1)
ENCODER = model_config.Config(architecture='encoder', **SHAPE)


def source(lengths=(20, 31, 9, 26, 14, 30, 5, 28, 17, 23, 11, 29)):
    generator = np.random.default_rng(0)
    return cache.Tokens.from_arrays([generator.integers(3, 259, n).astype(np.int32) for n in lengths], TOKENIZER.special)


def case(name):
    """(module, objective): rows of unequal length, so that padding differs between microbatches."""
    if name == 'causal_lm':
        backbone = transformer.Transformer(model_config.Config(**SHAPE))
        return token.TokenLoss(backbone=backbone, settings=schema.Loss(label_smoothing=0.1, z_loss=1e-3)), causal_lm.Objective(32)
    if name == 'masked_lm':
        return token.TokenLoss(backbone=transformer.Transformer(ENCODER)), masked_lm.Objective(32, rate=0.3)
    if name == 'replaced_token_detection':
        objective = rtd.Objective(32, rate=0.3)
        return replaced_token_detection.ReplacedTokenDetection(transformer.Transformer(ENCODER), objective=objective), objective
    backbone = transformer.Transformer(dataclasses.replace(ENCODER, positions='xl', relative_segments=True))
    return permuted_lm.PermutedLoss(backbone, memory=12, reuse=8), plm.Objective(16, batch_size=4, memory_length=12, num_predict=6)


CASES = ('causal_lm', 'masked_lm', 'replaced_token_detection', 'permuted_lm')


def batches(objective, data, count=2, batch_size=4):
    host = pipeline.batches(objective, data, seed=1, batch_size=batch_size, stop=count * batch_size, shuffle=False, threads=0)
    return [{name: jnp.asarray(value) for name, value in batch.items() if name != 'index'} for batch in host]


def create(module, optimizer, batch, ema=None):
    return jax.jit(lambda batch: states.create(module, optimizer, batch, module.initial_carry(4), 0, ema))(batch)


def train(name, accumulation, count=2, ema=None):
    """[metrics of each step], the last State."""
    module, objective = case(name)
    optimizer = optax.sgd(0.1)
    fed = batches(objective, source((400,)) if name == 'permuted_lm' else source(), count)
    state = create(module, optimizer, fed[0], ema)
    update, out = jax.jit(steps.build(module, optimizer, accumulation, ema)), []
    for batch in fed:
        state, measured = update(state, batch)
        out.append({k: float(v) for k, v in measured.items()})
    return out, state


@pytest.mark.parametrize('name', CASES)
def test_accumulation_is_exact_to_the_term_weights_and_dropout(name):
    one, one_state = train(name, 1)
    four, four_state = train(name, 4)
    for a, b in zip(one, four):
        assert a.keys() == b.keys()
        assert b == pytest.approx(a, rel=1e-6, abs=1e-7, nan_ok=True)  # nothing is guessed at first: no precision
    difference = jax.tree.map(lambda a, b: float(jnp.max(jnp.abs(a - b))), one_state.params, four_state.params)
    assert max(jax.tree.leaves(difference)) < 1e-6
    assert all(np.isfinite(value) for a in one for metric, value in a.items() if metric != 'discriminator_precision')


def test_microbatches_are_strided_and_merge_is_the_inverse():
    tree = {'a': jnp.arange(12), 'b': jnp.arange(24).reshape(12, 2)}
    split = microbatches.split(tree, 3)
    assert split['a'].tolist() == [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]]
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), microbatches.merge(split), tree))


def test_two_terms_are_weighed_apart_and_scaled():
    module, objective = case('replaced_token_detection')
    (first, *_), _ = train('replaced_token_detection', 1)
    assert first['loss'] == pytest.approx(first['generator'] + 50 * first['discriminator'], rel=1e-6)
    assert first['generator'] == pytest.approx(np.log(TOKENIZER.vocab_size), rel=0.05)
    assert first['discriminator'] == pytest.approx(np.log(2), rel=0.1)
    assert 0.1 < first['replaced'] < 0.35


def test_moving_average_of_the_weights():
    _, plain = train('causal_lm', 1, count=1)
    module, objective = case('causal_lm')
    start = create(module, optax.sgd(0.1), batches(objective, source(), 1)[0]).params
    _, averaged = train('causal_lm', 1, count=1, ema=0.9)
    expected = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, start, plain.params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-7), averaged.ema, expected)


def test_evaluation_draws_nothing_and_smooths_nothing():
    module, objective = case('causal_lm')
    batch = batches(objective, source(), 1)[0]
    params = create(module, optax.sgd(0.1), batch).params
    evaluate = jax.jit(steps.evaluation(module))
    terms, metrics, _ = evaluate({'params': params}, batch, None, jax.random.key(0))
    np.testing.assert_array_equal(terms['tokens'][0], metrics['nll'][0])
    np.testing.assert_array_equal(terms['tokens'][0], evaluate({'params': params}, batch, None, jax.random.key(1))[0]['tokens'][0])
    np.testing.assert_array_equal(terms['tokens'][1], batch['weights'].sum(axis=1))


def test_a_batch_that_weighs_nothing_gives_zero_not_nan():
    module, objective = case('masked_lm')
    batch = batches(objective, source(), 1)[0]
    optimizer = optax.sgd(0.1)
    state = create(module, optimizer, batch)
    after, measured = jax.jit(steps.build(module, optimizer))(state, {**batch, 'weights': jnp.zeros_like(batch['weights'])})
    assert float(measured['loss']) == 0 and float(measured['grad_norm']) == 0
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), state.params, after.params))


@pytest.mark.parametrize('smoothing,z_loss', [(0.0, 0.0), (0.1, 0.0), (0.0, 1e-2), (0.2, 1e-3)])
def test_cross_entropy_is_optax_and_the_formulas(smoothing, z_loss):
    vocab, padded = 11, 16
    logits = np.random.default_rng(0).normal(size=(2, 3, padded)).astype(np.float32) * 3
    logits[..., vocab:] = -1e9
    targets = np.array([[0, 5, 10], [1, 1, 7]])
    found = scoring.of_logits(jnp.asarray(logits), jnp.asarray(targets), vocab)
    loss, nll = losses.cross_entropy(found, vocab, smoothing, z_loss)
    real = logits[..., :vocab]
    np.testing.assert_allclose(nll, optax.softmax_cross_entropy_with_integer_labels(real, targets), rtol=1e-5)
    low = smoothing / (vocab - 1)
    soft = np.full((2, 3, vocab), low)
    np.put_along_axis(soft, targets[..., None], 1 - smoothing, axis=-1)
    entropy = -np.sum(np.where(soft > 0, soft * np.log(np.maximum(soft, 1e-30)), 0), axis=-1)
    expected = optax.softmax_cross_entropy(real, soft) - entropy + z_loss * np.log(np.exp(real).sum(-1)) ** 2
    np.testing.assert_allclose(loss, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found.correct, real.argmax(-1) == targets)
    np.testing.assert_array_equal(found.best, real.argmax(-1))
