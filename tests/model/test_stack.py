"""What a stack passes to an implementation of attention, and keys that an adapter adds without a change of the model."""
import functools
import types

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from model import config as model_config, memory as memories, stack, transformer
from model.attention import choice, plain, rule as rules
from model.decoding import cache as caches

PROMISED = rules.Hints(rules.Hint('full', 'padded'), rules.Hint('causal', 'one'), rules.Hint('full', 'packed'))


@pytest.fixture
def told(monkeypatch):
    """told() -> a list of the hints that an implementation is given."""
    def record():
        found = []

        def prepare(rule, terms, hint, windows):
            found.append(hint)
            return plain.prepare(rule, terms, hint, windows)

        fake = types.SimpleNamespace(**{**vars(plain), 'prepare': prepare})
        monkeypatch.setattr(choice, 'IMPLEMENTATIONS', {'fake': fake})
        return found

    return record


def row(length, prefix='', **fields):
    place = np.arange(length, dtype=np.int32)[None]
    fields = {'tokens': place % 7, 'positions': place, 'segments': place * 0 + 1, 'sees': place, 'seen': place, **fields}
    return {prefix + name: value for name, value in fields.items()}


def shape(**settings):
    return model_config.Config(vocab_size=40, layers=2, dim=16, heads=4, **settings)


def trace(config, batch, *args, method=None):
    """Traces a model whose batches keep PROMISED; nothing is compiled."""
    module = transformer.Transformer(config, hints=PROMISED)
    jax.eval_shape(lambda: module.init(jax.random.key(0), batch, *args, method=method))


def test_each_attention_is_told_its_hint(told):
    found = told()
    trace(shape(architecture='encoder_decoder', positions='none'), {**row(4), **row(5, 'encoder_')})
    assert found == [PROMISED.encoder, PROMISED.decoder, PROMISED.cross]
    found = told()
    pair = {**row(4), **row(5, 'encoder_')}
    trace(shape(architecture='encoder_decoder', positions='none'), pair, caches.empty(shape(), 1, 8, jnp.float32), method='step')
    assert found == [PROMISED.encoder, rules.UNKNOWN, rules.UNKNOWN]


def test_the_hint_promises_nothing_where_keys_are_not_the_tokens_of_the_row(told):
    """With a cache, and with queries that are no keys."""
    found = told()
    decoder = shape(positions='none')
    trace(decoder, row(4), caches.empty(decoder, 1, 8, jnp.float32), method='step')
    assert found == [rules.UNKNOWN]
    batch = row(4, slots=np.array([[1, 2]]), weights=np.ones((1, 2), np.float32))
    encoder, query = shape(architecture='encoder', positions='xl'), jnp.zeros(16)
    for memory in (None, memories.Memory(memories.empty(encoder, 1, 3, jnp.float32))):
        found = told()
        trace(encoder, batch, query, memory, method='streams')
        assert found == [rules.UNKNOWN]


def test_keys_before_the_row_are_an_offset(told):
    config = shape(architecture='encoder', positions='none')
    module = stack.Stack(config, 'encoder', jnp.float32, hints=PROMISED)
    memory, keys = memories.Memory(memories.empty(config, 1, 3, jnp.float32)), (jnp.full((1, 3), -1), jnp.zeros((1, 3), jnp.int32))
    for given in ({'memory': memory}, {'keys': keys}):
        found = told()
        jax.eval_shape(functools.partial(module.init, **given, method='share'), jax.random.key(0), row(4))
        assert found == [rules.Hint('full', 'padded', offset=3)]


def tune_prefix(following, args, kwargs, context):
    """Prefix tuning (Li and Liang 2021): M keys and values of each layer's own, before those of the tokens."""
    own = context.module
    if isinstance(own, stack.Stack) and context.method_name == '__call__':
        return following(*args, **kwargs, keys=(jnp.full((1, M), -1), jnp.arange(M)[None]))
    if context.method_name == 'attend':
        query, key, value, prepared = args
        key, value = (jnp.concatenate([own.get_variable('adapter', name), each], axis=2) for name, each in (('key', key), ('value', value)))
        return following(query, key, value, prepared, **kwargs)
    return following(*args, **kwargs)


M, T = 3, 6
SCHEMES = {'rotary': dict(positions='rotary', kv_heads=2), 'relative': dict(positions='relative'),
           'windows': dict(positions='alibi', windows=(4, None)), 'query': dict(positions='learned', max_length=M + T, query_layer=True)}


@pytest.mark.parametrize('scheme', SCHEMES)
def test_an_adapter_adds_keys_by_interception_alone(scheme):
    """The keys and values of the first tokens, as parameters of an adapter, do what those tokens did: at once, and through the cache."""
    module, rng = transformer.Transformer(shape(**SCHEMES[scheme])), np.random.default_rng(0)
    shapes = jax.eval_shape(module.init, jax.random.key(0), transformer.blank(module.config))['params']
    variables = {'params': jax.tree.map(lambda leaf: np.float32(rng.normal(size=leaf.shape) * 0.3), shapes)}
    whole = row(M + T, tokens=rng.integers(1, 40, (1, M + T)))
    expected = module.apply(variables, whole)[:, M:]
    first, rest = ({name: value[:, part] for name, value in whole.items()} for part in (slice(M), slice(M, None)))
    _, cache = module.apply(variables, first, module.apply(variables, 1, M, method='init_cache'), method='step')
    prefix = {'key': cache.k, 'value': cache.v}                              # [L, 1, K, M, H]
    blocks = {'blocks': prefix}
    if scheme == 'query':
        blocks = {'blocks': jax.tree.map(lambda x: x[:-1], prefix), 'query_block': jax.tree.map(lambda x: x[-1], prefix)}
    adapted = {**variables, 'adapter': {'decoder': {name: {'attention': leaf} for name, leaf in blocks.items()}}}
    with nn.intercept_methods(tune_prefix):
        np.testing.assert_allclose(module.apply(adapted, rest), expected, atol=1e-5)
        cache = module.apply(adapted, 1, T, method='init_cache')
        for begin, end in ((0, 4), (4, T)):
            piece = {name: value[:, begin:end] for name, value in rest.items()}
            hidden, cache = module.apply(adapted, piece, cache, method='step')
            np.testing.assert_allclose(module.apply(adapted, hidden, method='logits'), expected[:, begin:end], atol=1e-5)
