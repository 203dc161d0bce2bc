"""Where every array lives: the mesh, a table of partition specs by path, the batch.

Heads, feed-forward and vocabulary are split over `tensor`, the other dimension of a matrix over `fsdp` (Shoeybi et al. 2019;
Rajbhandari et al. 2020), rows of the batch over `data` x `fsdp`, the length over `context`. Specs are right-aligned, so that the
axis of stacked layers, which is never split, needs no mention. XLA's partitioner (axes of type Auto) does the rest.
"""
import math
from typing import Any, Callable, Sequence

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec as P
import numpy as np

from model import paths
from train.settings import errors, schema

ROWS = P(('data', 'fsdp'))
LENGTH = P(('data', 'fsdp'), 'context')
SMALL = 2 ** 16                               # a dimension that does not divide is not split, in leaves of so many entries a layer
RULES = (
    (r'(^|/)embed/embedding$', P('tensor', 'fsdp')),                                       # [V, D]
    (r'(^|/)(positions|types|queries)/embedding$', P(None, 'fsdp')),                       # [T, D]; T5's [32, N]
    (r'(^|/)(attention|cross_attention)/(query|key|value)/kernel$', P('fsdp', 'tensor')),   # [D, N * H]
    (r'(^|/)(attention|cross_attention)/(query|key|value)/bias$', P('tensor')),             # [N * H]
    (r'(^|/)(attention|cross_attention)/out/kernel$', P('tensor', 'fsdp')),                 # [N * H, D]
    (r'(^|/)relative/key/kernel$', P('fsdp', 'tensor')),                                    # [D, N * H]
    (r'(^|/)relative/(\w+_bias|segments)$', P('tensor', None)),                             # [N, H], [2, N, H]
    (r'(^|/)query/embedding$', P(None, 'fsdp')),                                            # [1, D]
    (r'(^|/)mlp/(up|gate)/kernel$', P('fsdp', 'tensor')),                                   # [D, F]
    (r'(^|/)mlp/(up|gate)/bias$', P('tensor')),                                             # [F]
    (r'(^|/)mlp/down/kernel$', P('tensor', 'fsdp')),                                        # [F, D]
    (r'(^|/)(out|down)/bias$', P()),                                                        # [D]
    (r'norm[^/]*/(scale|bias)$', P()),                                                      # [D], [H]
    (r'(^|/)(project|transform|dense|labels)/kernel$', P('fsdp', None)),                    # [E, D], [D, E], [D, D], [D, 2]
    (r'(^|/)(project|transform|dense|labels)/bias$', P()),                                  # [D]
    (r'(^|/)head/kernel$', P('fsdp', 'tensor')),                                            # [D, V]
    (r'(^|/)head/bias$', P('tensor')),                                                      # [V]
)


