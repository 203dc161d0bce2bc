"""Does an example keep the contract of data/example.py, and are the hints of its objective true of its integers?

A kernel skips work by the hint (`causal`: the triangle above the diagonal), so a wrong one either shows the answer, silently, or hides
text. Every finding is a sentence that names a position.
"""
from collections.abc import Iterator

import numpy as np

from data import example as examples, objectives, special_tokens
from train.inspection import attention


class Broken(Exception):
    """An objective does not keep its own word; `str(error)` lists how."""

    exit_code, kind = 7, 'contract'


def findings(fields: dict, objective: objectives.Objective, special: special_tokens.Special, max_length: int | None = None) -> list[str]:
    """[sentence] of what is wrong with one example. max_length: rows of a learned position table, or None."""
    missing = list(names(fields))
    if missing:
        return missing                         # nothing else can be looked at
    found = [*shapes(fields, objective), *ids(fields, special), *positions(fields, max_length), *weights(fields)]
    own, narrow = objective.made_by(fields)
    for one, made in [(objective, fields)] + [(own, narrow)] * (own is not objective):
        found += hint(made, one.hint, '')
        if 'encoder_tokens' in made:
            found += hint(made, one.encoder_hint, 'encoder_')
    return found if 'slots' in narrow else [*found, *leaks(narrow)]


def hint(fields: dict, promised: objectives.Hint, side: str) -> Iterator[str]:
    """The integers of an example that are not as the hint promises. side: 'encoder_' or ''."""
    sees, seen, segments = (np.asarray(fields[side + name]) for name in ('sees', 'seen', 'segments'))
    order, rows, real = promised.order, promised.segments, segments > 0
    for name, value, values in (('order', order, objectives.ORDERS), ('segments', rows, objectives.SEGMENTS)):
        if value not in values:
            yield f'{side}hint.{name} = {value!r}: expected {", ".join(values)}'
    if rows in ('one', 'padded'):
        size = len(real) if rows == 'one' else int(real.sum())
        for at in np.flatnonzero(segments != np.where(np.arange(len(real)) < size, segments[0] or 1, 0))[:1]:
            yield (f'{side}hint.segments = {rows!r}, but {side}segments[{at}] = {segments[at]} where {side}segments[0] = '
                   f"{segments[0]}: a kernel that trusts the hint shows one to the other; expected 'packed' or other segments")
    if order in ('causal', 'full'):
        yield from _distances(np.asarray(fields[side + 'positions']), segments, side, order)
        cells = attention.allowed(sees, seen, segments, segments)
        wanted = (segments[:, None] == segments[None]) & real[:, None] & real[None]
        wanted = np.tril(wanted) if order == 'causal' else wanted
        for where, verb, meaning in ((cells & ~wanted, 'sees', 'a kernel that trusts the hint hides it, one that does not leaks it'),
                                     (wanted & ~cells, 'does not see', 'a kernel that trusts the hint shows it')):
            for query, key in np.argwhere(where)[:1].tolist():
                yield (f'{side}hint.order = {order!r}, but position {query} {verb} position {key} ({side}sees[{query}] = {sees[query]}, '
                       f'{side}seen[{key}] = {seen[key]}, segments {segments[query]} and {segments[key]}; {int(where.sum())} such pairs): '
                       f"{meaning}; expected 'ordered' or other integers")


def _distances(positions: np.ndarray, segments: np.ndarray, side: str, order: str) -> Iterator[str]:
    """Positions that do not count on within a segment, as the orders `causal` and `full` promise."""
    broken = np.flatnonzero((segments[1:] == segments[:-1]) & (segments[1:] > 0) & (positions[1:] != positions[:-1] + 1))
    for at in broken[:1].tolist():
        yield (f'{side}hint.order = {order!r}, but {side}positions[{at + 1}] = {positions[at + 1]} after {positions[at]} in one segment: '
               "a kernel that trusts the hint takes distances from the row; expected 'ordered' or positions that count on")


