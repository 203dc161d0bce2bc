"""Norms, projections, activations and the feed-forward layer against numpy."""
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from model import config as model_config, layers, ops

X = np.random.default_rng(0).normal(3.0, 2.0, size=(2, 5, 8)).astype(np.float32)


def config(**settings):
    return model_config.Config(vocab_size=10, dim=8, mlp_dim=12, **settings)


def shaken(params):
    """Parameters away from their neutral starting values."""
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda p: p + jnp.asarray(rng.normal(size=p.shape), p.dtype), params)


def test_layernorm():
    module = layers.Norm(config(norm_epsilon=1e-3), name='norm')
    p = shaken(module.init(jax.random.key(0), X)['params'])
    centred = X - X.mean(-1, keepdims=True)
    expected = centred / np.sqrt(X.var(-1, keepdims=True) + 1e-3) * p['scale'] + p['bias']
    np.testing.assert_allclose(module.apply({'params': p}, X), expected, atol=1e-5)


def test_rmsnorm():
    module = layers.Norm(config(norm='rmsnorm'), name='norm')
    p = shaken(module.init(jax.random.key(0), X)['params'])
    assert sorted(p) == ['scale']
    expected = X / np.sqrt((X ** 2).mean(-1, keepdims=True) + 1e-5) * p['scale']
    np.testing.assert_allclose(module.apply({'params': p}, X), expected, atol=1e-5)


def test_norm_statistics_are_float32():
    x = (1000 + np.arange(64, dtype=np.float32)).reshape(1, 64)
    module = layers.Norm(config(), jnp.bfloat16, name='norm')
    params = {'scale': jnp.ones(64), 'bias': jnp.zeros(64)}
    out = module.apply({'params': params}, x)
    assert out.dtype == jnp.bfloat16
    np.testing.assert_allclose(out.astype(np.float32), (x - x.mean()) / x.std(), atol=0.02)


def test_without_biases():
    mlp = layers.MLP(config(bias=False), name='mlp')
    assert mlp.init(jax.random.key(0), X)['params'].keys() == {'up', 'down'}
    assert all(leaves.keys() == {'kernel'} for leaves in mlp.init(jax.random.key(0), X)['params'].values())


def test_gated_mlp():
    module = layers.MLP(config(gated=True, activation='silu'), name='mlp')
    p = shaken(module.init(jax.random.key(0), X)['params'])
    dense = {name: X @ p[name]['kernel'] + p[name]['bias'] for name in ('up', 'gate')}
    h = dense['gate'] / (1 + np.exp(-dense['gate'])) * dense['up']
    expected = h @ p['down']['kernel'] + p['down']['bias']
    np.testing.assert_allclose(module.apply({'params': p}, X), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('name,function', [
    ('gelu', lambda x: x * 0.5 * (1 + math.erf(x / math.sqrt(2)))),
    ('gelu_tanh', lambda x: 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)))),
    ('relu', lambda x: max(x, 0.0)),
    ('tanh', math.tanh),
    ('silu', lambda x: x / (1 + math.exp(-x))),
])
def test_activations(name, function):
    x = np.linspace(-5, 5, 41, dtype=np.float32)
    np.testing.assert_allclose(ops.ACTIVATIONS[name](x), [function(float(v)) for v in x], atol=1e-5)
    assert set(ops.ACTIVATIONS) == {*model_config.ACTIVATIONS, 'tanh'}  # the last one is of heads alone


def test_mlp_dropout_is_its_own_rate():
    module = layers.MLP(config(mlp_dropout=0.5), name='mlp')
    params = module.init(jax.random.key(0), X)
    rngs = {'dropout': jax.random.key(1)}
    still, out = module.apply(params, X), module.apply(params, X, jnp.arange(2), rngs=rngs)
    assert np.abs(np.asarray(still - out)).max() > 0
    np.testing.assert_array_equal(out[1], module.apply(params, X[1:], jnp.array([1]), rngs=rngs)[0])
    quiet = layers.MLP(config(dropout=0.5), name='mlp')
    np.testing.assert_array_equal(still, quiet.apply(params, X, jnp.arange(2), rngs=rngs))


def test_compute_type_of_projections():
    module = layers.Dense(config(), 4, jnp.bfloat16, name='up')
    params = module.init(jax.random.key(0), X)
    assert all(p.dtype == jnp.float32 for p in jax.tree.leaves(params))
    out = module.apply(params, X)
    assert out.dtype == jnp.bfloat16
    np.testing.assert_allclose(out.astype(jnp.float32), X @ params['params']['kernel'], atol=0.02)


def test_embedding_reads_rows():
    module = layers.Embed(config(), 6, 8, name='embed')
    table, ids = np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32), np.array([[5, 0], [2, 2]])
    np.testing.assert_array_equal(module.apply({'params': {'embedding': table}}, ids), table[ids])
