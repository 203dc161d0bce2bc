"""XLNet's network against two streams written out by hand: relative positions and segments, memory, leaks, gradients."""
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from data import pipeline, tokenizer as tokenizers
from data.objectives import permuted_lm as objectives
from data.text import cache
from model import config as model_config, memory as memories, transformer
from train import state as states, step as steps
from train.objectives import permuted_lm
from train.parallel import sharding
from train.prediction import evaluation
from train.settings import schema

TOKENIZER = tokenizers.Bytes()
D, N, T, R, M = 16, 2, 16, 8, 12
XLNET = model_config.Config(architecture='encoder', vocab_size=TOKENIZER.vocab_size, layers=2, dim=D, heads=N, positions='xl',
                            relative_segments=True, norm_position='post', embed_norm=False, attention_bias=False,
                            norm_epsilon=1e-12, activation='gelu_tanh', head='biased', initializer='normal')
OBJECTIVE = objectives.Objective(T, batch_size=4, memory_length=M, num_predict=6)


def source(length=200, seed=0):
    draw = np.random.default_rng(seed)
    ids = draw.integers(3, 259, length).astype(np.int32)
    return cache.Tokens.from_arrays([ids], TOKENIZER.special, [np.arange(0, length, 4)])


def batches(count=3, objective=OBJECTIVE, rows=4):
    host = pipeline.batches(objective, source(), seed=1, batch_size=rows, stop=count * rows, shuffle=False, threads=0)
    return [{name: jnp.asarray(value) for name, value in batch.items() if name != 'index'} for batch in host]


def loss(memory=M, **settings):
    return permuted_lm.PermutedLoss(transformer.Transformer(dataclasses.replace(XLNET, **settings)), memory=memory, reuse=R)


@functools.cache
def parameters():
    """Every parameter drawn, so that no bias or scale is neutral."""
    module, rng = loss(), np.random.default_rng(0)
    shapes = jax.eval_shape(module.init, jax.random.key(0), batches(1)[0], module.initial_carry(4))['params']
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: np.float32(rng.normal(size=leaf.shape) * 0.3 + (path[-1].key == 'scale')), shapes)


@functools.partial(jax.jit, static_argnames='reuse')
def streams(params, batch, states=None, reuse=R):
    """(content, queries, next memory) of the model."""
    memory = None if states is None else memories.Memory(states, reuse)
    backbone = transformer.Transformer(XLNET)
    return backbone.apply({'params': params['backbone']}, batch, params['query']['embedding'][0], memory, method='streams')


def norm(x, own):
    x = x - x.mean(-1, keepdims=True)
    return x / jnp.sqrt((x * x).mean(-1, keepdims=True) + 1e-12) * own['scale'] + own['bias']


