"""Meshes, partition specs by path, global batches, and two real processes on loopback."""
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
import numpy as np
import optax
import pytest

from model import config as model_config, paths, transformer
from tests.helpers import subprocesses
from train import state as states
from train.optimization import optimizer
from train.parallel import processes, sharding
from train.settings import errors, schema

MESHES = {'data=8': schema.Mesh(), 'fsdp=8': schema.Mesh(fsdp=8), 'tensor=8': schema.Mesh(tensor=8),
          'data=2,fsdp=2,tensor=2': schema.Mesh(fsdp=2, tensor=2), 'data=2,context=4': schema.Mesh(context=4)}
TRANSFORMER = model_config.Config(vocab_size=1000, max_length=64, layers=2, dim=64, heads=8)
MODELS = {
    'gpt2': TRANSFORMER,
    'llama': dataclasses.replace(TRANSFORMER, norm='rmsnorm', bias=False, gated=True, positions='rotary', tied=False,
                                 qk_norm=True),
    'bert': dataclasses.replace(TRANSFORMER, architecture='encoder', types=2, head='transform', norm_position='post',
                                initializer='bert'),
    't5': dataclasses.replace(TRANSFORMER, architecture='encoder_decoder', decoder_layers=3, positions='relative',
                              initializer='t5', vocab_size=384),
    'albert': dataclasses.replace(TRANSFORMER, architecture='encoder', types=2, embed_dim=16, share_layers=True, head='transform',
                                  norm_position='post', initializer='bert'),
    'pangu': dataclasses.replace(TRANSFORMER, layers=3, query_layer=True),
}


def shapes(config):
    """Parameters of a model as an objective module holds them, below `backbone`."""
    fields = ('tokens', 'positions', 'segments', 'sees', 'seen', 'types')
    one = {name: jnp.zeros((1, 8), jnp.int32) for name in fields}
    one |= {f'encoder_{name}': value for name, value in one.items()}
    init = lambda key: transformer.Transformer(config).init(key, one)['params']
    return {'backbone': jax.eval_shape(init, jax.random.key(0))}


def filled(tree):
    """Random arrays of the shapes."""
    leaves, treedef = jax.tree.flatten(tree)
    rng = np.random.default_rng(0)
    return treedef.unflatten([rng.normal(size=leaf.shape).astype(leaf.dtype) for leaf in leaves])


def specs(tree):
    return {path: s.spec for path, s in paths.flatten(tree).items()}


def pieces(array):
    """How many different parts of an array the devices hold."""
    return len({str(shard.index) for shard in array.addressable_shards})


@pytest.mark.parametrize('name', MESHES)
def test_mesh(name):
    mesh = sharding.mesh(MESHES[name])
    assert mesh.axis_names == schema.AXES
    assert {axis: size for axis, size in mesh.shape.items() if size > 1} == {
        part.split('=')[0]: int(part.split('=')[1]) for part in name.split(',')}
    assert set(mesh.axis_types) == {jax.sharding.AxisType.Auto}


def test_mesh_over_some_devices():
    assert sharding.mesh(schema.Mesh(data=1), jax.devices()[3:4]).devices.flatten().tolist() == [jax.devices()[3]]
    assert sharding.mesh(schema.Mesh(tensor=2), jax.devices()[:6]).shape['data'] == 3


@pytest.mark.parametrize('settings, product', [
    (schema.Mesh(data=2, tensor=3), '2 x 1 x 3 x 1 = 6'), (schema.Mesh(tensor=3), '2 x 1 x 3 x 1 = 6'),
    (schema.Mesh(data=4), '4 x 1 x 1 x 1 = 4'), (schema.Mesh(fsdp=16), '1 x 16 x 1 x 1 = 16')])
def test_a_mesh_that_does_not_use_every_device_once_is_an_error(settings, product):
    with pytest.raises(errors.Error) as error:
        sharding.mesh(settings)
    assert str(error.value) == (f'config: 1 problem\n  1. mesh = data, fsdp, tensor, context   {product} devices wanted, 8 found.\n'
                                'nothing was run')


