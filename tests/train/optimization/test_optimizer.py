"""Optimizers against hand-written steps in numpy, against optax's own, and stacked layers against unrolled ones."""
import jax
import jax.numpy as jnp
import numpy as np
import optax
from optax import contrib
import pytest

from model import paths
from train.optimization import optimizer, schedules
from train.settings import errors, schema

STEPS = 100
LAYERS = 3
VECTOR = r'(bias|scale)$'
SHAPES = {'embed/embedding': (384, 128), 'head/kernel': (128, 384), 'blocks/mlp/up/kernel': (LAYERS, 128, 160),
          'blocks/mlp/up/bias': (LAYERS, 160), 'blocks/attention/out/kernel': (LAYERS, 64, 48),
          'blocks/norm/scale': (LAYERS, 128)}


def settings(**changed):
    base = {'learning_rate': 0.01, 'schedule': 'constant', 'clip': None, 'no_decay': (VECTOR,)}
    return schema.Optimizer(**base | changed)


def random(shapes, seed, scale=1.0):
    rng = np.random.default_rng(seed)
    return paths.unflatten({path: jnp.asarray(scale * rng.normal(size=shape), jnp.float32)
                            for path, shape in shapes.items()})


def unroll(tree):
    """Stacked layers as separate subtrees blocks_0, blocks_1, ..."""
    flat = {}
    for path, leaf in paths.flatten(tree).items():
        if path.startswith('blocks/'):
            flat.update({path.replace('blocks', f'blocks_{i}', 1): leaf[i] for i in range(leaf.shape[0])})
        else:
            flat[path] = leaf
    return paths.unflatten(flat)


def run(transform, params, grads):
    """Parameters after one step for each of `grads`, and the last state."""
    state = jax.jit(transform.init)(params)
    update = jax.jit(transform.update)
    for grad in grads:
        updates, state = update(grad, state, params)
        params = optax.apply_updates(params, updates)
    return params, state


def train(options, params, grads):
    return run(optimizer.build(options, STEPS, params), params, grads)[0]


def same(got, want, rtol=1e-5, atol=1e-6):
    got, want = paths.flatten(got), paths.flatten(want)
    assert list(got) == list(want)
    for path in got:
        np.testing.assert_allclose(got[path], want[path], rtol=rtol, atol=atol, err_msg=path)


def graded(tree):
    """Layer i times 4^-i: a norm over the stack is then far from a norm over a layer."""
    factors = 0.25 ** jnp.arange(LAYERS)
    return tree | {'blocks': jax.tree.map(lambda x: jnp.einsum('l,l...->l...', factors, x), tree['blocks'])}


PARAMS = graded(random(SHAPES, 0, 0.5))
GRADS = [graded(random(SHAPES, seed)) for seed in (1, 2, 3)]


@pytest.mark.parametrize('name', schema.OPTIMIZERS)
def test_stacked_equals_unrolled(name):
    options = settings(name=name, weight_decay=0.0 if name == 'adam' else 0.1, l2=0.01, clip=1.0, momentum=0.9,
                       warmup=2, multipliers=((r'embed', 0.5),), adam_learning_rate=0.003)
    stacked = train(options, PARAMS, GRADS)
    unrolled = train(options, unroll(PARAMS), [unroll(grad) for grad in GRADS])
    same(unroll(stacked), unrolled, rtol=2e-4, atol=1e-6)
    assert all(np.any(a != b) for a, b in zip(jax.tree.leaves(stacked), jax.tree.leaves(PARAMS)))


@pytest.mark.parametrize('name, original', [('adafactor', optax.adafactor(0.01)), ('lamb', optax.lamb(0.01))])
def test_norms_over_a_stack_would_be_another_optimizer(name, original):
    """The test above can fail: optax alone, on stacked leaves, gives something else."""
    flat = paths.flatten(train(settings(name=name, epsilon=1e-6, no_decay=()), PARAMS, GRADS))
    naive = paths.flatten(run(original, PARAMS, GRADS)[0])
    kernel = 'blocks/attention/out/kernel'
    assert np.abs(flat[kernel] - naive[kernel]).max() > 1e-3
    np.testing.assert_allclose(flat['embed/embedding'], naive['embed/embedding'], rtol=1e-5, atol=1e-6)


def numpy_steps(step, params, grads):
    """Runs step(w, g, memory, t) on every leaf alone, in float64; t counts from 1."""
    flat = {path: np.asarray(w, np.float64) for path, w in paths.flatten(params).items()}
    memory = {path: {'m': np.zeros_like(w), 'v': np.zeros_like(w)} for path, w in flat.items()}
    for t, grad in enumerate(grads, 1):
        for path, g in paths.flatten(grad).items():
            flat[path] = step(path, flat[path], np.asarray(g, np.float64), memory[path], t)
    return paths.unflatten(flat)