def attend(own, asking, known, distance, different, allowed):
    """Heads of one row for queries float[Q, D] over the states float[S, D]: every term of every pair by itself."""
    heads = lambda x, name: (x @ own[name]['kernel']).reshape(len(x), N, -1)
    query, key, value = heads(asking, 'query'), heads(known, 'key'), heads(known, 'value')
    relative = own['relative']
    angle = distance[..., None] * 10000.0 ** (-np.arange(0, D, 2) / D)
    table = jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], -1)                         # [Q, S, D]
    places = (table @ relative['key']['kernel']).reshape(*distance.shape, N, -1)
    out = []
    for n in range(N):
        q = query[:, n]
        scores = (q + relative['content_bias'][n]) @ key[:, n].T
        scores += jnp.einsum('qh,qsh->qs', q + relative['position_bias'][n], places[:, :, n])
        by_type = (q + relative['segment_bias'][n]) @ relative['segments'][:, n].T        # the same, another
        scores += jnp.where(different, by_type[:, 1:], by_type[:, :1])
        scores = jnp.where(allowed, scores / np.sqrt(D // N), -jnp.inf)
        out.append(jax.nn.softmax(scores, -1) @ value[:, n])
    return jnp.concatenate(out, -1) @ own['out']['kernel']


def row_by_hand(params, row, memory, content, query):
    """Two streams of one row, layer after layer, after the paper's figure. memory: [L] states float[m, D] before the row.
    content, query: bool[T, T], what each place, and a query in it, sees of the row.

    Returns (content float[T, D], queries float[P, D], rubbish where a slot is not used; states that enter each layer).
    """
    backbone, slots = params['backbone'], row['slots']
    h = backbone['embed']['embedding'][row['tokens']]
    g = jnp.broadcast_to(params['query']['embedding'][0], (len(slots), D))
    place, kinds, m = row['positions'], row['types'], len(memory[0])
    way = jnp.sign(place[1] - place[0])
    known_place = jnp.concatenate([place[0] - way * jnp.arange(m, 0, -1), place])
    known_kind = jnp.concatenate([jnp.zeros(m, int), kinds])
    always = jnp.ones((T, m), bool)
    own_too = jnp.concatenate([always, content], 1)
    before = jnp.concatenate([always[:len(slots)], query[slots]], 1) | (row['weights'] == 0)[:, None]
    entered = []
    for layer in range(XLNET.layers):
        block = jax.tree.map(lambda p, layer=layer: p[layer], backbone['encoder']['blocks'])
        entered.append(h)
        states = jnp.concatenate([jax.lax.stop_gradient(memory[layer]), h])

        def behind(x, asking, allowed, block=block, states=states):
            pairs = place[asking][:, None] - known_place[None], kinds[asking][:, None] != known_kind[None]
            x = norm(x + attend(block['attention'], x, states, *pairs, allowed), block['attention_norm'])
            up = jax.nn.gelu(x @ block['mlp']['up']['kernel'] + block['mlp']['up']['bias'], approximate=True)
            return norm(x + up @ block['mlp']['down']['kernel'] + block['mlp']['down']['bias'], block['mlp_norm'])

        h, g = behind(h, jnp.arange(T), own_too), behind(g, slots, before)
    return h, g, entered


@jax.jit
def every_row_by_hand(params, batch, memory, content, query):
    return jax.vmap(row_by_hand, in_axes=(None, 0, 0, 0, 0))(params, batch, memory, content, query)


def by_hand(params, batch, memory=None, ranks=None):
    """The same for every row of a batch. memory: [L] float[B, m, D]; ranks: int[B, T], None = those of the batch."""
    memory = [jnp.zeros((4, 0, D))] * XLNET.layers if memory is None else memory
    content, query = (batch['sees'], batch['seen']) if ranks is None else (ranks, ranks)
    known = (batch['seen'] if ranks is None else ranks)[:, None]
    return every_row_by_hand(params, batch, memory, known <= content[:, :, None], known < query[:, :, None])


def same(batch, found, expected):
    np.testing.assert_allclose(found[0], expected[0], atol=1e-5)
    used = np.asarray(batch['weights']) > 0
    np.testing.assert_allclose(np.asarray(found[1])[used], np.asarray(expected[1])[used], atol=1e-5)


def taken(batch, i):
    return {name: np.asarray(value[i]) for name, value in batch.items()}


def test_streams_are_those_written_out():
    params, batch = parameters(), batches(1)[0]
    found = streams(params, batch)
    assert found[2] is None and (batch['positions'][2:, 1] == -1).all()                   # rows 2 and 3 read backwards
    same(batch, found, by_hand(params, batch))


def test_streams_with_memory_are_those_written_out():
    """Three batches: nothing to remember, 8 tokens, then the last 12 of 16."""
    params = parameters()
    states, before = jnp.zeros((4, 2, M, D)), [jnp.zeros((4, 0, D))] * 2
    for number, batch in enumerate(batches(3)):
        assert np.abs(batch['positions'][:, 0]).tolist() == [min(number * R, M)] * 4
        found, expected = streams(params, batch, states), by_hand(params, batch, before)
        same(batch, found, expected)
        states = found[2]
        before = [jnp.concatenate([old, entered[:, :R]], 1)[:, -M:] for old, entered in zip(before, expected[2])]
        for layer in range(2):
            m = before[layer].shape[1]
            np.testing.assert_allclose(states[:, layer, M - m:], before[layer], atol=1e-5)
    assert m == M


def test_gradients_with_memory_are_those_of_concatenated_states_with_stop_gradient():
    params, (first, second) = parameters(), batches(2)
    probe = jax.random.normal(jax.random.key(0), (4, T, D))

    def total(content, queries):
        return jnp.sum(content * probe) + jnp.sum(jnp.where(second['weights'][..., None] > 0, queries, 0) ** 2)

    def model(params):
        states = streams(params, first, jnp.zeros((4, 2, M, D)))[2]
        return total(*streams(params, second, states)[:2])

    def written_out(params):
        entered = by_hand(params, first)[2]
        return total(*by_hand(params, second, [x[:, :R] for x in entered])[:2])

    found, expected = (jax.jit(jax.grad(total))(params) for total in (model, written_out))
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-4, rtol=1e-4), found, expected)


