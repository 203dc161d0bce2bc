"""Devices without JAX, and meshes that fit."""
import dataclasses
import itertools
import subprocess
import sys

import pytest

from model import config as model_config
from train.settings import fits, schema

FORCED = '--xla_force_host_platform_device_count='


@pytest.mark.parametrize('environ', [
    {}, {'XLA_FLAGS': FORCED + '4'}, {'XLA_FLAGS': f'{FORCED}4 --xla_cpu_enable_fast_math=false {FORCED}3'},
    {'JAX_NUM_CPU_DEVICES': '5'}])
def test_devices_are_those_of_jax(environ):
    environ = {'JAX_PLATFORMS': 'cpu', **environ}
    program = 'import jax; print(jax.device_count())'
    done = subprocess.run([sys.executable, '-c', program], env={'PATH': '', **environ}, capture_output=True, text=True)
    assert fits.devices(environ) == int(done.stdout), done.stderr


def test_devices_of_several_processes_and_of_accelerators(monkeypatch):
    cpu = {'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': FORCED + '2'}
    assert fits.devices(cpu, 2) == 4
    assert fits.devices({**cpu, 'JAX_PLATFORMS': 'cuda,cpu'}) is None
    assert fits.devices({'PJRT_NAMES_AND_LIBRARY_PATHS': 'x:y'}) is None
    monkeypatch.setattr(fits, 'accelerator', lambda environ: False)
    assert fits.devices({'XLA_FLAGS': FORCED + '2'}) == 2


def setting(mesh, batch_size=32, **model):
    return schema.Config(batch_size=batch_size, mesh=schema.Mesh(**mesh), model=model_config.Config(**model))


def fitting(config, count):
    """The slow obvious version: does the mesh use every device and divide everything?"""
    mesh, model = config.mesh, config.model
    others = mesh.fsdp * mesh.tensor * mesh.context
    data = mesh.data or count // others
    return (data * others == count and config.batch_size % (config.accumulation * data * mesh.fsdp) == 0
            and config.sequence_length % mesh.context == 0
            and all(size % mesh.tensor == 0 for size in (model.heads, model.kv, model.hidden, 128)))


SIZES = itertools.product((None, 1, 2, 3, 8), (1, 2, 3), (1, 2, 3, 4), (1, 2))
MESHES = [dict(zip(schema.AXES, sizes)) for sizes in SIZES]


@pytest.mark.parametrize('count, kv_heads', [(1, None), (6, None), (8, None), (8, 2)])
def test_the_check_agrees_with_the_slow_version_and_its_suggestions_fit(count, kv_heads):
    for mesh in MESHES:
        config = setting(mesh, batch_size=24, kv_heads=kv_heads)
        found = list(fits.check(config, count))
        assert (not found) == fitting(config, count), (mesh, found)
        for text in (text for _, text in found if 'devices' in text and ' Fits: ' in text):
            for suggested in text.partition(' Fits: ')[2].split(' · '):
                sizes = {axis: int(size) for axis, size in (part.split('=') for part in suggested.split(','))}
                other = dataclasses.replace(config, mesh=schema.Mesh(**{'data': 1, **sizes}))
                assert fitting(other, count), (mesh, text)


def test_suggestions_keep_to_the_axes_that_were_asked_for():
    (_, text), = fits.check(setting(dict(data=6, tensor=2)), 8)
    assert text == '6×1×2 = 12 devices wanted, 8 found. Fits: data=8 · data=4,tensor=2'
    (_, text), = fits.check(setting(dict(data=2, tensor=4)), 1)
    assert text.endswith(' Fits: data=1')


def test_nothing_is_said_of_unknown_devices():
    assert not list(fits.check(setting(dict(data=256), batch_size=256), None))
    assert [key for key, _ in fits.check(setting(dict(tensor=3)), None)] == ['mesh.tensor']


def test_padded_vocabulary_divides_when_it_is_known():
    assert not list(fits.check(setting(dict(tensor=3), vocab_size=384, heads=3, dim=96, mlp_dim=384), None))
    (key, text), = fits.check(setting(dict(tensor=3), vocab_size=500, heads=3, dim=96, mlp_dim=384), None)
    assert key == 'mesh.tensor' and 'the padded vocabulary = 512' in text