def moments(memory, g, b1, b2):
    memory['m'] = b1 * memory['m'] + (1 - b1) * g
    memory['v'] = b2 * memory['v'] + (1 - b2) * g * g
    return memory['m'], memory['v']


def rate(t):
    """Learning rate of update t (from 1) with the 2 warm-up steps that these tests use."""
    return 0.01 * min(1, (t - 1) / 2)


def decay(path):
    return 0.0 if path.endswith(('bias', 'scale')) else 0.1


def test_adamw_is_the_papers():
    def step(path, w, g, memory, t):
        m, v = moments(memory, g, 0.9, 0.98)
        direction = m / (1 - 0.9 ** t) / (np.sqrt(v / (1 - 0.98 ** t)) + 1e-6)
        return w - rate(t) * (direction + decay(path) * w)

    options = settings(name='adamw', b2=0.98, epsilon=1e-6, weight_decay=0.1, warmup=2)
    same(train(options, PARAMS, GRADS), numpy_steps(step, PARAMS, GRADS))
    same(train(options, PARAMS, GRADS), run(optax.adamw(
        schedules.build(options, STEPS), 0.9, 0.98, 1e-6, weight_decay=0.1,
        mask=lambda tree: paths.apply(lambda path, _: not path.endswith(('bias', 'scale')), tree)), PARAMS, GRADS)[0])


def test_adam_is_optaxs():
    options = settings(name='adam')
    same(train(options, PARAMS, GRADS), run(optax.adam(0.01), PARAMS, GRADS)[0])


def test_adam_without_bias_correction_is_berts():
    """AdamWeightDecayOptimizer of google-research/bert: no correction, epsilon 1e-6 outside the root, clip at 1."""
    def step(path, w, g, memory, t):
        m, v = moments(memory, g, 0.9, 0.999)
        return w - rate(t) * (m / (np.sqrt(v) + 1e-6) + decay(path) * w)

    norms = [np.sqrt(sum(np.sum(np.square(leaf, dtype=np.float64)) for leaf in jax.tree.leaves(grad)))
             for grad in GRADS]
    assert min(norms) > 1
    clipped = [jax.tree.map(lambda g, norm=norm: g / norm, grad) for grad, norm in zip(GRADS, norms)]
    options = settings(name='adamw', epsilon=1e-6, weight_decay=0.1, warmup=2, clip=1.0, bias_correction=False)
    same(train(options, PARAMS, GRADS), numpy_steps(step, PARAMS, clipped))


@pytest.mark.parametrize('correct', [True, False])
def test_lamb_is_the_papers(correct):
    """Algorithm 2 of You et al., every layer alone; ALBERT's code has no bias correction; neither rescales vectors."""
    def step(path, w, g, memory, t):
        m, v = moments(memory, g, 0.9, 0.999)
        if correct:
            m, v = m / (1 - 0.9 ** t), v / (1 - 0.999 ** t)
        update = m / (np.sqrt(v) + 1e-6) + decay(path) * w
        ratio = np.linalg.norm(w) / np.linalg.norm(update) if decay(path) else 1.0
        return w - rate(t) * ratio * update

    options = settings(name='lamb', epsilon=1e-6, weight_decay=0.1, warmup=2, bias_correction=correct)
    want = numpy_steps(step, unroll(PARAMS), [unroll(grad) for grad in GRADS])
    same(unroll(train(options, PARAMS, GRADS)), want)


def test_lamb_is_optaxs_where_everything_decays():
    options = settings(name='lamb', epsilon=1e-6, weight_decay=0.1, no_decay=())
    params, grads = unroll(PARAMS), [unroll(grad) for grad in GRADS]
    same(train(options, params, grads), run(optax.lamb(0.01, weight_decay=0.1), params, grads)[0])


def test_lion_is_the_papers():
    def step(path, w, g, memory, t):
        direction = np.sign(0.9 * memory['m'] + 0.1 * g)
        memory['m'] = 0.99 * memory['m'] + 0.01 * g
        return w - rate(t) * (direction + decay(path) * w)

    options = settings(name='lion', b2=0.99, weight_decay=0.1, warmup=2)
    same(train(options, PARAMS, GRADS), numpy_steps(step, PARAMS, GRADS))