@pytest.mark.parametrize('name', MODELS)
@pytest.mark.parametrize('mesh', MESHES)
def test_every_parameter_has_a_place_and_keeps_its_values(name, mesh):
    mesh, tree = sharding.mesh(MESHES[mesh]), filled(shapes(MODELS[name]))
    placed = jax.device_put(tree, sharding.params(mesh, tree))
    for path, leaf in paths.flatten(placed).items():
        np.testing.assert_array_equal(leaf, paths.flatten(tree)[path])
        parts = mesh.shape['fsdp'] * mesh.shape['tensor']
        if path.endswith(('/kernel', 'embed/embedding')) and not path.endswith(('transform/kernel', 'project/kernel')):
            assert pieces(leaf) == parts, path      # every matrix is cut over both axes
        assert leaf.sharding.spec[:1] in ((), (None,)) or not paths.stacked(path), path


def test_specs_are_megatrons():
    mesh = sharding.mesh(MESHES['data=2,fsdp=2,tensor=2'])
    got = specs(sharding.params(mesh, shapes(MODELS['gpt2'])))
    assert {path.replace('backbone/', '').replace('decoder/', ''): spec for path, spec in got.items()} == {
        'embed/embedding': P('tensor', 'fsdp'), 'positions/embedding': P(None, 'fsdp'),
        **{f'blocks/attention/{n}/kernel': P(None, 'fsdp', 'tensor') for n in ('query', 'key', 'value')},
        **{f'blocks/attention/{n}/bias': P(None, 'tensor') for n in ('query', 'key', 'value')},
        'blocks/attention/out/kernel': P(None, 'tensor', 'fsdp'), 'blocks/attention/out/bias': P(None, None),
        'blocks/mlp/up/kernel': P(None, 'fsdp', 'tensor'), 'blocks/mlp/up/bias': P(None, 'tensor'),
        'blocks/mlp/down/kernel': P(None, 'tensor', 'fsdp'), 'blocks/mlp/down/bias': P(None, None),
        **{f'blocks/{n}_norm/{v}': P(None, None) for n in ('attention', 'mlp') for v in ('scale', 'bias')},
        'norm/scale': P(None), 'norm/bias': P(None)}


def test_rules_of_the_config_come_first():
    mesh = sharding.mesh(MESHES['data=2,fsdp=2,tensor=2'])
    rules = ((r'up/kernel$', (None, ('fsdp', 'tensor'))), (r'embed/', 'data'), (r'adapter/a$', None))
    got = specs(sharding.params(mesh, {**shapes(MODELS['gpt2']), 'adapter': {'a': jnp.zeros((3, 5))}}, rules))
    assert got['backbone/decoder/blocks/mlp/up/kernel'] == P(None, None, ('fsdp', 'tensor'))
    assert got['backbone/embed/embedding'] == P(None, 'data')
    assert got['adapter/a'] == P(None, None)


def refused(mesh, tree, rules=()):
    with pytest.raises(errors.Error) as error:
        sharding.params(sharding.mesh(MESHES[mesh]), tree, rules)
    return str(error.value)


def test_a_parameter_without_a_rule_is_an_error_that_lists_all():
    assert refused('data=8', {'adapter': {'b': jnp.zeros(3), 'a': jnp.zeros(3)}, 'norm': {'scale': jnp.zeros(3)}}) == (
        "config: 1 problem\n"
        "  1. mesh.rules   no sharding rule matches 'adapter/a', 'adapter/b'; add (regex, value) to mesh.rules.\n"
        "nothing was run")


def test_a_large_dimension_that_does_not_divide_is_an_error_and_a_small_one_stays_whole():
    assert ('mesh   embed/embedding has shape (50257, 64); mesh.tensor = 8 does not divide dimension 0, 50257. '
            'Change mesh or mesh.rules.'
            in refused('tensor=8', {'embed': {'embedding': jax.ShapeDtypeStruct((50257, 64), jnp.float32)}}))
    small = {'positions': {'embedding': jax.ShapeDtypeStruct((32, 6), jnp.float32)},
             'blocks': {'mlp': {'up': {'kernel': jax.ShapeDtypeStruct((100, 64, 257), jnp.float32)}}}}
    assert specs(sharding.params(sharding.mesh(MESHES['fsdp=8']), small)) == {
        'positions/embedding': P(None, None), 'blocks/mlp/up/kernel': P(None, 'fsdp', 'tensor')}
    whole = specs(sharding.params(sharding.mesh(MESHES['tensor=8']), small))
    assert whole['blocks/mlp/up/kernel'] == P(None, 'fsdp', None)


