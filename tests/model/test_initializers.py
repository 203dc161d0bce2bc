"""Published starting points: deviations by path, a row for every parameter, and a first loss of ln V."""
import dataclasses
import math

from flax import traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from model import config as model_config, heads, initializers, transformer

RECIPES = {
    'gpt2': dict(initializer='gpt2', architecture='decoder'),
    'bert': dict(initializer='bert', architecture='encoder', norm_position='post', head='transform', types=2),
    't5': dict(initializer='t5', architecture='encoder_decoder', positions='relative', norm='rmsnorm', bias=False,
               attention_scale=1.0, logit_scale=128 ** -0.5, activation='relu'),
}
V = 1000


def start(name, **settings):
    settings = {**dict(vocab_size=V, max_length=64, layers=3, dim=128, heads=4), **RECIPES[name], **settings}
    config = model_config.Config(**settings)
    model = transformer.Transformer(config)
    return model, jax.jit(model.init)(jax.random.key(0), transformer.blank(config))['params']


def deviations(params):
    return {path: float(np.std(leaf)) for path, leaf in traverse_util.flatten_dict(params, sep='/').items()}


@pytest.mark.parametrize('name', RECIPES)
def test_deviations_and_first_loss(name):
    model, params = start(name)
    found = deviations(params)
    assert all(value == 0 for path, value in found.items() if path.endswith(('bias', 'scale')))
    cut = 0.02 * math.sqrt(1 - 4 * math.exp(-2) / math.sqrt(2 * math.pi) / math.erf(math.sqrt(2)))  # at two deviations
    expected = {
        'gpt2': {'embed/embedding': 0.02, 'decoder/positions/embedding': 0.02,
                 'decoder/blocks/attention/query/kernel': 0.02, 'decoder/blocks/mlp/up/kernel': 0.02,
                 'decoder/blocks/attention/out/kernel': 0.02 / 6 ** 0.5,
                 'decoder/blocks/mlp/down/kernel': 0.02 / 6 ** 0.5},
        'bert': {'embed/embedding': cut, 'encoder/positions/embedding': cut, 'head/transform/kernel': cut,
                 'encoder/blocks/attention/out/kernel': cut, 'encoder/blocks/mlp/down/kernel': cut},
        't5': {'embed/embedding': 1.0, 'encoder/blocks/attention/query/kernel': (128 * 32) ** -0.5,
               'decoder/blocks/cross_attention/query/kernel': (128 * 32) ** -0.5,
               'decoder/blocks/attention/key/kernel': 128 ** -0.5, 'decoder/blocks/attention/out/kernel': 128 ** -0.5,
               'encoder/blocks/mlp/up/kernel': 128 ** -0.5, 'encoder/blocks/mlp/down/kernel': 512 ** -0.5,
               'decoder/positions/embedding': (2 / (32 + 4)) ** 0.5},
    }[name]
    for path, deviation in expected.items():
        assert found[path] == pytest.approx(deviation, rel=0.15 if 'positions' in path else 0.04), path

    tokens = np.random.default_rng(0).integers(0, V, (4, 32)).astype(np.int32)
    batch = {field: np.broadcast_to(np.arange(32, dtype=np.int32), (4, 32)) for field in ('positions', 'sees', 'seen')}
    batch = {**batch, 'tokens': tokens, 'segments': np.ones_like(tokens), 'types': np.zeros_like(tokens)}
    batch.update({f'encoder_{field}': value for field, value in batch.items()})
    logits = jax.jit(model.apply)({'params': params}, batch)
    targets = np.random.default_rng(1).integers(0, V, (4, 32))
    loss = -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), targets[..., None], -1))
    assert float(loss) == pytest.approx(math.log(V), abs={'gpt2': 0.1, 'bert': 0.1, 't5': 0.8}[name])


def test_truncated_normal_stays_within_two_deviations():
    draw = initializers.find(model_config.Config(initializer='bert'), 'mlp/up/kernel')
    assert 0.039 < np.abs(draw(jax.random.key(0), (100, 100))).max() <= 0.04


