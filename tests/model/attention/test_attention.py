"""Multi-head attention as a module: grouped queries, scale, QK-norm, dropout of the weights, and the one method that adapters intercept."""
import functools

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from model import attention, config as model_config
from model.attention import choice, plain, rule as rules

B, T, N, K, H = 2, 6, 4, 2, 8


def causal(batch=B, length=T):
    places = jnp.broadcast_to(jnp.arange(length), (batch, length))
    return rules.Rule(places, places, places * 0 + 1, places * 0 + 1, places, places)


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def build(**settings):
    config = model_config.Config(vocab_size=10, dim=N * H, heads=N, **settings)
    module = attention.Attention(config, name='attention')
    x = normal(0, B, T, config.dim)

    def forward(module, x, rule, rows=None):
        return module(x, module.keys_values(x), choice.Prepared(plain, plain.prepare(rule)), rows=rows)

    params = module.init(jax.random.key(0), x, causal(), method=forward)
    params = jax.tree.map(lambda p: p + 0.3 * normal(p.size, *p.shape), params)
    return config, x, params, functools.partial(module.apply, method=forward)


@pytest.mark.parametrize('dtype, tolerance', [(jnp.float32, 2e-6), (jnp.bfloat16, 2e-2)])
@pytest.mark.parametrize('dropped', [False, True])
def test_the_gradient_of_a_weighted_mean_is_the_one_that_jax_derives(dropped, dtype, tolerance):
    rng = np.random.default_rng(0)
    scores = jnp.asarray(rng.normal(0, 3, (2, 2, 27, 13)), jnp.float32) + jnp.where(jnp.arange(13) < 11, 0, rules.HIDDEN)
    value, cotangent = (jnp.asarray(rng.normal(size=shape), dtype) for shape in ((2, 2, 13, 8), (2, 2, 27, 8)))
    kept = jnp.asarray(rng.random(scores.shape) < 0.9, jnp.float32) / 0.9 if dropped else None

    def derived(scores, value):
        weights = jax.nn.softmax(scores, axis=-1) * (1 if kept is None else kept)
        return jnp.einsum('bkrs,bksh->bkrh', weights, value.astype(jnp.float32)).astype(dtype)

    found, pull = jax.vjp(lambda *operands: plain.weighted_mean(*operands, kept), scores, value)
    wanted, derived_pull = jax.vjp(derived, scores, value)
    for each, expected in zip((found, *pull(cotangent)), (wanted, *derived_pull(cotangent))):
        assert each.dtype == expected.dtype
        each, expected = (np.asarray(x, np.float32) for x in (each, expected))
        np.testing.assert_allclose(each, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def test_a_query_with_one_key_has_no_gradient_to_the_last_bit():
    scores = jnp.where(jnp.arange(13) == 4, normal(0, 1, 2, 9, 13), rules.HIDDEN)
    _, pull = jax.vjp(lambda scores: plain.weighted_mean(scores, 10 * normal(1, 1, 2, 13, 8), None), scores)
    assert not np.any(pull(normal(2, 1, 2, 9, 8))[0])


def test_module_shares_key_heads_in_order():
    config, x, params, apply = build(kv_heads=K, qk_norm=True)
    assert params['params']['key']['kernel'].shape == (N * H, K * H)
    wide = dict(params['params'])
    for name in ('key', 'value'):
        wide[name] = {leaf: jnp.repeat(a.reshape(*a.shape[:-1], K, H), N // K, axis=-2).reshape(*a.shape[:-1], N * H)
                      for leaf, a in wide[name].items()}
    full = build(qk_norm=True)[-1]
    np.testing.assert_allclose(apply(params, x, causal()), full({'params': wide}, x, causal()), atol=1e-5)


def test_scale_and_soft_cap():
    query, key, value = normal(0, 1, 1, T, H), normal(1, 1, 1, T, H), normal(2, 1, 1, T, H)
    everything = rules.cross(jnp.ones((1, T), jnp.int32), jnp.ones((1, T), jnp.int32))
    scores = 2.0 * np.asarray(query[0, 0] @ key[0, 0].T, np.float64)
    weights = np.exp(5 * np.tanh(scores / 5))
    expected = weights / weights.sum(-1, keepdims=True) @ np.asarray(value[0, 0], np.float64)
    out = plain.attend(query, key, value, plain.prepare(everything), scale=2.0, soft_cap=5.0)
    np.testing.assert_allclose(out[0, 0], expected, atol=1e-5)


def test_qk_norm_makes_scores_blind_to_scale():
    _, x, params, apply = build(qk_norm=True, bias=False, norm_epsilon=1e-12)
    out = apply(params, x, causal())
    louder = jax.tree.map(lambda p: p, params)
    louder['params']['query']['kernel'] = 7.0 * params['params']['query']['kernel']
    np.testing.assert_allclose(out, apply(louder, x, causal()), atol=1e-5)


def test_dropout_of_weights_follows_the_row():
    _, x, params, apply = build(attention_dropout=0.5)
    rngs = {'dropout': jax.random.key(3)}
    plain_out = apply(params, x, causal())
    out = apply(params, x, causal(), jnp.arange(B), rngs=rngs)
    assert np.abs(np.asarray(out - plain_out)).max() > 1e-3
    np.testing.assert_array_equal(plain_out, apply(params, x, causal(), None, rngs=rngs))  # evaluation draws nothing
    second = apply(params, x[1:], causal(1), jnp.array([1]), rngs=rngs)
    np.testing.assert_allclose(out[1:], second, atol=1e-6)
    other = apply(params, x[1:], causal(1), jnp.array([5]), rngs=rngs)
    assert np.abs(np.asarray(other - second)).max() > 1e-3


def test_every_attention_passes_through_attend():
    _, x, params, apply = build()
    seen = []

    def watch(next_method, args, kwargs, context):
        seen.append((type(context.module).__name__, context.method_name))
        return next_method(*args, **kwargs)

    with nn.intercept_methods(watch):
        apply(params, x, causal())
    assert seen.count(('Attention', 'attend')) == 1
    assert seen.count(('Dense', '__call__')) == 4


def test_parameters():
    _, _, params, _ = build()
    assert {name: sorted(leaves) for name, leaves in params['params'].items()} == {
        name: ['bias', 'kernel'] for name in ('query', 'key', 'value', 'out')}
