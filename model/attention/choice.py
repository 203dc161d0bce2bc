"""Which implementation of attention computes a stack's attention: the one of `model.attention`, or the fastest that can.

An implementation is a module of this folder and a row of IMPLEMENTATIONS:

    lacks(need)       what it cannot do of a Need, as the settings that ask for it; [] = it can
    faster(need)      whether it is faster than the rows below it, where it can
    prepare(rule, terms, hint, windows)          what all layers share
    add_terms(prepared, terms)                   with a layer's own terms of the scores (Transformer-XL), unless it lacks them
    attend(query, key, value, prepared, *, window, scale, soft_cap, dropout)    in every layer
"""
import dataclasses
import types
from typing import Any, Callable

import jax

from model import config as model_config
from model.attention import blockwise, cudnn, plain, rule as rules, terms as score_terms

IMPLEMENTATIONS = {'cudnn': cudnn, 'blockwise': blockwise, 'plain': plain}   # the fastest first


class Unsupported(ValueError):
    """The implementation that `model.attention` names cannot train what the config asks for."""

    exit_code, kind = 2, 'config'


@dataclasses.dataclass(frozen=True)
class Need:
    """What the attention of a stack asks for."""
    config: model_config.Config
    platform: str                             # cpu | gpu | tpu
    dtype: Any
    queries: int                              # T
    keys: int                                 # S
    hint: rules.Hint = rules.UNKNOWN
    scores: str | None = None                 # 'bias', 'terms', or None, as in model/positions.py
    windows: tuple[int | None, ...] = (None,)  # the distinct ones of its layers
    training: bool = False                    # whether gradients are wanted and the config's dropout is drawn


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Prepared:
    """An implementation, and what it has prepared for all layers."""
    implementation: types.ModuleType = dataclasses.field(metadata={'static': True})
    value: Any

    def add_terms(self, terms: Any) -> 'Prepared':
        """With a layer's own terms of the scores."""
        return dataclasses.replace(self, value=self.implementation.add_terms(self.value, terms))

    def attend(self, query: jax.Array, key: jax.Array, value: jax.Array, **options: Any) -> jax.Array:
        """The implementation's `attend`."""
        return self.implementation.attend(query, key, value, self.value, **options)


def choose(need: Need, name: str = 'auto') -> types.ModuleType:
    """The implementation of this name, or the fastest that lacks nothing.

    Unsupported, with what it lacks, for a name that cannot train this. Outside of training, where machine, type and lengths may be others
    than those of the run, the fastest that can takes its place.
    """
    able = {each: module for each, module in IMPLEMENTATIONS.items() if not module.lacks(need)}
    if name != 'auto' and name not in able and need.training:
        lacking = ', '.join(IMPLEMENTATIONS[name].lacks(need))
        raise Unsupported(f'model.attention = {name!r} does not support {lacking}. '
                          f'Change that, or take one that does: auto, {", ".join(able)}')
    return able.get(name) or next(module for module in able.values() if module.faster(need))


def prepare(need: Need, rule: rules.Rule, bias: Callable | None = None, name: str = 'auto') -> Prepared:
    """The rule of a stack, prepared by the implementation `name`. bias: as in terms.py."""
    implementation = choose(need, name)
    return Prepared(implementation, implementation.prepare(rule, score_terms.of(bias, rule, need.hint), need.hint, need.windows))
