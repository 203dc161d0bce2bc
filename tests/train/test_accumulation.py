"""Microbatches on meshes: every objective trains as on one device, and gradients are reduced over `data` once a step."""
import dataclasses
import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import tiny
from data import example, pipeline, tokenizer as tokenizers
from data.objectives import alternation, causal_lm, mixture
from data.text import cache
from model import chunked_scoring, paths
from tests.helpers import collectives
from train import objectives, program
from train.parallel import sharding
from train.settings import parse, schema

BYTES = tokenizers.Bytes()
MESHES = {'data=2': dict(data=2), 'data=2,fsdp=2': dict(data=2, fsdp=2), 'data=2,tensor=2': dict(data=2, tensor=2)}
QUICK = {('causal_lm', 'data=2,tensor=2'), ('replaced_token_detection', 'data=2,fsdp=2'), ('alternation', 'data=2')}
CASES = [pytest.param(name, mesh, marks=() if (name, mesh) in QUICK else pytest.mark.slow) for name in tiny.VARIANTS[2:] for mesh in MESHES]
STEPS, ROWS = 3, 8


@functools.cache
def source():
    draw = np.random.default_rng(0)
    documents = [draw.integers(3, 259, n) for n in draw.integers(20, 200, 60)]
    return cache.Tokens.from_arrays(documents, BYTES.special, sentences=[np.arange(0, len(d), 5) for d in documents],
                                    token_bytes=BYTES.token_bytes, tokenizer=BYTES)


def config(variant, accumulation=1, mesh=None, **settings):
    """A variant of configs/tiny.py, smaller, with plain gradient descent: Adam would make whole steps of what is rounding."""
    request = parse.parse([
        f'--config=configs/tiny.py:{variant}', '--workdir=nowhere', f'--config.steps={STEPS}', '--config.sequence_length=32',
        '--config.model.layers=1', '--config.model.dim=32', '--config.model.heads=4',
        '--config.optimizer.name=sgd', '--config.optimizer.learning_rate=0.1', '--config.optimizer.warmup=0',
        *(['--config.objective.memory_length=12'] if variant == 'permuted_lm' else [])], devices=False)
    found = parse.with_vocabulary(request.config, BYTES, request.origins)
    return dataclasses.replace(found, accumulation=accumulation, mesh=schema.Mesh(**mesh or dict(data=1)), **settings)


def placed(given):
    """(the mesh of a config, its Program)."""
    mesh = sharding.mesh(given.mesh, jax.devices()[:int(np.prod([given.mesh.data, given.mesh.fsdp, given.mesh.tensor]))])
    with jax.set_mesh(mesh):
        return mesh, program.build(given, objectives.build(given), mesh, program.shapes(given, source()))


def train(given):
    """([metrics of each step], {path: what the last state holds})."""
    mesh, compiled = placed(given)
    host = pipeline.batches(given.objective, source(), seed=1, batch_size=ROWS, stop=STEPS * ROWS, threads=0)
    with jax.set_mesh(mesh), warnings.catch_warnings():
        warnings.filterwarnings('error', '.*donated buffers were not usable')
        state, lines = compiled.create(), []
        for batch in host:
            before = state
            state, measured = compiled.update(state, sharding.put(mesh, example.given(batch), ROWS))
            lines.append(jax.device_get(measured))
            assert all(leaf.is_deleted() for leaf in jax.tree.leaves(before)), 'the memory of the old state was not taken'
    leaves = paths.flatten({'params': state.params, 'carry': state.carry, 'ema': state.ema})
    return lines, {path: np.asarray(leaf) for path, leaf in leaves.items()}


@functools.cache
def alone(name):
    """The whole batches on one device."""
    return train(config(name, ema=0.9))


def close(found, wanted):
    (lines, leaves), (expected, last) = found, wanted
    assert len(lines) == len(expected) == STEPS and leaves.keys() == last.keys()
    for one, other in zip(expected, lines):
        assert one.keys() == other.keys()
        for metric, value in one.items():
            np.testing.assert_allclose(other[metric], value, rtol=1e-5, atol=1e-5, err_msg=metric)
    for path, leaf in last.items():
        np.testing.assert_allclose(leaves[path], leaf, atol=1e-5 * max(1, np.abs(leaf).max()), rtol=0, err_msg=path)


@pytest.mark.parametrize('name, mesh', CASES)
def test_microbatches_on_a_mesh_train_as_whole_batches_on_one_device(name, mesh):
    close(train(config(name, 2, MESHES[mesh], ema=0.9)), alone(name))


