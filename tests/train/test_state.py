"""Two trees: what trains and what does not. A part of a model trains alone, and so does an adapter around it."""
import dataclasses
import re

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from model import config as model_config, layers, paths, transformer
from train import state as states, step as steps
from train.checkpoints import arrays, checkpoint
from train.objectives import token
from train.parallel import sharding
from train.settings import schema

CONFIG = model_config.Config(vocab_size=60, layers=2, dim=32, heads=4, max_length=16)
HALF = r'(blocks/mlp|norm/|attention/query)'  # what trains of the whole


class Adapted(token.TokenLoss):
    """The loss of a model whose every dense layer is intercepted by a low-rank adapter (Hu et al. 2021)."""

    def __call__(self, batch, carry=None, rows=None):
        def lora(following, args, kwargs, context):
            own, out = context.module, following(*args, **kwargs)
            if isinstance(own, layers.Dense):
                out += args[0] @ own.get_variable('adapter', 'down') @ own.get_variable('adapter', 'up')
            return out

        with nn.intercept_methods(lora):
            return super().__call__(batch, carry, rows)


def case(name, dropout=0.0):
    """(loss module, trained tree, frozen tree)."""
    config, rng = dataclasses.replace(CONFIG, dropout=dropout), np.random.default_rng(0)
    module = (Adapted if name == 'adapter' else token.TokenLoss)(transformer.Transformer(config))
    shapes = jax.eval_shape(transformer.Transformer(config).init, jax.random.key(0), transformer.blank(config))['params']
    draw = lambda path, leaf: jnp.asarray(rng.normal(size=leaf.shape) * 0.2 + path.endswith('scale'), jnp.float32)
    whole = {'backbone': paths.apply(draw, shapes)}
    flat = paths.flatten(whole)
    if name == 'half':
        trained = {path: leaf for path, leaf in flat.items() if re.search(HALF, path)}
        return module, paths.unflatten(trained), paths.unflatten({path: leaf for path, leaf in flat.items() if path not in trained})
    if name == 'adapter':
        kernels = {path.removesuffix('/kernel'): leaf.shape for path, leaf in flat.items() if path.endswith('/kernel')}
        down = {f'adapter/{path}/down': jnp.asarray(rng.normal(size=(L, D, 2)) * 0.1, jnp.float32) for path, (L, D, _) in kernels.items()}
        up = {f'adapter/{path}/up': jnp.zeros((L, 2, F)) for path, (L, _, F) in kernels.items()}
        return module, paths.unflatten({**down, **up}), whole
    return module, whole, {}


def fed(rows=8, length=16):
    """Rows of unequal length, so that padding differs between microbatches."""
    rng, place = np.random.default_rng(1), np.arange(length)
    real = place < rng.integers(4, length + 1, rows)[:, None]
    batch = {'tokens': rng.integers(1, 60, (rows, length)), 'positions': place * real, 'segments': real, 'sees': np.where(real, place, -1),
             'seen': np.where(real, place, 2 ** 30)}
    batch = {name: jnp.asarray(value, jnp.int32) for name, value in batch.items()}
    return {**batch, 'targets': (batch['tokens'] * 7 + 1) % 60, 'weights': jnp.asarray(real, jnp.float32)}


def begin(name, optimizer, dropout=0.0, ema=None):
    module, trained, frozen = case(name, dropout)
    ema = trained if ema is not None else None
    return module, states.State(jnp.int32(0), trained, optimizer.init(trained), None, jax.random.key(0), ema, frozen)


def train(name, optimizer, count, accumulation=1, dropout=0.0, ema=None):
    """(the State before, after `count` steps over one batch, the loss of each step)."""
    module, first = begin(name, optimizer, dropout, ema)
    update, state, losses = jax.jit(steps.build(module, optimizer, accumulation, ema)), first, []
    for _ in range(count):
        state, measured = update(state, fed())
        losses.append(float(measured['loss']))
    return first, state, losses


def close(one, other, atol):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=atol), one, other)


PARTS = pytest.mark.parametrize('name', ['half', 'adapter'])


@PARTS
def test_frozen_leaves_stay_and_have_no_optimizer_state_and_the_loss_falls(name):
    first, last, losses = train(name, optax.adam(0.03), 30, ema=0.9)
    assert losses[-1] < losses[0] - 0.3
    jax.tree.map(np.testing.assert_array_equal, last.frozen, first.frozen)
    trained = paths.flatten(first.params)
    assert all(np.any(np.asarray(leaf) != trained[path]) for path, leaf in paths.flatten(last.params).items())
    assert jax.tree.structure(last.opt_state[0].mu) == jax.tree.structure(last.ema) == jax.tree.structure(last.params)
    assert int(last.step) == 30 and jax.tree.structure(last) == jax.tree.structure(first)


