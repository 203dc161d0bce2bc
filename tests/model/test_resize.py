"""More or fewer tokens: kept rows are the same numbers, new ones the mean; tied and untied heads, biases, padding."""
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from model import config as model_config, paths, resize, transformer

SHAPE = model_config.Config(vocab_size=200, layers=1, dim=16, heads=2, max_length=8)
SHAPES = {
    'tied': SHAPE,
    'untied': dataclasses.replace(SHAPE, tied=False),
    'biased': dataclasses.replace(SHAPE, tied=False, head='biased'),
    'transform': dataclasses.replace(SHAPE, architecture='encoder', head='transform', embed_dim=8, norm_position='post'),
}
BATCH = {name: jnp.asarray([value], jnp.int32) for name, value in {
    'tokens': [3, 150, 99, 4, 1], 'segments': [1] * 5, 'positions': range(5), 'sees': range(5), 'seen': range(5), 'types': [0] * 5}.items()}


def start(config):
    """Parameters whose biases and rows of padding are random too, as after training."""
    shapes, rng = jax.eval_shape(transformer.Transformer(config).init, jax.random.key(0), BATCH)['params'], np.random.default_rng(0)
    return paths.apply(lambda path, leaf: jnp.asarray(rng.normal(size=leaf.shape) * 0.1 + path.endswith('scale'), jnp.float32), shapes)


def to(params, config, size):
    """(parameters, config) with `size` tokens."""
    after = dataclasses.replace(config, vocab_size=size)
    return paths.apply(lambda path, leaf: resize.rows(path, leaf, config, after), params), after


def logits(config, params):
    apply = jax.jit(transformer.Transformer(config).apply)
    return np.asarray(apply({'params': params}, BATCH))[..., :config.vocab_size]


@pytest.mark.parametrize('name, size', [                    # fewer; more in the padding, all of it; more than fits there
    *((name, 300) for name in SHAPES), ('tied', 160), ('biased', 160), ('tied', 201), ('transform', 256)])
def test_the_tokens_that_stay_have_the_same_logits_and_new_ones_their_mean(name, size):
    config, params = SHAPES[name], start(SHAPES[name])
    resized, after = to(params, config, size)
    assert after == dataclasses.replace(config, vocab_size=size)
    assert jax.tree.map(jnp.shape, resized) == jax.tree.map(jnp.shape, start(after))
    before, found = logits(config, params), logits(after, resized)
    np.testing.assert_allclose(found[..., :200], before[..., :size], rtol=0, atol=1e-6)
    np.testing.assert_allclose(found[..., 200:], np.repeat(before.mean(-1, keepdims=True), max(0, size - 200), -1), rtol=0, atol=1e-5)


def test_kept_rows_are_bitwise_equal_and_padding_is_zero():
    config, params = SHAPES['biased'], start(SHAPES['biased'])
    resized, after = to(params, config, 230)
    for old, new in ((params['embed']['embedding'], resized['embed']['embedding']),
                     (params['head']['kernel'].T, resized['head']['kernel'].T),
                     (params['head']['bias'], resized['head']['bias'])):
        old, new = np.asarray(old), np.asarray(new)
        assert (new[:200] == old[:200]).all() and (new[230:] == 0).all() and len(new) == after.padded_vocab == 256
        np.testing.assert_allclose(new[200:230], np.broadcast_to(old[:200].astype(np.float64).mean(0), new[200:230].shape), rtol=1e-6)
    assert resized['decoder'] is not None and resized['decoder']['norm']['scale'] is params['decoder']['norm']['scale']


def test_there_and_back_is_the_same_model():
    config, params = SHAPES['untied'], start(SHAPES['untied'])
    grown, larger = to(params, config, 1000)
    back, after = to(grown, larger, 200)
    assert after == config
    np.testing.assert_array_equal(logits(config, back), logits(config, params))


def test_a_network_in_a_network_is_resized_and_heads_of_other_kinds_are_not():
    params = {'backbone': {'embed': {'embedding': np.ones((256, 4), np.float32)}},
              'generator': {'head': {'bias': np.ones(256, np.float32)}},
              'head': {'labels': {'bias': np.ones(2, np.float32)}, 'pooler': {'dense': {'kernel': np.ones((4, 4), np.float32)}}},
              'query': {'embedding': np.ones((1, 4), np.float32)}}
    resized, _ = to(params, SHAPE, 300)
    assert resized['backbone']['embed']['embedding'].shape == (384, 4) and resized['generator']['head']['bias'].shape == (384,)
    assert jax.tree.leaves(resized['head']) == jax.tree.leaves(params['head'])
