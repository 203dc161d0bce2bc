"""The language head: linear and BERT's, tied and own, capped, and blind to the rows that pad the vocabulary."""
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from model import config as model_config
from model import heads

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 3, 8)).astype(np.float32)
TABLE = RNG.normal(size=(128, 8)).astype(np.float32)


def build(**settings):
    config = model_config.Config(vocab_size=100, dim=8, **settings)
    module = heads.LanguageHead(config, name='head')
    params = module.init(jax.random.key(0), X, TABLE).get('params', {})
    params = jax.tree.map(lambda p: p + RNG.normal(size=p.shape).astype(np.float32), params)
    return params, module.apply({'params': params}, X, TABLE)


def test_tied_head_owns_nothing():
    params, logits = build()
    assert not params and logits.shape == (2, 3, 128) and logits.dtype == jnp.float32
    np.testing.assert_allclose(logits[..., :100], X @ TABLE[:100].T, atol=1e-5)


def test_own_kernel():
    params, logits = build(tied=False)
    assert params['kernel'].shape == (8, 128)
    np.testing.assert_allclose(logits[..., :100], X @ params['kernel'][:, :100], atol=1e-5)


@pytest.mark.parametrize('settings', [{}, dict(head='transform'), dict(logit_soft_cap=1.0)], ids=str)
def test_padded_columns_have_no_probability(settings):
    _, logits = build(**settings)
    assert np.all(np.asarray(jax.nn.softmax(logits)[..., 100:]) == 0)
    assert np.all(np.asarray(logits[..., 100:]) == heads.ABSENT)


def test_transform_is_berts():
    params, logits = build(head='transform', norm_epsilon=1e-12)
    h = X @ params['transform']['kernel'] + params['transform']['bias']
    h = h * 0.5 * (1 + np.vectorize(math.erf)(h / math.sqrt(2)))
    h = (h - h.mean(-1, keepdims=True)) / h.std(-1, keepdims=True) * params['norm']['scale'] + params['norm']['bias']
    np.testing.assert_allclose(logits[..., :100], (h @ TABLE.T + params['bias'])[..., :100], atol=1e-4)


def test_scale_and_cap():
    _, logits = build(logit_scale=0.5, logit_soft_cap=2.0)
    np.testing.assert_allclose(logits[..., :100], 2 * np.tanh(0.5 * (X @ TABLE[:100].T) / 2), atol=1e-5)
