"""The whole model: no leaks, packing changes nothing, decoding equals the full forward, scan, remat and dropout."""
import dataclasses
import functools

from flax import linen as nn, traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from model import config as model_config, stack, transformer

SCHEMES = {
    'learned': dict(positions='learned', max_length=16),
    'rotary': dict(positions='rotary', kv_heads=2, norm='rmsnorm', gated=True, bias=False, activation='silu'),
    'sinusoidal': dict(positions='sinusoidal', embed_scale=4.0, norm_position='post'),
    'xl': dict(positions='xl', relative_segments=True, attention_bias=False, norm_position='post', embed_norm=False),
    'relative': dict(positions='relative', relative_buckets=8, relative_distance=10, attention_scale=1.0),
    'shared': dict(positions='learned', max_length=16, share_layers=True, embed_dim=8, norm_position='post'),
    'alibi': dict(positions='alibi', embed_norm=True, heads=6, dim=24),
    'query': dict(positions='learned', max_length=16, layers=3, query_layer=True),
    'windows': dict(positions='rotary', windows=(3, None), qk_norm=True, attention_soft_cap=5.0, logit_soft_cap=3.0),
}
RNGS = {'dropout': jax.random.key(5)}
EVERYTHING = pytest.mark.parametrize('scheme', SCHEMES)


@functools.cache
def build(scheme='learned', architecture='decoder', **settings):
    """A tiny model and parameters drawn in numpy: no bias or scale neutral, no initialiser compiled."""
    settings = {**dict(vocab_size=40, layers=2, dim=16, heads=4), **SCHEMES[scheme], **settings}
    model = transformer.Transformer(model_config.Config(architecture=architecture, **settings))
    shapes = jax.eval_shape(model.init, jax.random.key(0), transformer.blank(model.config))['params']
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        return np.float32(rng.normal(size=leaf.shape) * 0.2 + (path[-1].key == 'scale'))

    return model, jax.tree_util.tree_map_with_path(draw, shapes)


def documents(*lengths, length=None, causal=True, seed=0, prefix=''):
    """One row of packed documents, padded to `length`: the integers of data/example.py."""
    rng = np.random.default_rng(seed)
    total = sum(lengths)
    row = {'tokens': rng.integers(1, 40, total), 'positions': np.concatenate([np.arange(n) for n in lengths]),
           'segments': np.repeat(np.arange(len(lengths)) + 1, lengths)}
    row['sees'] = row['seen'] = row['positions'] if causal else np.zeros(total, int)
    padding, fill = (length or total) - total, {'sees': -1, 'seen': 2 ** 30}
    row = {name: np.pad(x, (0, padding), constant_values=fill.get(name, 0)) for name, x in row.items()}
    return {prefix + name: x[None].astype(np.int32) for name, x in row.items()}


def pair(decoder, encoder, length=None, encoder_length=None):
    """Packed examples of an encoder-decoder."""
    source = documents(*encoder, length=encoder_length, causal=False, seed=1, prefix='encoder_')
    return {**documents(*decoder, length=length), **source}


def take(batch, part, prefix=''):
    """The tokens of one document of a packed row, as a row of its own."""
    chosen = batch[prefix + 'segments'][0] == part
    names = [name for name in batch if name.startswith('encoder_') == bool(prefix)]
    row = {name: batch[name][:, chosen] for name in names}
    row[prefix + 'segments'] = np.ones_like(row[prefix + 'segments'])
    return row


@functools.cache
def apply(model):
    return jax.jit(lambda params, batch: model.apply({'params': params}, batch))


@EVERYTHING
def test_packed_rows_equal_single_rows(scheme):
    model, params = build(scheme)
    batch = documents(5, 4, length=11)
    packed = apply(model)(params, batch)
    assert packed.shape == (1, 11, 128) and np.all(np.isfinite(packed))
    for part in (1, 2):
        single = apply(model)(params, take(batch, part))
        np.testing.assert_allclose(packed[:, batch['segments'][0] == part], single, atol=1e-5)


@pytest.mark.parametrize('scheme', ['rotary', 'relative'])
def test_packed_pairs_equal_single_pairs(scheme):
    model, params = build(scheme, 'encoder_decoder')
    batch = pair((3, 4), (5, 2), 8, 9)
    packed = apply(model)(params, batch)
    for part in (1, 2):
        single = apply(model)(params, {**take(batch, part), **take(batch, part, 'encoder_')})
        np.testing.assert_allclose(packed[:, batch['segments'][0] == part], single, atol=1e-5)


