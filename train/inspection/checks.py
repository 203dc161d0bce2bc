"""Does an example keep the contract of data/example.py, and does the objective's static hint say what its integers say?

A kernel skips work by the hint (`causal`: the triangle above the diagonal), so a wrong one either shows the answer, silently,
or hides text. Every finding is a sentence that names a position.
"""
from collections.abc import Iterator

import numpy as np

from data import example as examples, objectives
from train.inspection import attention


class Broken(Exception):
    """An objective does not keep its own word; `str(error)` lists how."""

    exit_code, kind = 7, 'contract'


def findings(fields, objective, special, max_length=None):
    """[sentence] of what is wrong with one example. max_length: rows of a learned position table, or None."""
    missing = list(names(fields))
    if missing:
        return missing                         # nothing else can be looked at
    found = [*shapes(fields, objective), *ids(fields, special), *places(fields, max_length), *weights(fields)]
    own, narrow = objective.made_by(fields)
    for one, made in [(objective, fields)] + [(own, narrow)] * (own is not objective):
        found += hint(made, one.hint, '')
        if 'encoder_tokens' in made:
            found += hint(made, one.encoder_hint, 'encoder_')
    return found if 'slots' in narrow else [*found, *said(narrow)]


def hint(fields: dict, promised: objectives.Hint, side: str) -> Iterator[str]:
    """The integers of an example that are not as the hint promises. side: 'encoder_' or ''."""
    sees, seen, segments = (np.asarray(fields[side + name]) for name in ('sees', 'seen', 'segments'))
    order, rows, real = promised.order, promised.segments, segments > 0
    for name, value, values in (('order', order, objectives.ORDERS), ('segments', rows, objectives.SEGMENTS)):
        if value not in values:
            yield f'{side}hint.{name} = {value!r}: expected {", ".join(values)}'
    if rows in ('one', 'padded'):
        size = len(real) if rows == 'one' else int(real.sum())
        wrong = np.flatnonzero(segments != np.where(np.arange(len(real)) < size, segments[0] or 1, 0))
        if len(wrong):
            yield (f'{side}hint.segments = {rows!r}, but {side}segments[{wrong[0]}] = {segments[wrong[0]]} where {side}segments[0] = '
                   f"{segments[0]}: a kernel that trusts the hint shows one to the other; expected 'packed' or other segments")
    if order in ('causal', 'full'):
        cells = attention.allowed(sees, seen, segments, segments)
        wanted = (segments[:, None] == segments[None]) & real[:, None] & real[None]
        wanted = np.tril(wanted) if order == 'causal' else wanted
        for where, verb, meaning in ((cells & ~wanted, 'sees', 'a kernel that trusts the hint hides it, one that does not leaks it'),
                                     (wanted & ~cells, 'does not see', 'a kernel that trusts the hint shows it')):
            if where.any():
                query, key = (int(i) for i in np.argwhere(where)[0])
                yield (f'{side}hint.order = {order!r}, but position {query} {verb} position {key} ({side}sees[{query}] = {sees[query]}, '
                       f'{side}seen[{key}] = {seen[key]}, segments {segments[query]} and {segments[key]}; {int(where.sum())} such pairs): '
                       f"{meaning}; expected 'ordered' or other integers")


def said(fields):
    """A decoder's targets are its tokens one further: no position that counts may see the next, which holds its answer."""
    tokens, targets, segments = (np.asarray(fields[name]) for name in ('tokens', 'targets', 'segments'))
    sees, seen, counted = (np.asarray(fields[name]) for name in ('sees', 'seen', 'weights'))
    if len(tokens) != len(targets):
        return
    answer = (tokens[1:] == targets[:-1]) & (segments[1:] == segments[:-1]) & (segments[1:] > 0) & (counted[:-1] > 0)
    leak = np.flatnonzero(answer & (seen[1:] <= sees[:-1]))
    if len(leak):
        at = int(leak[0])
        yield (f'position {at} must say token {targets[at]} and sees it at position {at + 1} (sees[{at}] = {sees[at]}, '
               f'seen[{at + 1}] = {seen[at + 1]}; {len(leak)} such positions)')


def names(fields):
    known = {*examples.FIELDS, 'labels'}
    missing = [name for name in ('tokens', 'targets', 'weights', 'positions', 'segments', 'sees', 'seen') if name not in fields]
    if 'encoder_tokens' in fields:
        missing += [f'encoder_{name}' for name in examples.SIDE if f'encoder_{name}' not in fields]
    for name in fields:
        if name not in known:
            yield f'field {name}: no such field in the batch contract'
    for name in missing:
        yield f'field {name}: missing'


def shapes(fields, objective):
    sizes = objective.lengths()
    for name, value in fields.items():
        group = objectives.field_of(name)
        if group in sizes and np.shape(value) != (sizes[group],):
            yield f'field {name}: expected shape [{sizes[group]}] from lengths(), got {list(np.shape(value))}'


def ids(fields, special):
    for name in ('tokens', 'targets', 'encoder_tokens'):
        wrong = np.flatnonzero((np.asarray(fields.get(name, [])) < 0) | (np.asarray(fields.get(name, [])) >= special.vocab_size))
        if len(wrong):
            yield f'{name}[{wrong[0]}] = {fields[name][wrong[0]]}: expected ids below vocab_size = {special.vocab_size}'


def places(fields, max_length):
    """Padding sees nothing and nothing sees it; positions fit their table; slots lie in the row."""
    for side in ('', 'encoder_') if 'encoder_tokens' in fields else ('',):
        pad, positions = np.asarray(fields[side + 'segments']) == 0, np.asarray(fields[side + 'positions'])
        for name, fill in (('sees', -1), ('seen', examples.NEVER_SEEN)):
            wrong = np.flatnonzero(pad & (np.asarray(fields[side + name]) != fill))
            if len(wrong):
                yield f'{side}{name}[{wrong[0]}] = {fields[side + name][wrong[0]]} at padding: expected {fill}'
        wrong = np.flatnonzero((positions < 0) | (positions >= max_length)) if max_length else ()
        if len(wrong):
            yield f'{side}positions[{wrong[0]}] = {positions[wrong[0]]}: expected 0 to model.max_length - 1 = {max_length - 1}'
    slots = np.asarray(fields.get('slots', []))
    wrong = np.flatnonzero((slots < 0) | (slots >= len(fields['tokens'])))
    if len(wrong):
        yield f'slots[{wrong[0]}] = {slots[wrong[0]]}: expected a position of the row, 0 to {len(fields["tokens"]) - 1}'


def weights(fields):
    """What counts is said at a real token."""
    counted, real = np.asarray(fields['weights']), np.asarray(fields['segments']) > 0
    if not np.isfinite(counted).all() or (counted < 0).any():
        yield 'weights: expected finite numbers of at least 0'
    slots = np.clip(fields['slots'], 0, len(real) - 1) if 'slots' in fields else np.arange(len(counted))
    if len(slots) == len(counted) and not (real[slots] if len(real) else real)[counted > 0].all():
        yield 'weights: expected 0 at padding'
