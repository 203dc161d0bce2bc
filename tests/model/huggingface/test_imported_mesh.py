"""Published models on eight devices: parameters go to their shards as they are read, logits are those of one device."""
import math

import jax
import numpy as np
import pytest

from model import huggingface, paths
from tests.helpers import huggingface_folder as folders
from train.parallel import sharding
from train.settings import schema

NAMES = ('gpt2', 'bert', 't5', 'llama', 'llama_grouped', 'qwen2', 'bloom', 'bart', 'albert', 'roberta', 'electra', 'xlnet')
QUICK = ('gpt2', 'bert', 't5', 'llama_grouped', 'bloom', 'bart', 'albert', 'xlnet')


@pytest.fixture(scope='module')
def mesh():
    return sharding.mesh(schema.Mesh(data=2, fsdp=2, tensor=2), jax.devices())


def batch(config, arrays, rows=4):
    """The case's inputs, its rows repeated: the mesh divides them by four."""
    names = ('input_ids', 'attention_mask', 'token_type_ids', 'decoder_input_ids', 'decoder_attention_mask')
    found = huggingface.batch(config, **{name: arrays[name] for name in names if name in arrays})
    return {name: value[np.arange(rows) % len(value)] for name, value in found.items()}


@pytest.mark.parametrize('name', [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NAMES])
def test_a_model_on_a_mesh_says_what_it_says_on_one_device(mesh, tmp_path, name):
    case, arrays = folders.read(name)
    folder = folders.write(case, tmp_path)
    module, alone = huggingface.load(folder)
    _, spread = huggingface.load(folder, place=sharding.place(mesh))
    shards = [leaf.sharding.shard_shape(leaf.shape) for leaf in jax.tree.leaves(spread)]
    whole = sum(leaf.size for leaf in jax.tree.leaves(alone))
    assert sum(map(math.prod, shards)) < 0.45 * whole          # matrices over fsdp x tensor, the vectors whole
    given = batch(module.config, arrays)
    expected = jax.jit(module.apply)(alone, given)
    with jax.set_mesh(mesh):
        found = jax.jit(module.apply)(spread, sharding.put(mesh, given, 4))
    assert len(found.sharding.device_set) == 8
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_parameters_lie_where_training_puts_them(mesh, tmp_path):
    folder = folders.write(folders.read('bert')[0], tmp_path)
    _, spread = huggingface.load(folder, place=sharding.place(mesh))
    found = paths.flatten(spread['params'])
    wanted = paths.flatten(sharding.params(mesh, spread['params']))
    assert {path: leaf.sharding for path, leaf in found.items()} == wanted