@EVERYTHING
def test_no_logit_depends_on_the_future_or_on_another_document(scheme):
    model, params = build(scheme, tied=False, logit_soft_cap=None)
    batch = documents(4, 3, length=8)
    batch['tokens'][0] = np.arange(1, 9)      # every place has its own row of the embedding table

    def gradients(params, batch):
        """[T, T]: the largest gradient of any logit of place i with respect to the embedding of place j."""
        def logits(table):
            return model.apply({'params': {**params, 'embed': {'embedding': table}}}, batch)[0, :, :40]

        _, pull = jax.vjp(logits, params['embed']['embedding'])
        probe = jax.random.normal(jax.random.key(0), (40,))
        rows = jax.vmap(lambda place: pull(place[:, None] * probe)[0])(jnp.eye(8))
        return jnp.abs(rows[:, 1:9]).max(-1)

    found = np.asarray(jax.jit(gradients)(params, batch)) > 0
    place, segment = np.arange(8), batch['segments'][0]
    expected = (place[None] <= place[:, None]) & (segment[None] == segment[:, None]) & (segment[:, None] > 0)
    expected |= np.eye(8, dtype=bool)         # the residual stream, also of padding
    np.testing.assert_array_equal(found, expected)


def test_bidirectional_sees_everything_but_padding():
    model, params = build('learned', 'encoder', tied=False, types=2, norm_position='post', head='transform')
    batch = documents(5, length=7, causal=False)
    batch['types'] = np.zeros((1, 7), np.int32)
    reference = apply(model)(params, batch)
    changed = {**batch, 'tokens': batch['tokens'] + np.array([[0, 0, 0, 0, 1, 0, 0]])}
    assert np.all(np.abs(apply(model)(params, changed) - reference)[0, :5].max(-1) > 0)
    padding = {**batch, 'tokens': batch['tokens'] + np.array([[0, 0, 0, 0, 0, 9, 9]])}
    np.testing.assert_array_equal(apply(model)(params, padding)[0, :5], reference[0, :5])
    types = {**batch, 'types': np.array([[0, 0, 1, 1, 1, 0, 0]])}
    assert np.abs(apply(model)(params, types) - reference)[0, :5].max() > 1e-3


def decode(model, params, batch, cuts):
    """Logits of a batch read in pieces through the cache."""
    @functools.partial(jax.jit, static_argnames='slots')
    def start(params, batch, slots):
        cache = model.apply({'params': params}, len(batch['tokens']), slots, method='init_cache')
        return step(params, batch, cache)

    @jax.jit
    def step(params, batch, cache):
        hidden, cache = model.apply({'params': params}, batch, cache, method='step')
        return model.apply({'params': params}, hidden, method='logits'), cache

    length = batch['tokens'].shape[1]
    names = ('tokens', 'positions', 'segments', 'sees', 'seen')
    pieces = [{name: batch[name][:, a:b] for name in names} for a, b in zip((0, *cuts), (*cuts, length))]
    source = {name: value for name, value in batch.items() if name.startswith('encoder_')}
    logits, cache = start(params, {**pieces[0], **source}, slots=length + 3)
    out = [logits]
    for piece in pieces[1:]:
        logits, cache = step(params, piece, cache)
        out.append(logits)
    assert int(cache.length) == length
    return np.concatenate(out, axis=1)


@EVERYTHING
def test_prefill_and_steps_equal_the_full_forward(scheme):
    model, params = build(scheme)
    one, two = documents(9), documents(5, 4, seed=2)
    batch = {name: np.concatenate([one[name], two[name]]) for name in one}
    np.testing.assert_allclose(decode(model, params, batch, (5, 6, 7, 8)), apply(model)(params, batch), atol=1e-5)


@pytest.mark.parametrize('scheme', ['relative', 'windows'])
def test_prefill_and_steps_of_an_encoder_decoder(scheme):
    model, params = build(scheme, 'encoder_decoder', decoder_layers=4)
    batch = pair((7,), (6,), encoder_length=8)
    np.testing.assert_allclose(decode(model, params, batch, (1, 2, 3, 4)), apply(model)(params, batch), atol=1e-5)