@pytest.mark.parametrize('scaled', [True, False])
def test_adafactor_is_optaxs_on_unrolled_layers(scaled):
    params, grads = unroll(PARAMS), [unroll(grad) for grad in GRADS]
    original = optax.adafactor(0.01, multiply_by_parameter_scale=scaled)
    got = unroll(train(settings(name='adafactor', parameter_scale=scaled), PARAMS, GRADS))
    same(got, run(original, params, grads)[0], rtol=1e-4)


def test_adafactor_factors_by_the_shape_of_a_layer():
    shapes = {'blocks/mlp/up/kernel': (200, 4, 300), 'blocks/attention/out/kernel': (3, 128, 256),
              'blocks/norm/scale': (200, 300), 'embed/embedding': (384, 128)}
    params = random(shapes, 0)
    state = paths.flatten(optimizer.build(settings(name='adafactor'), STEPS, params).init(params))
    state = {path.split('/', 2)[2]: leaf.shape for path, leaf in state.items() if path.startswith('optimizer/0')}
    assert state == {
        'count': (),
        'v_row/blocks/mlp/up/kernel': (200, 1), 'v_col/blocks/mlp/up/kernel': (200, 1),
        'v/blocks/mlp/up/kernel': (200, 4, 300), 'v/blocks/attention/out/kernel': (3, 1),
        'v_row/blocks/norm/scale': (200, 1), 'v_col/blocks/norm/scale': (200, 1), 'v/blocks/norm/scale': (200, 300),
        'v_row/blocks/attention/out/kernel': (3, 128), 'v_col/blocks/attention/out/kernel': (3, 256),
        'v_row/embed/embedding': (128,), 'v_col/embed/embedding': (384,), 'v/embed/embedding': (1,)}


def test_muon_is_optaxs_on_the_matrices_of_the_blocks_and_adam_elsewhere():
    params, grads = unroll(PARAMS), [unroll(grad) for grad in GRADS]
    options = settings(name='muon', adam_learning_rate=0.003, multipliers=((r'up/bias', 2.0),))
    got = paths.flatten(unroll(train(options, PARAMS, GRADS)))
    matrices = {path: path.startswith('blocks') and path.endswith('kernel') for path in got}
    assert sum(matrices.values()) == 2 * LAYERS
    muon = paths.flatten(run(contrib.muon(0.01), {p: w for p, w in paths.flatten(params).items() if matrices[p]},
                             [{p: g for p, g in paths.flatten(grad).items() if matrices[p]} for grad in grads])[0])
    adam = paths.flatten(run(optax.adam(0.003), params, grads)[0])
    twice = paths.flatten(run(optax.adam(0.006), params, grads)[0])
    for path, value in got.items():
        want = muon[path] if matrices[path] else twice[path] if path.endswith('up/bias') else adam[path]
        np.testing.assert_allclose(value, want, rtol=1e-4, atol=1e-5, err_msg=path)


@pytest.mark.parametrize('name, block', [('adafactor', 'block'), ('lamb', 'block'), ('muon', 'block'), ('muon', 'query_block')])
def test_single_layers_are_stacks_of_one(name, block):
    """What all layers share (`block`) and a layer beside the stack have no layer axis, and are stepped as a stack of one is."""
    shared = random({f'encoder/{block}/mlp/up/kernel': (128, 160)}, 0, 0.5)
    grads = [random({f'encoder/{block}/mlp/up/kernel': (128, 160)}, seed) for seed in (1, 2)]
    alone = lambda tree: {'encoder': {'blocks': jax.tree.map(lambda x: x[None], tree['encoder'][block])}}
    options = settings(name=name, weight_decay=0.1)
    stacked = train(options, alone(shared), [alone(grad) for grad in grads])
    same(alone(train(options, shared, grads)), stacked)


def test_muon_orthogonalises_each_layer():
    change = jax.tree.map(jnp.subtract, PARAMS, train(settings(name='muon', learning_rate=1.0), PARAMS, GRADS[:1]))
    for layer in change['blocks']['attention']['out']['kernel']:
        singular = np.linalg.svd(layer, compute_uv=False)
        assert 0.6 < singular.min() and singular.max() < 1.3


@pytest.mark.parametrize('name, changed, original', [
    ('sgd', {}, optax.sgd(0.01)), ('sgd', {'momentum': 0.9}, optax.sgd(0.01, 0.9)),
    ('adagrad', {'epsilon': 1e-7}, optax.adagrad(0.01, 0.0)),
    ('rmsprop', {'b2': 0.9}, optax.rmsprop(0.01, 0.9, eps_in_sqrt=False)),
    ('rmsprop', {'b2': 0.9, 'momentum': 0.8}, optax.rmsprop(0.01, 0.9, eps_in_sqrt=False, momentum=0.8))])
