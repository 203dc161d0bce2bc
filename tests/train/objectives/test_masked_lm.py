"""Masked LM with pairs: the loss by hand, rows of padding, accumulation, and where gradients are zero."""
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from data import example, tokenizer as tokenizers
from data.objectives import masked_lm
from data.text import cache
from model import config as model_config, paths, transformer
from train import state as states, step as steps
from train.objectives import masked_lm as losses, token
from train.settings import schema

TOKENIZER = tokenizers.Bytes()
SHAPE = model_config.Config(architecture='encoder', layers=1, dim=16, heads=2, max_length=48, types=2, head='transform',
                            tied=False, vocab_size=TOKENIZER.vocab_size, norm_position='post', initializer='bert')


def source():
    draw, documents, starts = np.random.default_rng(0), [], []
    for _ in range(12):
        lengths = draw.integers(3, 20, draw.integers(1, 7))
        documents.append(draw.integers(3, 259, lengths.sum()))
        starts.append(np.cumsum(lengths)[:-1])
    return cache.Tokens.from_arrays(documents, TOKENIZER.special, starts)


@functools.lru_cache
def batch(pair, rows=8, padding=0):
    objective, text = masked_lm.Objective(48, inputs=pair, short=0.5), source()
    plan = objective.plan(text, 0, 0)[:rows - padding]
    made = [objective.transform(text, row, example.rng(0, 0, i)) for i, row in enumerate(plan)]
    made += [example.empty(made[0], TOKENIZER.special.pad)] * padding
    return jax.tree.map(jnp.asarray, example.stack(made))


def module(pair, settings=None):
    return losses.PairLoss(transformer.Transformer(SHAPE), settings or schema.Loss(), pair)


@functools.lru_cache
def params(pair):
    made = jax.jit(module(pair).init)(jax.random.key(0), batch(pair))['params']
    draw = np.random.default_rng(0)
    return jax.tree.map(lambda x: np.asarray(x) + 0.1 * draw.normal(size=x.shape).astype(np.float32), made)  # no ties


@functools.lru_cache
def apply(pair):
    return jax.jit(lambda params, batch: steps.summed(module(pair).apply({'params': params}, batch)))


def read(weights, fed):
    """The backbone's hidden states, and its logits at the slots."""
    backbone = transformer.Transformer(SHAPE)
    return tuple(backbone.apply({'params': weights}, fed, method=method) for method in ('hidden', '__call__'))


def test_by_hand(pair='next_sentence'):
    """Log-softmax in numpy over the backbone's logits at the slots and over the head's two numbers, from [CLS]."""
    fed, weights = batch(pair), params(pair)
    out = apply(pair)(weights, fed)
    head = weights['head']
    hidden, logits = (np.asarray(x) for x in jax.jit(read)(weights['backbone'], fed))
    logits = logits[..., :TOKENIZER.vocab_size]
    nll, right, count = 0.0, 0, 0
    for row, (targets, used) in enumerate(zip(fed['targets'], fed['weights'])):
        for slot in np.flatnonzero(used):
            scores = logits[row, slot]
            nll -= scores[targets[slot]] - np.log(np.exp(scores).sum())
            right += scores.argmax() == targets[slot]
            count += 1
    pooled = np.tanh(hidden[:, 0] @ head['pooler']['dense']['kernel'] + head['pooler']['dense']['bias'])
    judged = pooled @ head['labels']['kernel'] + head['labels']['bias']
    labels = np.asarray(fed['labels'][pair])
    log_p = judged - np.log(np.exp(judged).sum(-1, keepdims=True))
    assert set(labels.tolist()) == {0, 1}
    assert set(out.terms) == {'masked_lm', pair} and out.carry is None
    np.testing.assert_allclose(out.terms['masked_lm'], (nll, count), rtol=1e-5)
    np.testing.assert_allclose(out.terms[pair], (-log_p[np.arange(8), labels].sum(), 8), rtol=1e-5)
    assert set(out.metrics) == {'masked_lm_accuracy', f'{pair}_accuracy'}
    np.testing.assert_allclose(out.metrics['masked_lm_accuracy'], (right, count))
    np.testing.assert_allclose(out.metrics[f'{pair}_accuracy'], (np.sum(judged.argmax(-1) == labels), 8))
    assert module(pair).scales == {'masked_lm': 1.0, pair: 1.0} and module(pair).initial_carry(8) is None
    total = steps.total(module(pair), out.terms, module(pair).weights(fed))
    np.testing.assert_allclose(total, nll / count - log_p[np.arange(8), labels].mean(), rtol=1e-5)


def test_rows_of_padding_count_for_nothing():
    """Five rows and three of padding weigh five; whole = five + those that the padding replaced."""
    weights, fed = params('next_sentence'), batch('next_sentence')
    first, whole = (apply('next_sentence')(weights, batch('next_sentence', 8, padding)) for padding in (3, 0))
    blank = example.empty({**jax.tree.map(lambda x: x[0], fed)}, TOKENIZER.special.pad)
    last = apply('next_sentence')(weights, jax.tree.map(lambda x, b: x.at[:5].set(b), fed, blank))
    assert float(first.terms['next_sentence'][1]) == 5 and float(last.terms['next_sentence'][1]) == 3
    for name in ('terms', 'metrics'):
        for key, pair in getattr(whole, name).items():
            np.testing.assert_allclose(np.add(getattr(first, name)[key], getattr(last, name)[key]), pair, rtol=1e-5)


