"""Optimizers from optax, chained: penalties, clipping, the optimizer, decoupled decay, multipliers by path, schedule.

All that differs between parameters is a function of their path (model/paths.py), so the result works on any part of
the tree that it was built for: parameters that do not train are not in the tree and get no state. Leaves stacked
by the scan over layers are updated layer by layer (`per_layer`), otherwise Adafactor, LAMB and Muon would be different
optimizers. A new optimizer is a function and a row of OPTIMIZERS: docs/adding-an-optimizer.md.
"""
import re
from typing import Any

import jax
import jax.numpy as jnp
import optax
from optax import contrib

from model import paths
from train.optimization import schedules
from train.settings import errors, schema

MUON = r'(^|/)(query_)?block[^/]*/.*kernel$'  # the matrices of the blocks; all else gets Adam (Jordan et al. 2024)


def build(settings: schema.Optimizer, steps: int, params: Any) -> optax.GradientTransformation:
    """The transformation for the config's `optimizer` group and number of steps.

    params: the tree that will train, as arrays or ShapeDtypeStructs. The state is {stage: optax namedtuples}, so that
    'optimizer/mu/blocks/mlp/up/kernel' mirrors the parameter 'blocks/mlp/up/kernel'. errors.Error for a multiplier that matches nothing.
    """
    known = list(paths.flatten(params))
    wrong = [errors.Problem('optimizer.multipliers', f'{regex!r} matches no parameter that trains. There are {paths.listed(known)}.')
             for regex, _ in settings.multipliers if not any(re.search(regex, path) for path in known)]
    if wrong:
        raise errors.Error(wrong)

    def decays(tree):
        return paths.apply(lambda path, _: not any(re.search(regex, path) for regex in settings.no_decay), tree)

    stages = []
    if settings.l1 or settings.l2:
        stages.append(('penalties', optax.masked(penalties(settings.l1, settings.l2), decays)))
    if settings.clip:
        stages.append(('clip', optax.clip_by_global_norm(settings.clip)))
    stages.append(('optimizer', OPTIMIZERS[settings.name](settings, decays)))
    if settings.weight_decay and settings.name not in DECAYED:
        stages.append(('decay', optax.add_decayed_weights(settings.weight_decay, decays)))
    if settings.multipliers or settings.name in RATES:
        stages.append(('multipliers', optax.stateless(lambda updates, params: paths.apply(
            lambda path, update: update * multiplier(settings, path), updates))))
    stages.append(('schedule', optax.scale_by_learning_rate(schedules.build(settings, steps))))
    return optax.named_chain(*stages)


def multiplier(settings: schema.Optimizer, path: str) -> float:
    """The factor on a parameter's learning rate: the first match of `multipliers`, or 1, times that of the optimizer (RATES)."""
    factor = next((factor for regex, factor in settings.multipliers if re.search(regex, path)), 1.0)
    return factor * RATES[settings.name](settings, path) if settings.name in RATES else factor


def penalties(l1: float, l2: float) -> optax.GradientTransformation:
    """Adds the gradient of l1 * |w| + l2 * w^2 / 2."""
    return optax.stateless(lambda grads, params: jax.tree.map(lambda g, w: g + l2 * w + l1 * jnp.sign(w), grads, params))


def per_layer(inner: optax.GradientTransformation) -> optax.GradientTransformation:
    """`inner` applied to each leaf alone and, where layers are stacked, to each layer alone (jax.vmap).

    The state of `inner` is a namedtuple of trees like the parameters and of scalars that do not depend on them (its step count);
    so is the result's, with a leading layer axis where the parameter has one.
    """
    probe = jax.eval_shape(inner.init, jax.ShapeDtypeStruct((2, 2), jnp.float32))
    axes = type(probe)(*(0 if leaf.ndim else None for leaf in probe))

    def join(states, treedef):
        if not states:
            return inner.init(treedef.unflatten([]))
        return type(probe)(*(values[0] if axis is None else treedef.unflatten(values) for axis, values in zip(axes, zip(*states))))

    def init(params):
        flat, treedef = jax.tree_util.tree_flatten_with_path(params)
        return join([jax.vmap(inner.init, out_axes=axes)(leaf) if paths.stacked(paths.name(keys)) else inner.init(leaf)
                     for keys, leaf in flat], treedef)

    def update(updates, state, params=None):
        flat, treedef = jax.tree_util.tree_flatten_with_path(updates)
        fields = [[field] * len(flat) if axis is None else treedef.flatten_up_to(field) for axis, field in zip(axes, state)]
        results = []
        for i, ((keys, leaf), param) in enumerate(zip(flat, treedef.flatten_up_to(params))):
            step = inner.update
            if paths.stacked(paths.name(keys)):
                step = jax.vmap(inner.update, in_axes=(0, axes, 0), out_axes=(0, axes))
            results.append(step(leaf, type(probe)(*(field[i] for field in fields)), param))
        return treedef.unflatten([u for u, _ in results]), join([s for _, s in results], treedef)

    return optax.GradientTransformation(init, update)