@pytest.mark.slow
@pytest.mark.parametrize('name', ['causal_lm', 'replaced_token_detection'])
def test_so_does_a_loss_in_chunks(name, monkeypatch):
    """The table split over `tensor`, a shard_map inside that over `data`."""
    whole = alone(name)
    monkeypatch.setattr(chunked_scoring, 'LIMIT', 0)
    close(train(config(name, 2, MESHES['data=2,tensor=2'], ema=0.9)), whole)


def test_a_turn_is_that_of_the_whole_batch():
    """A part whose rows are all padding, which have the task 0, takes the branch of the others."""
    module = objectives.build(config('alternation'))
    batch = module.together({'task': jnp.array([0, 0, 3, 3])})
    assert [task % 2 for task in batch['task'].tolist()] == [1, 1, 1, 1]


@pytest.mark.parametrize('kind, tasks, expected', [
    (mixture.Objective, [0, 1, 3, 1], [1, 1, 3, 1]),                       # tasks of rows of the member stay
    (alternation.Objective, [0, 1, 3, 3], [3, 3, 3, 3])])                  # and the turn of a member that alternates is the batch's too
def test_what_a_member_makes_of_its_own_tasks_stays(kind, tasks, expected):
    inner = kind(32, tuple(mixture.Member(name, causal_lm.Objective(32)) for name in ('x', 'y')))
    outer = alternation.Objective(32, (mixture.Member('a', causal_lm.Objective(32)), mixture.Member('b', inner)))
    module = objectives.build(dataclasses.replace(config('alternation'), objective=outer))
    assert module.together({'task': jnp.array(tasks)})['task'].tolist() == expected


def compiled_text(accumulation, mesh, batch_size=64, **settings):
    given = config('causal_lm', accumulation, mesh, batch_size=batch_size, **settings)
    mesh, compiled = placed(given)
    batch = program.shapes(given, source())
    batch = jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), batch, sharding.batch(mesh, batch))
    with jax.set_mesh(mesh):
        return compiled, compiled.update.lower(compiled.abstract, batch).compile().as_text()


@pytest.mark.parametrize('tied', [False, pytest.param(True, marks=pytest.mark.slow)])
def test_gradients_are_reduced_over_data_once_a_step(tied):
    """The bytes are those of the parameters, whatever the accumulation. With one microbatch XLA's CPU backend reduces the two gradients
    of a tied table apart."""
    given = dataclasses.replace(config('causal_lm').model, tied=tied)
    compiled, eight = compiled_text(8, dict(data=8), model=given)
    _, one = compiled_text(1, dict(data=8), model=given)
    leaves = paths.flatten(compiled.abstract.params)
    table, parameters = 4 * leaves['backbone/embed/embedding'].size, sum(4 * leaf.size for leaf in leaves.values())
    metrics = 4 * 4                           # at most: sum and weight of the term and of the accuracy, which go with the gradients
    assert parameters <= collectives.sent(eight, at_least=1000) <= parameters + metrics
    assert parameters <= collectives.sent(one, at_least=1000) - tied * table <= parameters + metrics


def test_over_fsdp_each_microbatch_is_reduced():
    """Deferring it would hold whole gradients on a device that holds a part of the parameters."""
    compiled, text = compiled_text(4, dict(data=2, fsdp=2))
    found = [c for c in collectives.read(text) if c.kind in collectives.GRADIENTS]
    parts = sum(4 * np.prod(leaf.sharding.shard_shape(leaf.shape)) for leaf in paths.flatten(compiled.abstract.params).values())
    once = sum(c.bytes for c in found if c.times == 1)
    assert parts <= once <= parts + 100       # over data
    assert {c.times for c in found} == {1, 4}


@pytest.mark.parametrize('accumulation', [pytest.param(1, marks=pytest.mark.slow), 2])
def test_embedding_look_ups_send_tables_and_no_activations(accumulation):
    given = dataclasses.replace(config('causal_lm').model, dim=96, heads=6)  # no other array is so wide
    _, text = compiled_text(accumulation, dict(data=2, fsdp=2, tensor=2), 16, dtype='bfloat16', model=given)
    moved = ('all-gather', 'all-to-all', 'collective-permute')
    gathered = [shape for c in collectives.read(text) if c.kind in moved for _, shape in c.arrays]
    assert (given.padded_vocab, 96) in gathered
    assert not [shape for shape in gathered if 32 in shape[:-1] and shape[0] != 32]