def test_step_is_causal_by_default():
    model, params = build()
    batch = documents(4)
    cache = model.apply({'params': params}, 1, 4, method='init_cache')
    given, _ = model.apply({'params': params}, batch, cache, method='step')
    short = {name: batch[name] for name in ('tokens', 'positions', 'segments')}
    np.testing.assert_array_equal(given, model.apply({'params': params}, short, cache, method='step')[0])


def test_cache_refusals():
    model, params = build()
    with pytest.raises(ValueError, match='17 tokens wanted, model.max_length = 16'):
        model.apply({'params': params}, 1, 17, method='init_cache')
    model, params = build(architecture='encoder')
    with pytest.raises(ValueError, match="model.architecture: expected 'decoder' or 'encoder_decoder'"):
        model.apply({'params': params}, 1, 4, method='init_cache')


def test_appended_queries_are_not_keys():
    """With fewer `seen` than tokens, the rest only ask, as if they were keys that nothing sees."""
    model, params = build('rotary')
    content = documents(5)
    queries = {name: np.concatenate([value, value[:, 2:4]], axis=1) for name, value in content.items()}
    queries['sees'][:, 5:] -= 1
    out = apply(model)(params, {**queries, 'seen': content['seen']})
    np.testing.assert_allclose(out[:, :5], apply(model)(params, content), atol=1e-5)
    hidden_from_all = np.concatenate([content['seen'], np.full((1, 2), 2 ** 30)], axis=1).astype(np.int32)
    np.testing.assert_allclose(out, apply(model)(params, {**queries, 'seen': hidden_from_all}), atol=1e-5)


def loss_and_gradients(model):
    def loss(params, batch):
        return jnp.sum(jax.nn.log_softmax(model.apply({'params': params}, batch)[..., :40])[..., 3])

    return jax.jit(jax.value_and_grad(loss))


REMAT = [dict(remat=name) for name in ('dots', 'attention', 'full')]


@pytest.mark.parametrize('settings', [dict(unroll=1), dict(unroll=2), *REMAT], ids=str)
def test_unrolling_and_recomputing_change_nothing(settings):
    model, params = build('windows', layers=3)
    other = dataclasses.replace(model, config=dataclasses.replace(model.config, **settings))
    batch = documents(5, 3)
    (value, gradients), (expected, reference) = (loss_and_gradients(m)(params, batch) for m in (other, model))
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-4, rtol=1e-4), gradients, reference)


def loops(depth, unroll=None):
    """The lengths of the scans in a forward pass, traced."""
    model = transformer.Transformer(model_config.Config(layers=depth, dim=16, heads=4, max_length=8, vocab_size=32, unroll=unroll))
    batch = documents(3, 3)
    variables = jax.eval_shape(model.init, jax.random.key(0), batch)
    traced = jax.jit(model.apply).trace(variables, batch)
    found = [equation.params for equation in traced.jaxpr.eqns if equation.primitive.name == 'scan']
    return [(params['length'], params['unroll']) for params in found]


def test_layers_are_unrolled_on_one_cpu_device_up_to_a_depth():
    assert loops(stack.UNROLLED) == [(stack.UNROLLED, stack.UNROLLED)]
    assert loops(stack.UNROLLED + 1) == [(stack.UNROLLED + 1, 1)] and loops(4, unroll=2) == [(4, 2)] and loops(2, unroll=9) == [(2, 2)]
    for devices, unroll in ((8, 1), (1, 4)):
        with jax.set_mesh(jax.make_mesh((devices,), ('data',), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:devices])):
            assert loops(4) == [(4, unroll)]


@pytest.mark.parametrize('settings', [dict(), dict(remat='full', unroll=2), dict(windows=(2, None, 4))], ids=str)
def test_shared_layers_equal_layers_with_equal_weights(settings):
    """One set of weights under the scan does what three equal ones do; its gradient is the sum of theirs."""
    model, params = build('shared', layers=3, **settings)
    block = params['decoder']['block']
    assert block['mlp']['up']['kernel'].shape == (16, 64) and 'blocks' not in params['decoder']
    other = dataclasses.replace(model, config=dataclasses.replace(model.config, share_layers=False))
    copies = {**params['decoder'], 'blocks': jax.tree.map(lambda p: np.stack([p] * 3), block)}
    copies.pop('block')
    batch = documents(5, 3)
    value, gradients = loss_and_gradients(model)(params, batch)
    expected, reference = loss_and_gradients(other)({**params, 'decoder': copies}, batch)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    stacked = reference['decoder'].pop('blocks')
    reference['decoder']['block'] = jax.tree.map(lambda g: g.sum(0), stacked)
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-4, rtol=1e-4), gradients, reference)