def mesh(settings: schema.Mesh, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """The mesh with axes data, fsdp, tensor, context of config.mesh, over `devices` (None = all of all processes).

    data = None is derived: devices / the other axes. errors.Error unless the axes use every device exactly once.
    """
    devices = jax.devices() if devices is None else devices
    others = settings.fsdp * settings.tensor * settings.context
    sizes = (settings.data or max(1, len(devices) // others), settings.fsdp, settings.tensor, settings.context)
    if math.prod(sizes) != len(devices):
        text = f'{" x ".join(map(str, sizes))} = {math.prod(sizes)} devices wanted, {len(devices)} found.'
        raise errors.Error([errors.Problem(f'mesh = {", ".join(schema.AXES)}', text)])
    return jax.make_mesh(sizes, schema.AXES, axis_types=(AxisType.Auto,) * len(sizes), devices=devices)


def fit(mesh: Mesh, path: str, shape: tuple[int, ...], rule: P) -> P:
    """The PartitionSpec of full rank of a parameter under the right-aligned spec `rule`. ValueError if it cannot be.

    NamedSharding refuses a dimension that the axis does not divide. In a leaf of at most SMALL entries a layer that
    dimension is not split; in a larger one it is an error, because the memory of the devices was meant to be shared.
    """
    if len(rule) > len(shape):
        raise ValueError(f'{path} has shape {shape}, its rule {tuple(rule)} more dimensions')
    result = [None] * (len(shape) - len(rule)) + list(rule)
    for i, (size, axes) in enumerate(zip(shape, result)):
        axes = (axes,) if isinstance(axes, str) else axes or ()
        parts = math.prod(mesh.shape[axis] for axis in axes)
        if size % parts and math.prod(paths.layer(path, shape)) > SMALL:
            product = ' x '.join(f'mesh.{axis}' for axis in axes)
            raise ValueError(f'{path} has shape {shape}; {product} = {parts} does not divide dimension {i}, {size}')
        result[i] = None if size % parts else result[i]
    return P(*result)


def params(mesh: Mesh, tree: Any, rules: tuple = ()) -> Any:
    """The tree of NamedShardings of parameters (arrays or ShapeDtypeStructs); `rules`: config.mesh.rules, tried first, whose values are
    None, an axis, or a tuple of None, axes and tuples of axes. errors.Error lists every path that no rule matches, or that does not divide.
    """
    own = [(regex, P(*([value] if isinstance(value, str) else value or ()))) for regex, value in rules]
    try:
        found = paths.map((*own, *RULES), tree)
    except paths.NoMatch as error:
        text = f'no sharding rule matches {paths.listed(error.paths)}; add (regex, value) to mesh.rules.'
        raise errors.Error([errors.Problem('mesh.rules', text)]) from None
    wrong = []

    def one(path, leaf, rule):
        try:
            return NamedSharding(mesh, fit(mesh, path, tuple(leaf.shape), rule))
        except ValueError as error:
            wrong.append(errors.Problem('mesh', f'{error}. Change mesh or mesh.rules.'))

    placed = paths.apply(one, tree, found)
    if wrong:
        raise errors.Error(wrong)
    return placed


def place(mesh: Mesh, rules: tuple = ()) -> Callable:
    """place(path, shape) -> NamedSharding, for model.huggingface.load: each parameter goes to its devices as it is read."""
    return lambda path, shape: params(mesh, {path: jax.ShapeDtypeStruct(shape, np.float32)}, rules)[path]


def state(mesh: Mesh, tree: Any, rules: tuple = ()) -> Any:
    """The tree of NamedShardings of a train state (state.State) of arrays or ShapeDtypeStructs.

    Leaves that mirror a parameter, 'opt_state/optimizer/mu/PATH' or 'ema/PATH', are split as it is; Adafactor's factors as
    its remaining dimensions, where those are unambiguous; carry by row (its leading axis). All other leaves are replicated.
    """
    parameters = {**paths.flatten(tree.params), **paths.flatten(tree.frozen)}
    shardings = params(mesh, parameters, rules)
    known = {path: (tuple(leaf.shape), shardings[path].spec) for path, leaf in parameters.items()}

    def one(path, leaf):
        field, *names = path.split('/')
        if field == 'carry':
            return by_row(mesh, leaf)
        suffixes = ('/'.join(names[i:]) for i in range(len(names)))
        mirrored = next((known[suffix] for suffix in suffixes if suffix in known), None)
        return NamedSharding(mesh, mirror(tuple(leaf.shape), *mirrored) if mirrored else P())

    return paths.apply(one, tree)


def mirror(shape: tuple[int, ...], parameter: tuple[int, ...], rule: P) -> P:
    """The spec of a leaf with the shape of a parameter and its spec, or that shape without one dimension."""
    if shape == parameter:
        return rule
    rule = tuple(rule) + (None,) * (len(parameter) - len(rule))
    without = {rule[:i] + rule[i + 1:] for i in range(len(parameter)) if parameter[:i] + parameter[i + 1:] == shape}
    return P(*without.pop()) if len(without) == 1 else P()


def by_row(mesh: Mesh, leaf: Any) -> NamedSharding:
    """The sharding ROWS of an array whose leading axis is the batch. errors.Error unless data x fsdp divides it."""
    parts = mesh.shape['data'] * mesh.shape['fsdp']
    if leaf.shape[0] % parts:
        text = f'mesh.data x mesh.fsdp = {parts} does not divide it.'
        raise errors.Error([errors.Problem(f'batch_size = {leaf.shape[0]}', text)])
    return NamedSharding(mesh, ROWS)


def batch(mesh: Mesh, tree: dict[str, Any]) -> dict[str, Any]:
    """The NamedShardings of a batch: rows over data x fsdp, the T of [B, T] over context.

    With `slots`, the P of targets and weights [B, P] is not split; neither is that of `slots` itself or the last axis of `labels`.
    """
    unsplit = {'slots', 'labels'} | ({'targets', 'weights'} if 'slots' in tree else set())

    def one(path, leaf):
        found = by_row(mesh, leaf)
        return found if len(leaf.shape) < 2 or path.split('/')[0] in unsplit else NamedSharding(mesh, LENGTH)

    return paths.apply(one, tree)


def rows(mesh: Mesh, batch_size: int) -> np.ndarray:
    """int64[n]: the rows of a global batch that this process must make, ascending, from its addressable shards."""
    sharding = by_row(mesh, jax.ShapeDtypeStruct((batch_size,), np.int32))
    indices = sharding.addressable_devices_indices_map((batch_size,)).values()
    return np.unique(np.concatenate([np.arange(batch_size)[index] for index in indices]))


def put(mesh: Mesh, tree: dict[str, Any], batch_size: int) -> dict[str, Any]:
    """Global jax.Arrays [batch_size, ...] from this process's rows, numpy [len(rows(mesh, batch_size)), ...].

    On a CPU the arrays may share the memory of the rows: do not write to those afterwards.
    """
    mine = rows(mesh, batch_size)
    wrong = {path: leaf.shape for path, leaf in paths.flatten(tree).items() if leaf.shape[0] != len(mine)}
    if wrong:
        raise ValueError(f'put: expected {len(mine)} rows of the global {batch_size}, got {wrong}')
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct((batch_size, *x.shape[1:]), x.dtype), tree)
    shardings = batch(mesh, shapes)
    if jax.process_count() == 1:
        return jax.device_put(tree, shardings)
    return jax.tree.map(lambda leaf, shape, sharding: jax.make_array_from_process_local_data(sharding, leaf, shape.shape),
                        tree, shapes, shardings)