def test_bad_rules_are_errors():
    kernel = {'head': {'kernel': jnp.zeros((8, 8))}, 'norm': {'scale': jnp.zeros(8)}}
    assert 'norm/scale has shape (8,), its rule' in refused('data=8', kernel, ((r'norm', ('fsdp', 'tensor')),))


def train_state(config, options, carry=None):
    params = shapes(config)
    transform = optimizer.build(options, 10, params)
    create = lambda p: states.State(jnp.zeros((), jnp.int32), p, transform.init(p), carry, jax.random.key(0), p)
    return transform, create, jax.eval_shape(create, params)


@pytest.mark.parametrize('name', schema.OPTIMIZERS)
@pytest.mark.parametrize('mesh', ['fsdp=8', 'data=2,fsdp=2,tensor=2'])
def test_state_lies_with_its_parameters(name, mesh):
    options = schema.Optimizer(name=name, momentum=0.9)
    _, _, tree = train_state(MODELS['gpt2'], options, carry={'memory': jnp.zeros((8, 3, 5))})
    got = sharding.state(sharding.mesh(MESHES[mesh]), tree)
    assert jax.tree.structure(got) == jax.tree.structure(tree)
    expected, sizes = specs(got.params), {path: leaf.shape for path, leaf in paths.flatten(tree.params).items()}
    assert specs(got.ema) == expected
    assert got.step.spec == got.rng.spec == P() and got.carry['memory'].spec == P(('data', 'fsdp'))
    mirrored = 0
    for path, leaf in paths.flatten(tree.opt_state).items():
        spec = specs(got.opt_state)[path]
        parameter = next((p for p in sizes if path.endswith('/' + p)), None)
        if parameter and leaf.shape == sizes[parameter]:
            assert spec == expected[parameter], path
            mirrored += 1
        elif not parameter:
            assert spec == P(), path
    assert mirrored >= (sum(p.endswith(('bias', 'scale')) for p in sizes) if name == 'adafactor' else len(sizes))


def test_factors_of_adafactor_keep_the_remaining_dimension_where_it_is_clear():
    assert sharding.mirror((2, 64), (2, 64, 256), P(None, 'fsdp', 'tensor')) == P(None, 'fsdp')
    assert sharding.mirror((2, 256), (2, 64, 256), P(None, 'fsdp', 'tensor')) == P(None, 'tensor')
    assert sharding.mirror((2, 64), (2, 64, 64), P(None, 'fsdp', 'tensor')) == P()
    assert sharding.mirror((2, 1), (2, 64, 256), P(None, 'fsdp', 'tensor')) == P()
    assert sharding.mirror((384,), (384, 128), P('tensor', 'fsdp')) == P('tensor')


@pytest.mark.parametrize('name', ['adamw', 'adafactor', 'lamb', 'muon'])
def test_sharded_steps_equal_those_of_one_device(name):
    config = dataclasses.replace(TRANSFORMER, dim=128, mlp_dim=160, vocab_size=384)
    transform, create, tree = train_state(config, schema.Optimizer(name=name, weight_decay=0.1))
    params, grads = filled(tree.params), filled(tree.params)

    def run(params, grads):
        state = create(params)
        for _ in range(3):
            updates, new = transform.update(grads, state.opt_state, state.params)
            state = dataclasses.replace(state, params=optax.apply_updates(state.params, updates), opt_state=new)
        return state

    want = jax.jit(run)(params, grads)
    mesh = sharding.mesh(MESHES['data=2,fsdp=2,tensor=2'])
    places = sharding.state(mesh, tree)
    with jax.set_mesh(mesh):
        got = jax.jit(run, in_shardings=(places.params, places.params), out_shardings=places)(params, grads)
    for path, leaf in paths.flatten(got.params).items():
        np.testing.assert_allclose(leaf, paths.flatten(want.params)[path], rtol=1e-4, atol=1e-5, err_msg=path)
    for path, leaf in paths.flatten(got).items():
        assert leaf.sharding.is_equivalent_to(paths.flatten(places)[path], leaf.ndim), path