def test_each_layer_draws_its_own():
    _, params = start('gpt2')
    kernel = params['decoder']['blocks']['attention']['query']['kernel']
    assert kernel.shape[0] == 3
    assert abs(np.corrcoef(kernel[0].ravel(), kernel[1].ravel())[0, 1]) < 0.05


@pytest.mark.parametrize('architecture', model_config.ARCHITECTURES)
@pytest.mark.parametrize('positions', model_config.POSITIONS)
def test_every_parameter_has_a_row(architecture, positions):
    config = model_config.Config(
        vocab_size=10, max_length=8, layers=1, dim=16, heads=2, architecture=architecture, positions=positions,
        gated=True, tied=False, qk_norm=True, head='transform', types=2)
    shapes = jax.eval_shape(transformer.Transformer(config).init, jax.random.key(0), transformer.blank(config))['params']
    for path in traverse_util.flatten_dict(shapes, sep='/'):
        for initializer in model_config.INITIALIZERS:
            assert callable(initializers.find(dataclasses.replace(config, initializer=initializer), path)), (initializer, path)


@pytest.mark.parametrize('initializer', model_config.INITIALIZERS)
def test_parameters_of_other_shapes_and_heads_have_a_row(initializer):
    config = model_config.Config(vocab_size=10, max_length=8, layers=2, dim=16, heads=2, initializer=initializer, embed_dim=8,
                                 share_layers=True, embed_norm=True, head='biased', architecture='encoder_decoder')
    shapes = jax.eval_shape(transformer.Transformer(config).init, jax.random.key(0), transformer.blank(config))['params']
    assert shapes['encoder']['project']['kernel'].shape == (8, 16) and shapes['head']['project']['kernel'].shape == (16, 8)
    hidden = jnp.zeros((1, 2, 16))
    for head in (heads.PairHead(config, name='pair'), heads.TokenHead(config, name='head'), heads.TokenClassHead(config, 2, name='head')):
        jax.eval_shape(head.init, jax.random.key(0), hidden)
    jax.eval_shape(heads.ClassHead(config, 3, name='head').init, jax.random.key(0), hidden, jnp.ones((1, 2), jnp.int32))


@pytest.mark.parametrize('initializer', model_config.INITIALIZERS)
def test_the_query_layer_starts_as_the_others(initializer):
    config = model_config.Config(vocab_size=10, max_length=8, layers=3, dim=16, heads=2, initializer=initializer, query_layer=True)
    shapes = jax.eval_shape(transformer.Transformer(config).init, jax.random.key(0), transformer.blank(config))['params']
    alone = [path for path in traverse_util.flatten_dict(shapes, sep='/') if 'query_block' in path]
    assert len(alone) == 16

    def start(path):
        return initializers.find(config, path)(jax.random.key(0), (8, 8) if path.endswith(('kernel', 'embedding')) else (8,))

    for path in alone:
        np.testing.assert_array_equal(start(path), start(path.replace('query_block', 'blocks')))
    np.testing.assert_array_equal(start('decoder/queries/embedding'), start('decoder/positions/embedding'))


def test_normal_is_not_cut():
    draw = initializers.find(model_config.Config(initializer='normal'), 'encoder/blocks/mlp/down/kernel')
    kernel = draw(jax.random.key(0), (300, 300))
    assert float(jnp.std(kernel)) == pytest.approx(0.02, rel=0.02) and float(jnp.abs(kernel).max()) > 0.06


def test_no_row_is_an_error_that_lists_the_rows():
    with pytest.raises(ValueError, match=r"(?s)no initializer for 'experts/router'; add a row .*:gpt2:.*embed/"):
        initializers.find(model_config.Config(), 'experts/router')


def test_residual_writers_of_an_encoder_decoder():
    config = model_config.Config(architecture='encoder_decoder', layers=4, decoder_layers=2)
    for role, writers in (('encoder', 8), ('decoder', 6)):
        draw = initializers.find(config, f'backbone/{role}/blocks/mlp/down/kernel')
        assert float(jnp.std(draw(jax.random.key(0), (300, 300)))) == pytest.approx(0.02 / writers ** 0.5, rel=0.02)
