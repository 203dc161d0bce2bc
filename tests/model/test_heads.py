"""The language head: linear, with a bias and BERT's, tied and own, capped, blind to padding rows; judges of pairs, tokens, classes."""
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from model import config as model_config, heads, scoring

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
    assert np.all(np.asarray(logits[..., 100:]) == scoring.ABSENT)


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


SEGMENTS = np.array([[1, 1, 0], [0, 1, 1]], np.int32)  # padding after a text, and before one


@pytest.mark.parametrize('read, places', [('first', [0, 0]), ('last', [1, 2])])
@pytest.mark.parametrize('activation, function', [
    (None, None), ('tanh', np.tanh), ('gelu', lambda x: np.asarray(jax.nn.gelu(x, approximate=False)))])
@pytest.mark.parametrize('bias', [True, False])
def test_a_text_is_classed_by_one_token(read, places, activation, function, bias):
    """A decoder like GPT-2 reads the last token without biases; a model without any biases (T5) keeps those of its head."""
    config = model_config.Config(dim=8, bias=False, dropout=0.5)
    module = heads.ClassHead(config, 5, read, activation, bias, name='head')
    params = module.init(jax.random.key(0), X, SEGMENTS)['params']
    params = jax.tree.map(lambda p: p + RNG.normal(size=p.shape).astype(np.float32), params)
    assert jax.tree.map(np.shape, params) == {
        'labels': {'kernel': (8, 5), **({'bias': (5,)} if bias else {})},
        **({'transform': {'kernel': (8, 8), 'bias': (8,)}} if activation else {})}
    h = X[np.arange(2), places]
    if activation:
        h = function(h @ params['transform']['kernel'] + params['transform']['bias'])
    logits = module.apply({'params': params}, X, SEGMENTS)
    assert logits.dtype == jnp.float32
    np.testing.assert_allclose(logits, h @ params['labels']['kernel'] + params['labels'].get('bias', 0), atol=1e-5)


def test_what_classes_a_text_drops_by_the_row():
    """Before the labels, in training: with the identity as labels each number is dropped or doubled."""
    module = heads.ClassHead(model_config.Config(dim=8, dropout=0.5), 8, 'first', None, False, name='head')
    params, rngs = {'labels': {'kernel': np.eye(8, dtype=np.float32)}}, {'dropout': jax.random.key(1)}
    whole = np.asarray(module.apply({'params': params}, X, SEGMENTS, jnp.arange(2), rngs=rngs))
    dropped = np.isclose(whole, 0)
    np.testing.assert_allclose(whole[~dropped], 2 * X[:, 0][~dropped], rtol=1e-6)
    assert 2 <= dropped.sum() <= 14 and (dropped[0] != dropped[1]).any()
    second = module.apply({'params': params}, X[1:], SEGMENTS[1:], jnp.array([1]), rngs=rngs)
    np.testing.assert_array_equal(whole[1:], second)


def test_a_class_or_a_span_for_each_token():
    module = heads.TokenClassHead(model_config.Config(dim=8, bias=False), 3, name='head')
    params = draw(module)
    assert jax.tree.map(np.shape, params) == {'labels': {'kernel': (8, 3), 'bias': (3,)}}
    expected = X @ params['labels']['kernel'] + params['labels']['bias']
    np.testing.assert_allclose(module.apply({'params': params}, X), expected, atol=1e-5)
    rough = heads.TokenClassHead(module.config, 3, jnp.bfloat16, name='head').apply({'params': params}, X)
    assert rough.shape == (2, 3, 3) and rough.dtype == jnp.float32
    np.testing.assert_allclose(rough, expected, atol=0.2)


def test_scale_and_cap():
    _, logits = build(logit_scale=0.5, logit_soft_cap=2.0)
    np.testing.assert_allclose(logits[..., :100], 2 * np.tanh(0.5 * (X @ TABLE[:100].T) / 2), atol=1e-5)