def example(batch_size, length=16, slots=5):
    count = np.arange(batch_size * length, dtype=np.int32).reshape(batch_size, length)
    return {'tokens': count, 'sees': -count, 'targets': count[:, :slots], 'slots': count[:, :slots],
            'weights': np.ones((batch_size, slots), np.float32), 'task': count[:, 0], 'labels': {'spans': count[:, :2]}}


@pytest.mark.parametrize('name', MESHES)
def test_put_makes_global_arrays(name):
    mesh, batch = sharding.mesh(MESHES[name]), example(16)
    assert sharding.rows(mesh, 16).tolist() == list(range(16))
    placed = sharding.put(mesh, batch, 16)
    for path, leaf in paths.flatten(placed).items():
        np.testing.assert_array_equal(leaf, paths.flatten(batch)[path])
        cut = mesh.shape['data'] * mesh.shape['fsdp'] * (mesh.shape['context'] if path in ('tokens', 'sees') else 1)
        assert pieces(leaf) == cut, path
    assert sharding.batch(mesh, {'targets': batch['tokens']})['targets'].spec == P(('data', 'fsdp'), 'context')


def test_batches_that_do_not_fit_are_errors():
    mesh = sharding.mesh(MESHES['data=2,context=4'])
    with pytest.raises(errors.Error, match='batch_size = 3   mesh.data x mesh.fsdp = 2 does not divide it'):
        sharding.rows(mesh, 3)
    with pytest.raises(ValueError, match='axis 1 is partitioned 4 times, but the dimension size is 6'):
        sharding.put(mesh, {'tokens': np.zeros((2, 6))}, 2)
    with pytest.raises(ValueError, match='put: expected 4 rows of the global 4, got'):
        sharding.put(mesh, {'tokens': np.zeros((2, 8))}, 4)


PROCESS = '''
import json, sys
import jax, numpy as np
from train.parallel import processes, sharding
from train.settings import schema
description = processes.initialize_distributed(*((sys.argv[2], 2, int(sys.argv[1])) if len(sys.argv) > 2 else ()))
report = {'description': description}
MESHES = {'rows': {}, 'split': {'fsdp': 2, 'tensor': 2}, 'tensor': {'tensor': 4}, 'context': {'context': 4}}
for name, sizes in MESHES.items():
    mesh = sharding.mesh(schema.Mesh(**sizes))
    rows = sharding.rows(mesh, 8)
    whole = np.arange(8 * 12, dtype=np.int32).reshape(8, 12)
    batch = sharding.put(mesh, {'tokens': whole[rows], 'labels': {'next': whole[rows, 0]}}, 8)
    shards = all((np.asarray(shard.data) == whole[shard.index]).all() for shard in batch['tokens'].addressable_shards)
    total = jax.jit(lambda x: (x * np.arange(1, 97).reshape(8, 12)).sum())(batch['tokens'])
    report[name] = {'rows': rows.tolist(), 'shards': bool(shards), 'total': int(total),
                    'labels': batch['labels']['next'].shape[0]}
print(json.dumps(report), flush=True)
'''


def launch(arguments, environ):
    """Runs one process for each list of arguments; their JSON. Kills them all after 120 s."""
    root = pathlib.Path(__file__).resolve().parents[3]
    kept = {k: v for k, v in os.environ.items() if not k.startswith(('JAX_', 'SLURM_', 'OMPI_', 'TPU_'))}
    kept |= {'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': '--xla_force_host_platform_device_count=2', 'PYTHONPATH': str(root)}
    running = [subprocess.Popen([sys.executable, '-c', PROCESS, *a], env=kept | e, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE) for a, e in zip(arguments, environ)]
    deadline = time.monotonic() + 120
    try:
        outputs = [process.communicate(timeout=max(1, deadline - time.monotonic())) for process in running]
    finally:
        for process in running:
            if process.poll() is None:
                process.kill()
                process.wait()
    assert all(process.returncode == 0 for process in running), '\n'.join(err for _, err in outputs)
    return [json.loads(out.splitlines()[-1]) for out, _ in outputs]