def leaks(fields: dict) -> Iterator[str]:
    """A decoder's targets are its tokens one further: no position that counts may see the next, which holds its answer."""
    tokens, targets, segments = (np.asarray(fields[name]) for name in ('tokens', 'targets', 'segments'))
    sees, seen, counted = (np.asarray(fields[name]) for name in ('sees', 'seen', 'weights'))
    if len(tokens) != len(targets):
        return
    answer = (tokens[1:] == targets[:-1]) & (segments[1:] == segments[:-1]) & (segments[1:] > 0) & (counted[:-1] > 0)
    leak = np.flatnonzero(answer & (seen[1:] <= sees[:-1]))
    for at in leak[:1].tolist():
        yield (f'position {at} must predict token {targets[at]} and sees it at position {at + 1} (sees[{at}] = {sees[at]}, '
               f'seen[{at + 1}] = {seen[at + 1]}; {len(leak)} such positions)')


def names(fields: dict) -> Iterator[str]:
    missing = [name for name in ('tokens', 'targets', 'weights', 'positions', 'segments', 'sees', 'seen') if name not in fields]
    if 'encoder_tokens' in fields:
        missing += [f'encoder_{name}' for name in examples.SIDE if f'encoder_{name}' not in fields]
    yield from (f'field {name}: no such field in the batch contract' for name in fields if name not in examples.FIELDS)
    yield from (f'field {name}: missing' for name in missing)


def shapes(fields: dict, objective: objectives.Objective) -> Iterator[str]:
    sizes = objective.lengths()
    for name, value in fields.items():
        group = objectives.field_of(name)
        if group in sizes and np.shape(value) != (sizes[group],):
            yield f'field {name}: expected shape [{sizes[group]}] from lengths(), got {list(np.shape(value))}'


def ids(fields: dict, special: special_tokens.Special) -> Iterator[str]:
    for name in ('tokens', 'targets', 'encoder_tokens'):
        values = np.asarray(fields.get(name, []))
        for at in np.flatnonzero((values < 0) | (values >= special.vocab_size))[:1]:
            yield f'{name}[{at}] = {values[at]}: expected ids below vocab_size = {special.vocab_size}'


def positions(fields: dict, max_length: int | None) -> Iterator[str]:
    """Padding sees nothing and nothing sees it; positions fit their table; slots lie in the row."""
    for side in ('', 'encoder_') if 'encoder_tokens' in fields else ('',):
        pad, positions = np.asarray(fields[side + 'segments']) == 0, np.asarray(fields[side + 'positions'])
        for name, fill in (('sees', -1), ('seen', examples.NEVER_SEEN)):
            for at in np.flatnonzero(pad & (np.asarray(fields[side + name]) != fill))[:1]:
                yield f'{side}{name}[{at}] = {fields[side + name][at]} at padding: expected {fill}'
        for at in np.flatnonzero((positions < 0) | (positions >= max_length))[:1] if max_length else ():
            yield f'{side}positions[{at}] = {positions[at]}: expected 0 to model.max_length - 1 = {max_length - 1}'
    slots = np.asarray(fields.get('slots', []))
    for at in np.flatnonzero((slots < 0) | (slots >= len(fields['tokens'])))[:1]:
        yield f'slots[{at}] = {slots[at]}: expected a position of the row, 0 to {len(fields["tokens"]) - 1}'


def weights(fields: dict) -> Iterator[str]:
    """What counts is predicted at a real token."""
    counted, real = np.asarray(fields['weights']), np.asarray(fields['segments']) > 0
    if not np.isfinite(counted).all() or (counted < 0).any():
        yield 'weights: expected finite numbers of at least 0'
    slots = np.clip(fields['slots'], 0, len(real) - 1) if 'slots' in fields else np.arange(len(counted))
    if len(slots) == len(counted) and not (real[slots] if len(real) else real)[counted > 0].all():
        yield 'weights: expected 0 at padding'