def test_elementwise_optimizers_are_optaxs(name, changed, original):
    same(train(settings(name=name, **changed), PARAMS, GRADS), run(original, PARAMS, GRADS)[0])


def test_decay_spares_vectors_of_stacked_layers():
    """The default table, gradients of zero: only matrices shrink, though stacked vectors have two axes too."""
    zeros = jax.tree.map(jnp.zeros_like, PARAMS)
    options = settings(name='adamw', weight_decay=0.1, no_decay=schema.Optimizer().no_decay)
    for path, leaf in paths.flatten(train(options, PARAMS, [zeros])).items():
        factor = 1.0 if path.endswith(('bias', 'scale')) else 1 - 0.01 * 0.1
        np.testing.assert_allclose(leaf, factor * paths.flatten(PARAMS)[path], rtol=1e-6, err_msg=path)


def test_penalties_are_in_the_gradient_and_clipped():
    zeros = jax.tree.map(jnp.zeros_like, PARAMS)
    got = train(settings(name='sgd', learning_rate=1.0, l1=0.01, l2=0.1), PARAMS, [zeros])
    same(got, paths.apply(lambda path, w: w - decay(path) * (0.1 * jnp.sign(w) + w), PARAMS))
    clipped = train(settings(name='sgd', learning_rate=1.0, l2=0.1, clip=0.5), PARAMS, [zeros])
    assert float(optax.global_norm(jax.tree.map(jnp.subtract, PARAMS, clipped))) == pytest.approx(0.5, rel=1e-3)


def test_multipliers_scale_the_whole_step_and_the_first_match_wins():
    once = settings(name='adamw', weight_decay=0.1)
    scaled = settings(name='adamw', weight_decay=0.1, multipliers=((r'^embed', 0.0), (r'mlp', 3.0), (r'kernel', 0.5)))
    base = jax.tree.map(jnp.subtract, train(once, PARAMS, GRADS[:1]), PARAMS)
    got = jax.tree.map(jnp.subtract, train(scaled, PARAMS, GRADS[:1]), PARAMS)
    for path, change in paths.flatten(got).items():
        factor = 0 if path.startswith('embed') else 3 if 'mlp' in path else 0.5 if 'kernel' in path else 1
        np.testing.assert_allclose(change, factor * paths.flatten(base)[path], atol=1e-6, err_msg=path)


def test_the_schedule_counts_updates():
    options = settings(name='sgd', schedule='linear', warmup=2, learning_rate=1.0)
    ones = jax.tree.map(jnp.ones_like, PARAMS)
    params, want = PARAMS, [float(schedules.build(options, STEPS)(step)) for step in range(4)]
    transform = optimizer.build(options, STEPS, PARAMS)
    state = transform.init(params)
    for expected in want:
        updates, state = transform.update(ones, state, params)
        np.testing.assert_allclose(updates['embed']['embedding'], -expected, rtol=1e-6)
    assert want[0] == 0 and want[2] == 1


@pytest.mark.parametrize('name', schema.OPTIMIZERS)
def test_state_mirrors_paths_from_shapes_alone(name):
    """From shapes; every array of the state but counts lies at the path of a parameter; parts of the tree work."""
    shapes = jax.eval_shape(lambda: PARAMS)
    transform = optimizer.build(settings(name=name, momentum=0.9, clip=1.0), STEPS, shapes)
    state = paths.flatten(jax.eval_shape(transform.init, shapes))
    known = paths.flatten(shapes)
    for path, leaf in state.items():
        if leaf.shape not in ((), (3,)):
            assert any(path.endswith('/' + other) for other in known), path
    part = {'blocks': PARAMS['blocks']}
    state = transform.init(part)
    assert not any('embed' in path for path in paths.flatten(state))
    updates, _ = transform.update({'blocks': GRADS[0]['blocks']}, state, part)
    assert jax.tree.structure(updates) == jax.tree.structure(part)


def test_a_multiplier_that_would_do_nothing_is_refused():
    with pytest.raises(errors.Error) as error:
        optimizer.build(settings(name='adam', multipliers=((r'embedd/', 0.1), (r'norm', 2.0))), STEPS, {'norm': {'scale': jnp.ones(3)}})
    assert str(error.value) == (
        "config: 1 problem\n"
        "  1. optimizer.multipliers   'embedd/' matches no parameter that trains. There are 'norm/scale'.\n"
        "nothing was run")


def test_the_table_is_the_schemas():
    assert set(optimizer.OPTIMIZERS) == set(schema.OPTIMIZERS)