@pytest.mark.parametrize('how', ['arguments', 'environment'])
def test_two_processes_make_one_batch(how):
    address = f'127.0.0.1:{subprocesses.free_port()}'
    if how == 'arguments':
        first, second = launch([['0', address], ['1', address]], [{}, {}])
    else:
        both = {'JAX_COORDINATOR_ADDRESS': address, 'JAX_NUM_PROCESSES': '2'}
        first, second = launch([[], []], [both | {'JAX_PROCESS_ID': '0'}, both | {'JAX_PROCESS_ID': '1'}])
    assert first['description'] == 'process 0 of 2 (given addresses)'
    assert second['description'] == 'process 1 of 2 (given addresses)'
    for name in ('rows', 'split', 'tensor', 'context'):
        mine, others = first[name], second[name]
        assert mine['shards'] and others['shards'] and mine['labels'] == others['labels'] == 8
        assert mine['total'] == others['total'] == sum(i * (i + 1) for i in range(96))
        assert sorted(set(mine['rows']) | set(others['rows'])) == list(range(8))
    assert first['rows']['rows'] == [0, 1, 2, 3] and second['rows']['rows'] == [4, 5, 6, 7]
    assert first['tensor']['rows'] == second['tensor']['rows'] == list(range(8))  # both hold parts of every row
    assert first['context']['rows'] == second['context']['rows'] == list(range(8))


def test_one_process_is_not_distributed(monkeypatch):
    for name in list(os.environ):
        if name.startswith(('SLURM_', 'OMPI_', 'TPU_', 'JAX_COORDINATOR', 'JAX_NUM_PROCESSES', 'JAX_PROCESS_ID')):
            monkeypatch.delenv(name)
    assert processes.initialize_distributed() == 'one process'
    with pytest.raises(errors.Error, match='num_processes, process_id   missing; a run of many processes needs'):
        processes.initialize_distributed('127.0.0.1:1')


@pytest.mark.parametrize('environ, expected', [
    ({'SLURM_STEP_NUM_TASKS': '4', 'SLURM_PROCID': '2'}, 'SLURM'), ({'SLURM_NTASKS': '4', 'SLURM_PROCID': '0'}, None),
    ({'SLURM_STEP_NUM_TASKS': '1', 'SLURM_PROCID': '0'}, None), ({'OMPI_COMM_WORLD_SIZE': '2'}, 'Open MPI'), ({}, None),
    ({'JAX_PLATFORMS': 'cpu', 'TPU_WORKER_HOSTNAMES': 'a,b'}, None), ({'TPU_WORKER_HOSTNAMES': 'a,b'}, 'TPU pod'),
    ({'TPU_WORKER_HOSTNAMES': 'localhost'}, None),
    ({'TPU_WORKER_HOSTNAMES': 'localhost', 'MEGASCALE_NUM_SLICES': '2'}, 'TPU pod')])
def test_clusters(environ, expected, monkeypatch):
    monkeypatch.setattr(processes.importlib.util, 'find_spec', lambda name: name == 'libtpu')
    monkeypatch.setattr(processes.glob, 'glob', lambda pattern: [])
    assert processes.cluster(environ) == expected


def test_a_tpu_machine_that_names_no_workers_is_asked(monkeypatch):
    monkeypatch.setattr(processes.importlib.util, 'find_spec', lambda name: name == 'libtpu')
    monkeypatch.setattr(processes.glob, 'glob', lambda pattern: ['/dev/accel0'] if 'accel' in pattern else [])
    assert processes.cluster({}) == 'TPU pod'
    assert processes.cluster({'TPU_SKIP_MDS_QUERY': '1'}) is None
    assert processes.cluster({'TPU_WORKER_HOSTNAMES': 'localhost'}) is None
