"""A Program is built from shapes: those of the real batches, or any others; what it creates has the shapes that it announced."""
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data import example, pipeline, tokenizer as tokenizers
from data.objectives import causal_lm, masked_lm, permuted_lm, span_corruption
from data.text import cache
from model import config as model_config, paths
from train import objectives, program
from train.parallel import sharding
from train.settings import schema

TOKENIZER = tokenizers.Bytes()
SHAPE = dict(layers=1, dim=16, heads=2, max_length=32, vocab_size=TOKENIZER.vocab_size)
ENCODER = dict(SHAPE, architecture='encoder', positions='xl')
CASES = {
    'causal_lm': (causal_lm.Objective(32), SHAPE),
    'pairs': (masked_lm.Objective(32, inputs='next_sentence'), dict(SHAPE, architecture='encoder', types=2)),
    'permuted_lm': (permuted_lm.Objective(32, batch_size=8, memory_length=8, num_predict=6), ENCODER),
    'span_corruption': (span_corruption.Objective(32), dict(SHAPE, architecture='encoder_decoder', positions='relative')),
}


def config(name, **settings):
    objective, shape = CASES[name]
    return schema.Config(steps=9, batch_size=8, sequence_length=32, objective=objective, model=model_config.Config(**shape),
                         optimizer=schema.Optimizer(learning_rate=0.01), **settings)


def source():
    rng = np.random.default_rng(0)
    return cache.Tokens.from_arrays([rng.integers(3, 259, 400).astype(np.int32) for _ in range(9)], TOKENIZER.special)


def form(tree):
    return {path: (leaf.shape, leaf.dtype) for path, leaf in paths.flatten(tree).items()}


@pytest.mark.parametrize('name', CASES)
def test_shapes_are_those_of_the_batches(name):
    given = config(name)
    batch = next(pipeline.batches(given.objective, source(), seed=0, batch_size=8, threads=0))
    found = program.shapes(given, source())
    assert form(found) == form(example.given(batch)) and all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(found))


@pytest.mark.parametrize('name, mesh', [('causal_lm', dict(fsdp=2, tensor=2)), ('permuted_lm', dict(fsdp=2))])
def test_what_is_created_and_updated_is_what_was_foretold(name, mesh):
    """Shapes, types and places on the mesh, before and after a step; the memory of the old state is taken."""
    given = config(name, mesh=schema.Mesh(**mesh), ema=0.9)
    mesh = sharding.mesh(given.mesh)
    with jax.set_mesh(mesh):
        compiled = program.build(given, objectives.build(given), mesh, program.shapes(given, source()))
        state = compiled.create()
        batch = sharding.put(mesh, example.given(next(pipeline.batches(given.objective, source(), seed=0, batch_size=8, threads=0))), 8)
        after, measured = compiled.update(state, batch)
    foretold = paths.flatten(compiled.abstract)
    for path, leaf in paths.flatten(after).items():
        assert (leaf.shape, leaf.dtype) == (foretold[path].shape, foretold[path].dtype)
        assert leaf.sharding.is_equivalent_to(foretold[path].sharding, leaf.ndim), path
    assert foretold.keys() == paths.flatten(after).keys() and int(after.step) == 1 and np.isfinite(measured['loss'])
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state.params))


def test_a_program_for_shapes_that_no_source_has():
    """A planner's: the step is traced for a batch and a length of its own, and nothing is allocated."""
    given = dataclasses.replace(config('causal_lm'), batch_size=64)
    names = dict.fromkeys(('tokens', 'targets', 'positions', 'segments', 'sees', 'seen'), jnp.int32)
    batch = {name: jax.ShapeDtypeStruct((64, 32), dtype) for name, dtype in {**names, 'weights': jnp.float32}.items()}
    mesh = sharding.mesh(given.mesh)
    with jax.set_mesh(mesh):
        compiled = program.build(given, objectives.build(given), mesh, batch)
        state, measured = jax.eval_shape(compiled.update, compiled.abstract, batch)
    assert form(state) == form(compiled.abstract) and measured['loss'].shape == ()
