"""Does the mesh fit the devices, the model and the batch? And which meshes would?

Called twice: before JAX is imported, when the devices are known without it (forced CPU devices), and by whoever starts
JAX, with the true count. Axes are those of `train/parallel/sharding.py`: data x fsdp split the batch, tensor splits heads,
feed-forward and vocabulary, context the sequence.
"""
import importlib.util
import itertools
import math
import re
from typing import Iterator, Mapping

from model import config as model_config
from train.settings import checks, schema

REACH = 10_000                                # the largest divisor that is looked for


def devices(environ: Mapping[str, str], processes: int | None = None) -> int | None:
    """How many devices JAX will see, without importing it; None when an accelerator may be present."""
    platforms = environ.get('JAX_PLATFORMS') or environ.get('JAX_PLATFORM_NAME') or ''
    if platforms != 'cpu' and (platforms or accelerator(environ)):
        return None
    forced = environ.get('JAX_NUM_CPU_DEVICES', '')
    found = [forced] if forced.isdigit() and int(forced) else \
        re.findall(r'--xla_force_host_platform_device_count=(\d+)', environ.get('XLA_FLAGS', ''))
    return (int(found[-1]) if found else 1) * (processes or 1)


def accelerator(environ: Mapping[str, str]) -> bool:
    """Could JAX find more than the CPU here: a plugin, libtpu or an explicit PJRT library?"""
    from importlib import metadata  # not above: `--help` is fast
    return bool(environ.get('PJRT_NAMES_AND_LIBRARY_PATHS') or importlib.util.find_spec('jax_plugins')
                or importlib.util.find_spec('libtpu') or metadata.entry_points(group='jax_plugins'))


def data_axis(mesh: schema.Mesh, count: int | None) -> int | None:
    """mesh.data, derived from the devices when it is None; None when neither is known."""
    others = mesh.fsdp * mesh.tensor * mesh.context
    return mesh.data or (count // others if count and count % others == 0 else None)


def check(config: schema.Config, count: int | None, mesh: schema.Mesh | None = None) -> Iterator[tuple[str, str]]:
    """(key, text) where a mesh (None: config.mesh) does not fit `count` devices (None: unknown), the model or the batch."""
    mesh, model = mesh or config.mesh, config.model
    sizes = [mesh.data, mesh.fsdp, mesh.tensor] + [mesh.context] * (mesh.context > 1)
    wanted = math.prod(size for size in sizes if size)
    if count and (count % wanted if mesh.data is None else wanted != count):
        axes = [axis for axis in schema.AXES if (getattr(mesh, axis) or 1) > 1] or ['data']
        key = next((axis for axis in axes if count % (getattr(mesh, axis) or 1)), axes[0])
        product = '×'.join(str(size) for size in sizes if size)
        text = f'devices wanted, {count} found' if mesh.data else f'does not divide the {count} devices found'
        hint = f'; XLA_FLAGS=--xla_force_host_platform_device_count={wanted} makes them on a CPU' * (count == 1)
        yield f'mesh.{key}', f'{product} = {wanted} {text}{hint}.{suggestion(config, count)}'
        return                                 # the suggestion has looked at the model and the batch
    sizes = {'model.heads': model.heads, 'model.kv_heads': model.kv_heads, 'model.mlp_dim': model.hidden,
             'the padded vocabulary': model.padded_vocab if model.vocab_size else 128}
    sizes = {key: size for key, size in sizes.items() if size}
    if broken := [f'{key} = {size}' for key, size in sizes.items() if size % mesh.tensor]:
        fits = [d for d in range(1, min(model.kv, REACH) + 1) if not any(size % d for size in sizes.values())]
        yield 'mesh.tensor', f'does not divide {" nor ".join(broken)}. Fits: {", ".join(map(str, fits))}.'
    sizes = {'sequence_length': config.sequence_length, **checks.lengths(config)}
    if broken := [f'{name} = {size}' for name, size in sizes.items() if size % mesh.context]:
        yield 'mesh.context', f'{broken[0]} is not divisible by {mesh.context}; change sequence_length.'
    factors = {'accumulation': config.accumulation, 'mesh.data': data_axis(mesh, count) or 1, 'mesh.fsdp': mesh.fsdp}
    size, each = config.batch_size, math.prod(factors.values())
    if size % each:
        factors = {name: value for name, value in factors.items() if value > 1}
        numbers = f'{" × ".join(map(str, factors.values()))} = ' * (len(factors) > 1)
        near = model_config.near(size, [n for n in (size - size % each, size - size % each + each) if n])
        yield 'batch_size', f'expected a multiple of {" × ".join(factors)} = {numbers}{each}. {near}'


def suggestion(config: schema.Config, count: int) -> str:
    """' Fits: data=8 · data=4,tensor=2': data alone, then the closest mesh over the axes that were asked for."""
    asked, meshes = [getattr(config.mesh, axis) or 1 for axis in schema.AXES], []
    divisors = [d for d in range(1, min(count, REACH) + 1) if count % d == 0]
    for others in itertools.product(*(divisors if size > 1 else [1] for size in asked[1:])):
        found = [count // math.prod(others), *others]
        if math.prod(found) == count and not any(check(config, count, schema.Mesh(*found))):
            far = sum(abs(math.log(a / b)) for a, b in zip(found, asked))
            text = ','.join(f'{axis}={size}' for axis, size in zip(schema.AXES, found) if size > 1)
            meshes.append((math.prod(others) > 1, far, text or 'data=1'))
    if not meshes:
        return f' No mesh over {count} devices fits the model and batch_size = {config.batch_size}.'
    return ' Fits: ' + ' · '.join(text for _, _, text in sorted(meshes)[:2])