@PARTS
def test_accumulation_is_exact(name):
    one, four = (train(name, optax.sgd(0.1), 2, accumulation, dropout=0.1) for accumulation in (1, 4))
    assert one[2] == pytest.approx(four[2], rel=1e-6)
    close(one[1].params, four[1].params, 1e-6)


def test_gradients_of_a_part_are_those_of_the_whole():
    """By one step of plain gradient descent, with dropout: the same masks are drawn."""
    first, half, _ = train('half', optax.sgd(1.0), 1, dropout=0.1)
    _, whole, _ = train('whole', optax.sgd(1.0), 1, dropout=0.1)
    moved, whole = paths.flatten(half.params), paths.flatten(whole.params)
    for path, leaf in paths.flatten(first.params).items():
        assert np.abs(moved[path] - leaf).max() > 1e-4
        np.testing.assert_allclose(moved[path], whole[path], atol=1e-7)


def test_an_adapter_with_output_zero_is_the_model_alone():
    module, state = begin('adapter', optax.sgd(1.0))
    out = module.apply(states.evaluated(state), fed())
    alone = token.TokenLoss(module.backbone).apply({'params': state.frozen}, fed())
    close(out.terms, alone.terms, 1e-3)
    assert set(states.evaluated(state)) == {'params', 'adapter'}
    assert paths.flatten(states.part(states.evaluated(state), 'backbone')).keys() == {
        re.sub('^(params|adapter)/backbone/', r'\1/', path) for path in paths.flatten(states.evaluated(state))}


@PARTS
def test_a_checkpoint_holds_both_trees(tmp_path, name):
    first, state, _ = train(name, optax.adam(0.01), 2, ema=0.9)
    abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), state)
    with checkpoint.Checkpoints(tmp_path / 'checkpoints') as saved:
        saved.save(2, state, {})
        restored, _ = saved.restore(abstract)
        assert saved.verify(2, restored) == checkpoint.fingerprint(state) != checkpoint.fingerprint(first)
        changed = jax.tree.map(lambda x: x, state.frozen)
        changed['backbone']['embed']['embedding'] = changed['backbone']['embed']['embedding'].at[0, 0].add(1)
        assert checkpoint.fingerprint(dataclasses.replace(state, frozen=changed)) != checkpoint.fingerprint(state)
        changed['backbone']['embed']['embedding'] = changed['backbone']['embed']['embedding'] * np.nan
        assert arrays.digests(paths.flatten(dataclasses.replace(state, frozen=changed)))[1] == ['frozen/backbone/embed/embedding']
    for what, tree in (('params', state.params), ('ema', state.ema)):
        found, _ = checkpoint.load_params(tmp_path, what=what)
        jax.tree.map(np.testing.assert_array_equal, states.variables(found), states.variables(tree, state.frozen))
        assert checkpoint.stored(tmp_path, what).keys() == paths.flatten(found).keys()


def test_frozen_leaves_lie_on_the_mesh_as_the_parameters_that_they_are():
    _, state = begin('half', optax.adam(0.01))
    _, whole = begin('whole', optax.adam(0.01))
    mesh = sharding.mesh(schema.Mesh(fsdp=2, tensor=4))
    placed = sharding.state(mesh, state)
    assert paths.flatten(states.union(placed.params, placed.frozen)) == paths.flatten(sharding.state(mesh, whole).params)


def test_two_trees_are_one_tree_of_variables():
    tree = {'backbone': {'a': 1, 'b': {'c': 2}}, 'head': {'d': 3}, 'adapter': {'backbone': {'a': {'down': 4}}}}
    flat = paths.flatten(tree)
    for chosen in range(2 ** len(flat)):
        parts = [{path: leaf for i, (path, leaf) in enumerate(flat.items()) if (chosen >> i & 1) == side} for side in (0, 1)]
        assert states.union(*map(paths.unflatten, parts)) == tree
        found = states.variables(*map(paths.unflatten, parts))
        assert found == {'params': {'backbone': tree['backbone'], 'head': tree['head']}, 'adapter': tree['adapter']}
    assert states.variables({'a': 1}) == {'params': {'a': 1}}
    with pytest.raises(ValueError, match="trained and frozen at once: 'a/b'"):
        states.union({'a': {'b': 1}}, {'a': {'b': 2, 'c': 3}})
