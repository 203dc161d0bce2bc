"""Paths of parameters, and tables of (regex, value) by path, in which the first row that matches counts.

A path joins the keys of a leaf with '/': 'blocks/mlp/up/kernel'. Leaves below a key `blocks` are stacked by the scan over layers:
their leading axis is the layer, and the values of a table are for one layer. As in big_vision (optax.py), a path that no row
matches is an error, because a forgotten parameter is a bug.
"""
import re
from typing import Any, Callable, Iterable

import jax

SHOWN = 20                                    # paths listed in an error


def name(keys: tuple) -> str:
    """The path of a leaf from JAX's tuple of keys."""
    return jax.tree_util.keystr(keys, simple=True, separator='/')


def flatten(tree: Any) -> dict[str, Any]:
    """{path: leaf} of any pytree, in JAX's order; None is no leaf."""
    return {name(keys): leaf for keys, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]}


def unflatten(flat: dict[str, Any]) -> dict:
    """Nested dicts from {path: leaf}: the inverse of `flatten` for trees of dicts."""
    tree = {}
    for path, leaf in flat.items():
        *parents, last = path.split('/')
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise ValueError(f'{path} lies below {parent}, which is a leaf')
        if last in node:
            raise ValueError(f'{path} is both a leaf and a branch, or given twice')
        node[last] = leaf
    return tree


def apply(function: Callable, tree: Any, *rest: Any) -> Any:
    """The tree of function(path, leaf, *leaves of the trees in `rest`)."""
    return jax.tree_util.tree_map_with_path(lambda keys, *leaves: function(name(keys), *leaves), tree, *rest)


class NoMatch(LookupError):
    """Parameters that no row of a table matches; `paths` lists them."""

    def __init__(self, paths):
        super().__init__(f'no row matches {listed(paths)}')
        self.paths = paths


def map(table: Iterable[tuple[str, Any]], tree: Any) -> Any:
    """The tree of values that `table`, rows (regex, value), gives to the leaves of `tree` by re.search; NoMatch if a leaf has no row."""
    rows = [(re.compile(regex), value) for regex, value in table]
    found = {path: next((row for row in rows if row[0].search(path)), None) for path in flatten(tree)}
    missing = [path for path, row in found.items() if row is None]
    if missing:
        raise NoMatch(missing)
    return apply(lambda path, leaf: found[path][1], tree)


def listed(paths: list[str]) -> str:
    """The first paths and the number of the others, for a message."""
    text = ', '.join(repr(path) for path in paths[:SHOWN])
    return text + (f' and {len(paths) - SHOWN} more' if len(paths) > SHOWN else '')


def stacked(path: str) -> bool:
    """Whether the leading axis of the leaf is the layer: a component of the path is `blocks`."""
    return 'blocks' in path.split('/')


def layer(path: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a leaf for one layer: without the leading axis where layers are stacked."""
    return tuple(shape[1:] if stacked(path) else shape)
