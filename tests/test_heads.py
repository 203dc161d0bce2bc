"""The language head: linear, with a bias and BERT's, tied and own, capped, blind to padding rows; judges of pairs and tokens."""
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


def test_a_bias_for_each_token():
    params, logits = build(head='biased')
    assert set(params) == {'bias'} and params['bias'].shape == (128,)
    np.testing.assert_allclose(logits[..., :100], X @ TABLE[:100].T + params['bias'][:100], atol=1e-5)


@pytest.mark.parametrize('head, names', [('transform', {'transform', 'norm', 'bias'}), ('linear', {'project'}),
                                         ('biased', {'project', 'bias'})])
def test_a_narrow_table(head, names):
    """Tied to a table of width E, the state is brought from D to E first."""
    config = model_config.Config(vocab_size=100, dim=8, embed_dim=4, head=head, norm_epsilon=1e-12)
    module = heads.LanguageHead(config, name='head')
    params = module.init(jax.random.key(0), X, TABLE[:, :4])['params']
    params = jax.tree.map(lambda p: p + RNG.normal(size=p.shape).astype(np.float32), params)
    assert set(params) == names
    h = X @ params['transform' if head == 'transform' else 'project']['kernel']
    if head == 'transform':
        h += params['transform']['bias']
        h = np.asarray(jax.nn.gelu(h, approximate=False))
        h = (h - h.mean(-1, keepdims=True)) / h.std(-1, keepdims=True) * params['norm']['scale'] + params['norm']['bias']
    logits = module.apply({'params': params}, X, TABLE[:, :4])[..., :100]
    np.testing.assert_allclose(logits, (h @ TABLE[:, :4].T + params.get('bias', 0))[..., :100], atol=1e-4)


def test_an_own_kernel_ignores_the_width_of_the_table():
    config = model_config.Config(vocab_size=100, dim=8, embed_dim=4, tied=False)
    params = heads.LanguageHead(config, name='head').init(jax.random.key(0), X, None)['params']
    assert jax.tree.map(np.shape, params) == {'kernel': (8, 128)}


def draw(module):
    params = module.init(jax.random.key(0), X)['params']
    return jax.tree.map(lambda p: p + RNG.normal(size=p.shape).astype(np.float32), params)


def test_a_pair_is_judged_by_its_first_token():
    module = heads.PairHead(model_config.Config(dim=8), name='pair')
    params = draw(module)
    assert jax.tree.map(np.shape, params) == {'pooler': {'dense': {'kernel': (8, 8), 'bias': (8,)}},
                                              'labels': {'kernel': (8, 2), 'bias': (2,)}}
    pooled = np.tanh(X[:, 0] @ params['pooler']['dense']['kernel'] + params['pooler']['dense']['bias'])
    np.testing.assert_allclose(module.apply({'params': params}, X),
                               pooled @ params['labels']['kernel'] + params['labels']['bias'], atol=1e-5)


def test_each_token_is_judged_alone():
    module = heads.TokenHead(model_config.Config(dim=8), dtype=jnp.bfloat16, name='head')
    params = draw(module)
    h = np.asarray(jax.nn.gelu(X @ params['transform']['kernel'] + params['transform']['bias'], approximate=False))
    expected = (h @ params['labels']['kernel'] + params['labels']['bias'])[..., 0]
    np.testing.assert_allclose(heads.TokenHead(module.config, name='head').apply({'params': params}, X), expected, atol=1e-4)
    rough = module.apply({'params': params}, X)
    assert rough.dtype == jnp.float32
    np.testing.assert_allclose(rough, expected, atol=0.2)


def test_scale_and_cap():
    _, logits = build(logit_scale=0.5, logit_soft_cap=2.0)
    np.testing.assert_allclose(logits[..., :100], 2 * np.tanh(0.5 * (X @ TABLE[:100].T) / 2), atol=1e-5)