def test_label_smoothing_and_z_loss_are_of_the_tokens_in_training_alone():
    fed, weights = batch('next_sentence'), params('next_sentence')
    plain = apply('next_sentence')(weights, fed)
    smooth = module('next_sentence', schema.Loss(label_smoothing=0.1, z_loss=1e-2))
    training, evaluation = jax.jit(lambda weights, fed: (
        steps.summed(smooth.apply({'params': weights}, fed, None, jnp.arange(8), rngs={'dropout': jax.random.key(0)})),
        steps.summed(smooth.apply({'params': weights}, fed))))(weights, fed)
    assert float(training.terms['masked_lm'][0]) != pytest.approx(float(plain.terms['masked_lm'][0]), rel=1e-3)
    np.testing.assert_allclose(training.metrics['masked_lm_nll'], plain.terms['masked_lm'], rtol=1e-5)
    np.testing.assert_allclose(training.terms['next_sentence'], plain.terms['next_sentence'], rtol=1e-5)
    np.testing.assert_allclose(evaluation.terms['masked_lm'], plain.terms['masked_lm'], rtol=1e-5)


def test_accumulation_is_exact():
    """Rows of 1 and 4 microbatches: labels go with their rows, and the terms keep their weights over the whole batch."""
    fed, found = batch('sentence_order', 8, 1), []
    one = module('sentence_order')
    for accumulation in (1, 4):
        optimizer = optax.sgd(0.1)
        state = states.State(jnp.zeros((), jnp.int32), params('sentence_order'), optimizer.init(params('sentence_order')), None,
                             jax.random.key(0), None)
        found.append(jax.jit(steps.build(one, optimizer, accumulation))(state, fed))
    (a, first), (b, second) = found
    assert {'loss', 'masked_lm', 'sentence_order', 'masked_lm_accuracy', 'sentence_order_accuracy', 'grad_norm'} == set(first)
    for name in first:
        assert float(second[name]) == pytest.approx(float(first[name]), rel=1e-5)
    assert max(jax.tree.leaves(jax.tree.map(lambda x, y: float(jnp.abs(x - y).max()), a.params, b.params))) < 1e-6


def test_gradients_reach_no_padding_no_other_row_and_no_empty_slot():
    """d(loss of row 0) / d(embedding of an id) is exactly 0 for ids that only padding and other rows hold, not for its own."""
    weights, fed = params('next_sentence'), {**batch('next_sentence')}
    tokens, segments = np.array(fed['tokens']), np.asarray(fed['segments'])
    short = int(np.argmin(segments.sum(1)))
    order = [short, *[i for i in range(8) if i != short]]
    fed = jax.tree.map(lambda x: x[jnp.array(order)], fed)
    tokens, segments = tokens[order], segments[order]
    outside = (segments == 0) | (np.arange(8)[:, None] > 0)
    tokens = np.where(outside, 300 + np.arange(48), np.minimum(tokens, 299))   # ids of their own, 300 + place
    fed['tokens'] = jnp.asarray(tokens)

    def loss(embedding, fed):
        changed = paths.apply(lambda path, leaf: embedding if path == 'backbone/embed/embedding' else leaf, weights)
        only = {**fed, 'weights': fed['weights'].at[1:].set(0), 'segments': fed['segments']}
        out, judged = module('next_sentence').apply({'params': changed}, only,
                                                    capture_intermediates=lambda module, _: module.name == 'head')
        judged = judged['intermediates']['head']['__call__'][0]
        return out.terms['masked_lm'][0].sum() + jnp.sum(judged[0] ** 2)

    gradient = jax.jit(jax.grad(loss))
    found = np.asarray(gradient(weights['backbone']['embed']['embedding'], fed))
    assert (found[300:348] == 0).all()
    assert all(np.abs(found[i]).max() > 0 for i in np.unique(tokens[0][segments[0] > 0]))
    empty = fed['weights'] == 0                # what stands in a slot of weight 0 changes nothing
    other = {**fed, 'targets': jnp.where(empty, 77, fed['targets']), 'slots': jnp.where(empty, 3, fed['slots'])}
    np.testing.assert_array_equal(gradient(weights['backbone']['embed']['embedding'], other), found)


def test_without_pairs_it_is_the_token_loss():
    config = schema.Config(objective=masked_lm.Objective(48), model=SHAPE)
    assert type(losses.build(config)) is token.TokenLoss
    config = schema.Config(objective=masked_lm.Objective(48, inputs='sentence_order'), model=SHAPE)
    built = losses.build(config)
    assert type(built) is losses.PairLoss and built.pair == 'sentence_order'