def test_shared_layers_start_as_one_and_draw_their_own_masks():
    model, _ = build('shared', norm_position='pre', embed_dim=None, dropout=0.5)
    params = jax.jit(model.init)(jax.random.key(0), transformer.blank(model.config))['params']
    assert params['decoder']['block']['attention']['query']['kernel'].shape == (16, 16)
    params = jax.tree.map(np.zeros_like, params)
    params['decoder']['block']['mlp']['down']['bias'] += 1
    params['decoder']['norm']['bias'] += 1
    params['decoder']['norm']['scale'] += 1
    params['embed']['embedding'][:, 0] += 1   # the stream is not constant, so that the last norm shows the sum of the branches
    out = model.apply({'params': params}, documents(8), jnp.array([0]), rngs=RNGS, method='hidden')
    assert len({tuple(place) for place in np.asarray(out[0]).round(4).tolist()}) > 3


@pytest.mark.parametrize('norm_position, embed_norm', [('post', None), ('pre', True), ('post', False), ('pre', None)])
def test_embeddings_are_summed_normed_and_projected(norm_position, embed_norm):
    model, params = build('learned', 'encoder', norm_position=norm_position, embed_norm=embed_norm, embed_dim=8, types=2,
                          norm_epsilon=1e-12, head='transform')
    batch = {**documents(5, causal=False), 'types': np.array([[0, 0, 1, 1, 1]])}
    own = params['encoder']
    x = params['embed']['embedding'][batch['tokens']] + own['positions']['embedding'][:5]
    x += own['types']['embedding'][batch['types']]
    if norm_position == 'post' and embed_norm is None or embed_norm:
        x = (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True) * own['embed_norm']['scale'] + own['embed_norm']['bias']
    else:
        assert 'embed_norm' not in own
    assert ('norm' in own) == (norm_position == 'pre')
    x = x @ own['project']['kernel'] + own['project']['bias']

    def embed(model, batch):
        return model.encoder.embed(model.look_up(batch['tokens']), batch, None)

    np.testing.assert_allclose(model.apply({'params': params}, batch, method=embed), x, atol=1e-5)
    assert params['head']['transform']['kernel'].shape == (16, 8)


@pytest.mark.parametrize('architecture', ['encoder', 'encoder_decoder'])
def test_an_offset_shifts_the_table(architecture):
    """Position 0 is row 2: the same as without the first two rows, which nothing reads."""
    model, params = build('learned', architecture, position_offset=2)
    batch = pair((5,), (6,)) if architecture == 'encoder_decoder' else documents(6, causal=False)
    shifted, roles = dict(params), [role for role in ('encoder', 'decoder') if role in params]
    for role in roles:
        table = params[role]['positions']['embedding']
        assert table.shape == (18, 16)
        shifted[role] = {**params[role], 'positions': {'embedding': table[2:]}}
        other = {**params[role], 'positions': {'embedding': np.concatenate([np.full_like(table[:2], np.nan), table[2:]])}}
        params = {**params, role: other}
    plain, _ = build('learned', architecture)
    np.testing.assert_array_equal(apply(model)(params, batch), apply(plain)(shifted, batch))


class Two(nn.Module):
    """A model, and another that borrows its embeddings."""
    large: model_config.Config
    small: model_config.Config

    def setup(self):
        self.backbone = transformer.Transformer(self.large)
        self.generator = transformer.Transformer(self.small, borrowed=self.backbone)

    def __call__(self, batch):
        return self.generator(batch), self.backbone(batch)


