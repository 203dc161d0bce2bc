"""Where every array lives: the mesh, a table of partition specs by path, the batch.

Heads, feed-forward and vocabulary go over `tensor`, the other dimension of a matrix over `fsdp` (Shoeybi et al. 2019;
Rajbhandari et al. 2020), rows of the batch over `data` x `fsdp`, the length over `context`. Specs are right-aligned, so
that the axis of stacked layers needs no mention and stays whole. XLA's partitioner (axes of type Auto) does the rest.
"""
import math

import jax
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
import numpy as np

from model import paths
from train.settings import errors, schema

ROWS = P(('data', 'fsdp'))
LENGTH = P(('data', 'fsdp'), 'context')
SMALL = 2 ** 16  # entries of a layer's leaf, up to which keeping it whole costs nothing

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


def mesh(settings, devices=None):
    """jax.sharding.Mesh with axes data, fsdp, tensor, context from config.mesh; data=None takes what is left.

    `devices`: None = all of all processes. errors.Error unless the axes use every device exactly once.
    """
    count = len(jax.devices() if devices is None else devices)
    others = settings.fsdp * settings.tensor * settings.context
    data = settings.data or max(1, count // others)
    if data * others != count:
        sizes = f'data={settings.data}, fsdp={settings.fsdp}, tensor={settings.tensor}, context={settings.context}'
        wanted = f'{data * others} devices' if settings.data else f'a multiple of {others} devices'
        text = f'{wanted} wanted, {count} found. Fits: {fitting(settings, count)}.'
        raise errors.Error([errors.Problem(f'mesh.{sizes}', text)])
    return jax.make_mesh((data, settings.fsdp, settings.tensor, settings.context), schema.AXES,
                         axis_types=(AxisType.Auto,) * len(schema.AXES), devices=devices)


def fitting(settings, count):
    """Meshes for `count` devices: data alone, and the axes that were asked for, each cut to what divides."""
    rest, cut = count, []
    for axis in schema.AXES[1:]:
        size = max(d for d in range(1, min(getattr(settings, axis), rest) + 1) if rest % d == 0)
        rest //= size
        cut += [f'{axis}={size}'] if size > 1 else []
    return ' · '.join([f'data={count}'] + ([','.join([f'data={rest}'] + cut)] if cut else []))


def spec(value):
    """A PartitionSpec from a value of mesh.rules: None, an axis, or a list of None, axes and lists of axes."""
    if value is None or isinstance(value, P):
        return value or P()
    return P(*(tuple(v) if isinstance(v, list) else v for v in ([value] if isinstance(value, str) else value)))


def fit(mesh, path, shape, rule):
    """(PartitionSpec of full rank, what is wrong or None) for a parameter under the right-aligned spec `rule`.

    NamedSharding refuses a dimension that the axis does not divide. In a leaf of at most SMALL entries a layer that
    dimension stays whole; in a larger one it is an error, because the memory of the device was meant to be shared.
    """
    if len(rule) > len(shape):
        return P(), f'{path} has shape {shape}, its rule {tuple(rule)} more dimensions'
    result = [None] * (len(shape) - len(rule)) + list(rule)
    for i, (size, axes) in enumerate(zip(shape, result)):
        axes = (axes,) if isinstance(axes, str) else axes or ()
        unknown = [axis for axis in axes if axis not in mesh.shape]
        if unknown:
            return P(), f'the rule of {path} names the axis {unknown[0]!r}; the mesh has {", ".join(mesh.axis_names)}'
        parts = math.prod(mesh.shape[axis] for axis in axes)
        if size % parts:
            if math.prod(paths.layer(path, shape)) > SMALL:
                product = ' x '.join(f'mesh.{axis}' for axis in axes)
                return P(), f'{path} has shape {shape}; {product} = {parts} does not divide dimension {i}, {size}'
            result[i] = None
    return P(*result), None


def params(mesh, tree, rules=()):
    """The tree of NamedShardings of parameters (arrays or ShapeDtypeStructs); `rules`: config.mesh.rules, tried first.

    errors.Error lists every path that no rule matches, or that does not divide.
    """
    table = tuple((regex, spec(value)) for regex, value in rules) + RULES
    try:
        found = paths.map(table, tree)
    except paths.NoMatch as error:
        text = f'no sharding rule matches {paths.listed(error.paths)}; add (regex, value) to mesh.rules.'
        raise errors.Error([errors.Problem('mesh.rules', text)]) from None
    wrong = []

    def place(path, leaf, rule):
        result, problem = fit(mesh, path, tuple(leaf.shape), rule)
        wrong.extend([problem] if problem else [])
        return NamedSharding(mesh, result)

    tree = paths.apply(place, tree, found)
    if wrong:
        raise errors.Error([errors.Problem('mesh', f'{text}. Change mesh or mesh.rules.') for text in wrong])
    return tree


def place(mesh, rules=()):
    """place(path, shape) -> NamedSharding, for model.huggingface.load: each parameter goes to its devices as it is read."""
    def one(path, shape):
        return params(mesh, {path: jax.ShapeDtypeStruct(shape, np.float32)}, rules)[path]

    return one


def state(mesh, tree, rules=()):
    """The tree of NamedShardings of a train state (state.State) of arrays or ShapeDtypeStructs.

    Leaves that mirror a parameter, 'opt_state/optimizer/mu/PATH' or 'ema/PATH', lie as it does; Adafactor's factors as
    its remaining dimensions, where those are unambiguous; carry by row (its leading axis); the rest everywhere.
    """
    parameters = {**paths.flatten(tree.params), **paths.flatten(tree.frozen)}
    shardings = params(mesh, parameters, rules)
    known = {path: (tuple(leaf.shape), shardings[path].spec) for path, leaf in parameters.items()}

    def place(path, leaf):
        field, *names = path.split('/')
        if field == 'carry':
            return by_row(mesh, leaf)
        suffixes = ('/'.join(names[i:]) for i in range(len(names)))
        mirrored = next((known[suffix] for suffix in suffixes if suffix in known), None)
        return NamedSharding(mesh, mirror(tuple(leaf.shape), *mirrored) if mirrored else P())

    return paths.apply(place, tree)


def carry(mesh, tree):
    """The tree of NamedShardings of a carry, or None: by row."""
    return jax.tree.map(lambda leaf: by_row(mesh, leaf), tree)


def by_row(mesh, leaf):
    """The NamedSharding of an array whose leading axis is the batch."""
    return NamedSharding(mesh, rowwise(mesh, leaf.shape[0]))


def mirror(shape, parameter, rule):
    """The spec of a leaf that mirrors a parameter of a shape and spec, or that shape without one dimension."""
    if shape == parameter:
        return rule
    rule = tuple(rule) + (None,) * (len(parameter) - len(rule))
    without = {rule[:i] + rule[i + 1:] for i in range(len(parameter)) if parameter[:i] + parameter[i + 1:] == shape}
    return P(*without.pop()) if len(without) == 1 else P()


def rowwise(mesh, size):
    """The spec ROWS, if data x fsdp divides `size` rows."""
    parts = mesh.shape['data'] * mesh.shape['fsdp']
    if size % parts:
        text = f'mesh.data x mesh.fsdp = {parts} does not divide it.'
        raise errors.Error([errors.Problem(f'batch_size = {size}', text)])
    return ROWS


def batch(mesh, tree):
    """The dict of NamedShardings of a batch (design §5): rows over data x fsdp, the T of [B, T] over context.

    With `slots`, targets and weights are [B, P] and stay whole in P, like `slots` itself and `labels`.
    """
    whole = {'slots', 'labels'} | ({'targets', 'weights'} if 'slots' in tree else set())

    def place(path, leaf):
        rows = rowwise(mesh, leaf.shape[0])
        if len(leaf.shape) < 2 or path.split('/')[0] in whole:
            return NamedSharding(mesh, rows)
        if leaf.shape[1] % mesh.shape['context']:
            text = f'it does not divide the length of {path}, {leaf.shape[1]}; see sequence_length.'
            raise errors.Error([errors.Problem(f'mesh.context = {mesh.shape["context"]}', text)])
        return NamedSharding(mesh, LENGTH)

    return paths.apply(place, tree)


def rows(mesh, batch_size):
    """int64[n]: which rows of a global batch this process must make, ascending, from its addressable shards."""
    sharding = NamedSharding(mesh, rowwise(mesh, batch_size))
    indices = sharding.addressable_devices_indices_map((batch_size,)).values()
    return np.unique(np.concatenate([np.arange(batch_size)[index] for index in indices]))


def put(mesh, tree, batch_size):
    """Global jax.Arrays [batch_size, ...] from this process's rows, numpy [len(rows(mesh, batch_size)), ...].

    On a CPU the arrays may share the memory of the rows: do not write to those afterwards.
    """
    mine = rows(mesh, batch_size)
    wrong = {path: leaf.shape for path, leaf in paths.flatten(tree).items() if leaf.shape[0] != len(mine)}
    if wrong:
        raise ValueError(f'put: expected {len(mine)} rows of the global {batch_size}, got {wrong}')
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct((batch_size, *x.shape[1:]), x.dtype), tree)
    shardings = batch(mesh, shapes)
    if len(mine) == batch_size and jax.process_count() == 1:
        return jax.device_put(tree, shardings)

    def make(leaf, shape, sharding):
        def shard(index):
            start, stop, _ = index[0].indices(batch_size)
            first = np.searchsorted(mine, start)
            return leaf[(slice(first, first + stop - start), *index[1:])]
        return jax.make_array_from_callback(shape.shape, sharding, shard)

    return jax.tree.map(make, tree, shapes, shardings)