def test_memory_of_a_text_is_attention_over_the_whole_text():
    """What reads [a | b] at once, with a below b, gives b the states that b alone has with a in memory."""
    params, batch = parameters(), batches(1)[0]
    rank = jnp.broadcast_to(jnp.arange(T) // R, (4, T))               # the first R see one another, the rest see all
    whole = {**batch, 'types': batch['types'] * 0, 'sees': rank, 'seen': rank}
    parts = [{name: value[:, part] for name, value in whole.items() if name not in ('slots', 'targets', 'weights')}
             for part in (slice(0, R), slice(R, T))]
    nothing = {'slots': jnp.zeros((4, 1), int), 'weights': jnp.zeros((4, 1))}
    expected = streams(params, whole)[0]
    first, _, states = streams(params, {**parts[0], **nothing}, jnp.zeros((4, 2, R, D)), reuse=None)
    second = streams(params, {**parts[1], **nothing}, states, reuse=None)[0]
    np.testing.assert_allclose(jnp.concatenate([first, second], axis=1), expected, atol=1e-5)


def test_identity_order_is_a_causal_model():
    """All tokens ranked as they stand: the content stream is that of a causal model, without and with memory."""
    params, fed = parameters(), batches(2)
    order = jnp.broadcast_to(jnp.arange(T), (4, T))
    identity = [{**batch, 'sees': order, 'seen': order} for batch in fed]
    expected = by_hand(params, fed[0], ranks=order)                   # the ranks of `fed` are not looked at
    content, _, _ = streams(params, identity[0])                      # the query of place 0 has nothing to see
    np.testing.assert_allclose(content, expected[0], atol=1e-5)
    first, _, states = streams(params, identity[0], jnp.zeros((4, 2, M, D)))
    np.testing.assert_allclose(first, content, atol=1e-5)             # an empty memory is none
    remembered = [x[:, :R] for x in expected[2]]
    same(fed[1], streams(params, identity[1], states), by_hand(params, fed[1], remembered, order))


@jax.jit
def hidden(params, batch):
    return transformer.Transformer(XLNET).apply({'params': params['backbone']}, batch, method='hidden')


def test_fine_tuning_reads_the_content_stream_alone():
    params, batch = parameters(), batches(1)[0]
    plain = {name: batch[name] for name in ('tokens', 'positions', 'segments', 'types', 'sees', 'seen')}
    np.testing.assert_allclose(hidden(params, plain), streams(params, batch)[0], atol=1e-5)
    without = {name: value for name, value in plain.items() if name != 'types'}           # all of one type
    np.testing.assert_allclose(hidden(params, without), hidden(params, {**plain, 'types': plain['types'] * 0}), atol=1e-6)


def test_no_target_leaks():
    """Gradients of every output with respect to the embedding of every place: exactly zero where the order forbids it."""
    params, batch = parameters(), {name: value[:1] for name, value in batches(1)[0].items()}
    batch['tokens'] = jnp.arange(10, 10 + T)[None]                    # every place has its own row of the table
    P = batch['slots'].shape[1]

    def outputs(table):
        backbone = {**params['backbone'], 'embed': {'embedding': table}}
        content, queries, _ = streams({**params, 'backbone': backbone}, batch)
        return jnp.concatenate([content, queries], axis=1)[0]

    def largest(table):
        """[T + P, T]"""
        _, pull = jax.vjp(outputs, table)
        probe = jax.random.normal(jax.random.key(1), (D,))
        return jax.vmap(lambda one: jnp.abs(pull(one[:, None] * probe)[0][10:10 + T]).max(-1))(jnp.eye(T + P))

    found = np.asarray(jax.jit(largest)(params['backbone']['embed']['embedding'])) > 0
    row = taken(batch, 0)
    used = row['weights'] > 0
    content = row['seen'][None] <= row['sees'][:, None]
    queries = row['seen'][None] < row['seen'][row['slots']][:, None]
    np.testing.assert_array_equal(found[:T], content)
    np.testing.assert_array_equal(found[T:][used], queries[used])
    assert not found[T:][~used].any()                                 # a slot that is not used reads nothing
    places = np.arange(P)[used]
    assert not found[T + places, row['slots'][used]].any()            # the target itself
    chosen = np.flatnonzero((row['seen'] != 0) & (row['seen'] != R + 1))
    context = np.setdiff1d(np.arange(T), chosen)
    assert len(context) > 5 and len(chosen) > 5
    assert not found[np.ix_(context[context < R], chosen)].any() and not found[np.ix_(context, chosen[chosen >= R])].any()


def test_unused_slots_count_for_nothing():
    params, batch, module = parameters(), batches(1)[0], loss(memory=0)
    weights = batch['weights'].at[:, 3:].set(0)

    @jax.jit
    def total(params, batch):
        return module.apply({'params': params}, batch).terms['tokens'][0].sum()

    one = total(params, {**batch, 'weights': weights})
    changed = {'slots': batch['slots'].at[:, 3:].set(1), 'targets': batch['targets'].at[:, 3:].set(9)}
    np.testing.assert_array_equal(one, total(params, {**batch, **changed, 'weights': weights}))
    cut = {name: batch[name][:, :3] for name in ('slots', 'targets', 'weights')}
    np.testing.assert_allclose(one, total(params, {**batch, **cut}), rtol=1e-5)


def test_samples_are_said_by_queries():
    """The content stream sees the token in its place; a sample must not show that."""
    params, batch, module = parameters(), batches(1)[0], loss()
    say = jax.jit(functools.partial(module.apply, method='say'))
    said = say({'params': params}, batch)
    changed = batch['tokens'].at[jnp.arange(4), batch['slots'][:, 0]].set(77)
    other = say({'params': params}, {**batch, 'tokens': changed})
    table, bias = params['backbone']['embed']['embedding'], params['backbone']['head']['bias']
    logits = (streams(params, batch)[1] @ table.T + bias)[..., :TOKENIZER.vocab_size]
    np.testing.assert_array_equal(said, jnp.argmax(logits, axis=-1))
    np.testing.assert_array_equal(said[:, 0], other[:, 0])


def test_another_order_changes_nothing_for_what_is_not_chosen():
    params, batch = parameters(), batches(1)[0]
    rank = np.asarray(batch['seen'])
    other = np.where((rank > 0) & (rank <= R), R + 1 - rank, rank)    # the first half's order, reversed
    one, two = streams(params, batch)[0], streams(params, {**batch, 'sees': other, 'seen': other})[0]
    np.testing.assert_array_equal(one[rank == 0], two[rank == 0])
    assert (rank[:, :R] > 0).any() and np.abs(one - two).max() > 1e-3


def create(module, optimizer, batch):
    return states.create(module, optimizer, batch, module.initial_carry(4), 0, None)


def test_memory_lies_by_row_and_its_parameters_have_places():
    module, optimizer, batch = loss(), optax.sgd(0.1), batches(1)[0]
    found = sharding.state(sharding.mesh(schema.Mesh(fsdp=2, tensor=2)),
                           jax.eval_shape(functools.partial(create, module, optimizer), batch))
    assert found.carry.spec == sharding.ROWS
    relative = found.params['backbone']['encoder']['blocks']['attention']['relative']
    assert {name: tuple(relative[name].spec) for name in ('content_bias', 'position_bias', 'segment_bias', 'segments')} == {
        **dict.fromkeys(('content_bias', 'position_bias', 'segment_bias'), (None, 'tensor', None)),
        'segments': (None, None, 'tensor', None)}
    assert tuple(relative['key']['kernel'].spec) == (None, 'fsdp', 'tensor')
    assert tuple(found.params['query']['embedding'].spec) == (None, 'fsdp')


@pytest.mark.slow
def test_a_mesh_and_microbatches_change_nothing():
    module, optimizer, fed = loss(dropout=0.1), optax.sgd(0.1), batches(2)
    make = functools.partial(create, module, optimizer)
    plain, mesh = jax.jit(make)(fed[0]), sharding.mesh(schema.Mesh(fsdp=2, tensor=2))
    update = jax.jit(steps.build(module, optimizer))
    for batch in fed:
        plain, measured = update(plain, batch)
    with jax.set_mesh(mesh):
        placed = jax.jit(make, out_shardings=sharding.state(mesh, jax.eval_shape(make, fed[0])))(fed[0])
        assert len({str(shard.index) for shard in placed.carry.addressable_shards}) == 4
        update = jax.jit(steps.build(module, optimizer, accumulation=2))
        for batch in fed:
            placed, again = update(placed, sharding.put(mesh, jax.tree.map(np.asarray, batch), 4))
    assert float(measured['loss']) == pytest.approx(float(again['loss']), rel=1e-5)
    assert float(jnp.abs(plain.carry).max()) > 1
    for one, other in ((plain.params, placed.params), (plain.carry, placed.carry)):
        jax.tree.map(functools.partial(np.testing.assert_allclose, atol=2e-5), jax.device_get(one), jax.device_get(other))


def test_evaluation_has_a_memory_of_its_own():
    module, mesh = loss(), sharding.mesh(schema.Mesh(data=1), jax.devices()[:1])
    evaluator = evaluation.Evaluator(module, OBJECTIVE, source(), mesh, 4)
    one, again = (evaluator({'params': parameters()}) for _ in range(2))
    assert one == again and np.isfinite(one['eval/loss'])
    assert evaluator.step._cache_size() == 1
    total = weight = 0.0
    carry, apply = module.initial_carry(4), jax.jit(module.apply)
    for batch in pipeline.chosen(OBJECTIVE, source(), seed=evaluation.SEED, table=evaluator.draw.rows, threads=0):
        batch = {name: jnp.asarray(value) for name, value in batch.items() if name != 'index'}
        out = apply({'params': parameters()}, batch, carry)
        carry, total, weight = out.carry, total + float(out.terms['tokens'][0].sum()), weight + float(out.terms['tokens'][1].sum())
    assert one['eval/loss'] == pytest.approx(total / weight, rel=1e-5)
    forgetful = evaluation.Evaluator(loss(memory=0), OBJECTIVE, source(), mesh, 4)({'params': parameters()})
    assert abs(forgetful['eval/loss'] - one['eval/loss']) > 1e-4


def test_a_new_epoch_remembers_nothing_of_the_last():
    """The plan of every epoch starts at position 0, where memory is not seen, whatever it holds."""
    params = parameters()
    whole = len(pipeline.plan(OBJECTIVE, source(), 1, 0)) // 4
    fed = batches(whole + 1)
    assert (fed[whole]['positions'][:, 0] == 0).all() and (fed[whole - 1]['positions'][:, 0] != 0).all()
    junk = jax.random.normal(jax.random.key(0), (4, 2, M, D))
    np.testing.assert_array_equal(streams(params, fed[whole], junk)[0], streams(params, fed[whole], junk * 0)[0])