def adam(settings, decays=None):
    """Kingma and Ba 2015 (AdamW: Loshchilov and Hutter 2019), epsilon outside the root; uncorrected, BERT's."""
    adam = optax.scale_by_adam(settings.b1, settings.b2, settings.epsilon)
    if settings.bias_correction:
        return adam

    def update(grads, state, params=None):
        mu = optax.tree.update_moment(grads, state.mu, settings.b1, 1)
        nu = optax.tree.update_moment(grads, state.nu, settings.b2, 2)
        updates = jax.tree.map(lambda m, v: m / (jnp.sqrt(v) + settings.epsilon), mu, nu)
        return updates, optax.ScaleByAdamState(optax.safe_increment(state.count), mu, nu)

    return optax.GradientTransformation(adam.init, update)


def adafactor(settings, decays):
    """Shazeer and Stern 2018 as T5 sets it: decay 1 - t^-0.8, factored from 128 x 128, steps clipped to RMS 1."""
    stages = [optax.scale_by_factored_rms(decay_rate=0.8), optax.clip_by_block_rms(1.0)]
    if settings.parameter_scale:
        stages.append(optax.scale_by_param_block_rms())
    return optax.chain(*(per_layer(stage) for stage in stages))


def lamb(settings, decays):
    """You et al. 2020, decay inside the trust ratio; as in the authors' code, what does not decay is not rescaled."""
    return optax.chain(adam(settings), optax.add_decayed_weights(settings.weight_decay, decays),
                       optax.masked(per_layer(optax.scale_by_trust_ratio()), decays))


def lion(settings, decays):
    """Chen et al. 2023; its paper takes b2 = 0.99."""
    return optax.scale_by_lion(settings.b1, settings.b2)


def muon(settings, decays):
    """Jordan et al. 2024: matrices [in, out] of the blocks, orthogonal x sqrt(max(1, out / in)); else Adam."""
    def axes(tree):
        return jax.tree.map(lambda _: contrib.MuonDimensionNumbers(-2, -1), tree)

    def labels(tree):
        return paths.apply(lambda path, _: 'muon' if re.search(MUON, path) else 'adam', tree)

    shape = optax.stateless(lambda updates, params: jax.tree.map(lambda u: u * max(1.0, u.shape[-1] / u.shape[-2]) ** 0.5, updates))
    matrices = contrib.scale_by_muon(beta=settings.momentum or 0.95, weight_dimension_numbers=axes)
    return optax.partition({'muon': optax.chain(matrices, shape), 'adam': adam(settings)}, labels)


def muon_rate(settings, path):
    """Muon's Adam may have a learning rate of its own."""
    own = settings.adam_learning_rate is not None and not re.search(MUON, path)
    return settings.adam_learning_rate / settings.learning_rate if own else 1.0


def momentum(settings):
    return optax.trace(settings.momentum) if settings.momentum else optax.identity()


def sgd(settings, decays):
    """Heavy-ball momentum, v = momentum * v + g."""
    return momentum(settings)


def adagrad(settings, decays):
    """Duchi et al. 2011, the sum of squares from 0."""
    return optax.scale_by_rss(0.0, settings.epsilon)


def rmsprop(settings, decays):
    """Tieleman and Hinton 2012, averages with `b2`, epsilon outside the root; momentum on the scaled gradient."""
    return optax.chain(optax.scale_by_rms(settings.b2, settings.epsilon, eps_in_sqrt=False), momentum(settings))


# train/settings/reads.py takes the names of the optimizers, and the settings that each reads, from these two tables.
OPTIMIZERS = {'adamw': adam, 'adam': adam, 'adafactor': adafactor, 'lamb': lamb, 'lion': lion, 'muon': muon, 'sgd': sgd,
              'adagrad': adagrad, 'rmsprop': rmsprop}
RATES = {'muon': muon_rate}                   # factors on the learning rate, by path
DECAYED = ('lamb',)                           # those whose update contains the weight decay