@pytest.mark.parametrize('embed_dim', [None, 4])
def test_borrowed_embeddings_are_the_owners(embed_dim):
    """Tokens, positions, types and their norm are shared; projection, blocks and head are the borrower's own."""
    large = model_config.Config(architecture='encoder', vocab_size=40, max_length=8, layers=2, dim=16, heads=4, types=2,
                                norm_position='post', embed_dim=embed_dim, head='transform')
    small = dataclasses.replace(large, dim=8, embed_dim=large.width)
    batch = {**documents(5, causal=False), 'types': np.array([[0, 0, 1, 1, 1]])}
    params = jax.eval_shape(Two(large, small).init, jax.random.key(0), batch)['params']
    assert set(params) == {'backbone', 'generator'}
    assert set(params['generator']) == {'encoder', 'head'} and set(params['generator']['encoder']) == {'blocks', 'project'}
    lent = {'positions', 'types', 'embed_norm'}
    assert set(params['backbone']['encoder']) == {'blocks', *lent, *(['project'] if embed_dim else [])}

    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32) * 0.2, params)
    own, borrowed = params['generator'], params['backbone']
    encoder = {**own['encoder'], **{name: borrowed['encoder'][name] for name in lent}}
    alone = {'embed': borrowed['embed'], 'encoder': encoder, 'head': own['head']}
    found, _ = jax.jit(Two(large, small).apply)({'params': params}, batch)
    np.testing.assert_allclose(found, apply(transformer.Transformer(small))(alone, batch), atol=1e-5)


def test_scan_equals_a_loop_over_layers():
    model, params = build('relative', layers=3)
    batch = documents(5, 3)

    def loop(whole, x, fields):
        shared, _, _ = whole.share(fields, None, None, None, None)
        x = whole.embed(x, fields, None)
        block = stack.Block(model.config, 'decoder', jnp.float32, parent=None)
        for layer in range(3):
            own = jax.tree.map(lambda p, layer=layer: p[layer], params['decoder']['blocks'])
            (x, _), _ = block.apply({'params': own}, (x, None), (layer, None, None, None), shared)
        return whole.norm(x)

    def logits(model, batch):
        return model.logits(loop(model.decoder, model.look_up(batch['tokens']), batch))

    looped = model.apply({'params': params}, batch, method=logits)
    np.testing.assert_allclose(apply(model)(params, batch), looped, atol=1e-5)


@pytest.mark.parametrize('scheme', ['rotary', 'shared', 'alibi', 'query'])
def test_a_mesh_changes_nothing(scheme):
    """Batch, sequence and heads over eight devices, by the constraints of the model alone."""
    model, params = build(scheme, dropout=0.2, attention_dropout=0.2)
    batch = {name: np.concatenate([value] * 4) for name, value in documents(5, 3).items()}
    forward = jax.jit(lambda params, batch: model.apply({'params': params}, batch, jnp.arange(4), rngs=RNGS))
    single = forward(params, batch)
    kinds = (jax.sharding.AxisType.Auto,) * 4
    with jax.set_mesh(jax.make_mesh((2, 1, 2, 2), ('data', 'fsdp', 'tensor', 'context'), axis_types=kinds)):
        spread = forward(params, batch)
    assert len(spread.sharding.device_set) == 8
    np.testing.assert_allclose(single, spread, atol=1e-5)


def test_slots_are_read_before_the_projection():
    model, params = build('learned', 'encoder', head='transform')
    batch, slots = documents(6, causal=False), np.array([[4, 0, 4]])
    everywhere = apply(model)(params, batch)
    np.testing.assert_allclose(apply(model)(params, {**batch, 'slots': slots}), everywhere[:, slots[0]], atol=1e-6)


@pytest.mark.parametrize('kind', ['dropout', 'attention_dropout', 'mlp_dropout', 'output_dropout'])
def test_each_dropout_draws_by_the_row(kind):
    model, params = build('rotary', **{kind: 0.3})
    batch = {name: np.repeat(value, 4, axis=0) for name, value in documents(6).items()}
    forward = jax.jit(lambda batch, rows: model.apply({'params': params}, batch, rows, rngs=RNGS))
    whole = forward(batch, jnp.arange(4))
    halves = [forward({name: value[part] for name, value in batch.items()}, jnp.arange(4)[part])
              for part in (slice(0, None, 2), slice(1, None, 2))]
    np.testing.assert_allclose(whole[0::2], halves[0], atol=1e-5)
    np.testing.assert_allclose(whole[1::2], halves[1], atol=1e-5)
    still = model.apply({'params': params}, batch)
    assert np.abs(whole - still).max() > 1e-3                # it does something,
    assert np.abs(whole[0] - whole[1])[:, :40].max() > 1e-3  # something else for each row


def test_layers_draw_their_own_masks():
    """Only the bias of `down` speaks, a 1 in each of two layers: dropout makes it 0 or 2, and their sum 0, 2 or 4."""
    model, params = build('learned', dropout=0.5, norm_position='pre')
    params = jax.tree.map(np.zeros_like, params)
    params['decoder']['blocks']['mlp']['down']['bias'] += 1
    params['decoder']['norm']['bias'] += 1    # and the last norm shows the order of the sums
    params['decoder']['norm']['scale'] += 1
    out = model.apply({'params': params}, documents(8), jnp.array([0]), rngs=RNGS, method='hidden')
    assert {len(np.unique(place.round(4))) for place in np.asarray(out[0])} == {3}


def test_bfloat16_is_close_to_float32():
    model, params = build('rotary')
    batch = documents(6, 4)
    half = dataclasses.replace(model, dtype=jnp.bfloat16)
    exact, rough = apply(model)(params, batch), apply(half)(params, batch)
    assert rough.dtype == exact.dtype == jnp.float32
    assert half.apply({'params': params}, batch, method='hidden').dtype == jnp.bfloat16
    assert np.abs(exact - rough)[..., :40].max() < 0.05 * np.abs(exact[..., :40]).max()
    assert all(p.dtype == jnp.float32 for p in jax.tree.leaves(jax.eval_shape(half.init, jax.random.key(0), batch)))


def test_parameter_tree():
    """The paths that sharding, decay, freezing and conversion tables match."""
    def paths(**settings):
        config = model_config.Config(vocab_size=40, max_length=8, layers=2, dim=16, heads=4, **settings)
        model = transformer.Transformer(config)
        shapes = jax.eval_shape(model.init, jax.random.key(0), transformer.blank(config))['params']
        return {path: leaf.shape for path, leaf in traverse_util.flatten_dict(shapes, sep='/').items()}

    decoder = paths(bias=False, norm='rmsnorm', tied=False, gated=True, qk_norm=True, kv_heads=2)
    assert decoder == {
        'embed/embedding': (128, 16), 'decoder/positions/embedding': (8, 16), 'decoder/norm/scale': (16,),
        'head/kernel': (16, 128),
        'decoder/blocks/attention_norm/scale': (2, 16), 'decoder/blocks/mlp_norm/scale': (2, 16),
        'decoder/blocks/attention/query/kernel': (2, 16, 16), 'decoder/blocks/attention/key/kernel': (2, 16, 8),
        'decoder/blocks/attention/value/kernel': (2, 16, 8), 'decoder/blocks/attention/out/kernel': (2, 16, 16),
        'decoder/blocks/attention/query_norm/scale': (2, 4), 'decoder/blocks/attention/key_norm/scale': (2, 4),
        'decoder/blocks/mlp/up/kernel': (2, 16, 64), 'decoder/blocks/mlp/gate/kernel': (2, 16, 64),
        'decoder/blocks/mlp/down/kernel': (2, 64, 16)}
    both = paths(architecture='encoder_decoder', decoder_layers=3, positions='relative')
    assert both['decoder/blocks/cross_attention/key/kernel'] == (3, 16, 16)
    assert both['encoder/positions/embedding'] == both['decoder/positions/embedding'] == (32, 4)
    for settings, biased in ((dict(bias=False, attention_bias=True, out_bias=False), {'query', 'key', 'value'}),
                             (dict(attention_bias=False), {'up', 'down', 'norm'}),
                             (dict(mlp_bias=False), {'query', 'key', 'value', 'out', 'norm'}),
                             (dict(bias=False, out_bias=True, mlp_bias=True), {'out', 'up', 'down'})):
        found = {path.split('/')[-2] for path in paths(**settings) if path.endswith('/bias')}
        assert {name.removeprefix('attention_').removeprefix('mlp_') for name in found} == biased
    encoder = paths(architecture='encoder', head='transform', norm_position='post', types=2)
    assert {path for path in encoder if not path.startswith('encoder/blocks')} == {
        'embed/embedding', 'encoder/positions/embedding', 'encoder/types/embedding', 'encoder/embed_norm/scale',
        'encoder/embed_norm/bias', 'head/transform/kernel', 'head/transform/bias', 'head/norm/scale', 'head/norm/bias',
        'head/bias'}
