"""Rows of several objectives in one plan, and their examples in one shape.

A member goes through the whole text, in its own order and with its own seed, before it reads any of it again, however its rows are spread
over the epochs of the mixture. Its shares are exact to a row in every epoch, nearly so in every stretch of one: the rows of the epoch (or
its batches, in an alternation) are sorted by (i + u) / c, where i counts the c rows of a member and u is drawn uniformly, so that the first
batches of an evaluation hold every member.
"""
import functools

import numpy as np

from data import example, objectives
from data.text import cache


def plan(parts: tuple[objectives.Objective, ...], shares: np.ndarray, block: int, source: cache.Tokens, seed: int,
         epoch: int) -> np.ndarray:
    """int64[n, 2 + k]: a member's number, the width of its row, its row. n is the same for every epoch.

    shares: float64[m], how often each member's turn comes. block: rows of a turn.
    """
    seeds = [member_seed(seed, task) for task in range(len(parts))]
    sizes = [len(member_plan(part, source, own, 0)) for part, own in zip(parts, seeds)]
    if not min(sizes, default=0):
        return np.zeros((0, 3), np.int64)
    # The text is read about once, by one member or another.
    counts = np.maximum(1, np.round(shares / np.sum(shares / (np.array(sizes) / block)))).astype(np.int64)
    tables = [_continued(part, source, own, epoch * count * block, count * block)
              for part, own, count in zip(parts, seeds, counts.tolist())]
    out = np.full((block * counts.sum(), 2 + max(table.shape[1] for table in tables)), -1)
    turns = np.repeat(_turns(counts, example.rng(seed, epoch, -1)), block)
    for task, table in enumerate(tables):
        mine = turns == task
        out[mine, 0], out[mine, 1] = task, table.shape[1]
        out[mine, 2:2 + table.shape[1]] = table
    return out


def split(row: np.ndarray) -> tuple[int, np.ndarray]:
    """(number of the member, its own row) of a row of the plan."""
    task, width = row[:2].tolist()
    return task, row[2:2 + width]


def by_member(rows: np.ndarray, members: int) -> list[np.ndarray]:
    """The numbers of the rows of a plan that each member has, int64[n] each, ascending."""
    return [np.flatnonzero(rows[:, 0] == number) for number in range(members)]


def member_seed(seed: int, task: int) -> int:
    """A member's own seed: two members of one kind do not read the same texts."""
    return int(np.random.SeedSequence([seed % 2**64, task]).generate_state(1, np.uint64)[0])


@functools.lru_cache(maxsize=16)
def member_plan(part: objectives.Objective, source: cache.Tokens, seed: int, epoch: int) -> np.ndarray:
    """A member's own plan of an epoch."""
    return part.plan(source, seed, epoch)


@functools.lru_cache(maxsize=8)
def blank(parts: tuple[objectives.Objective, ...], lengths: tuple[tuple[str, int], ...], source: cache.Tokens) -> dict:
    """An example of padding with every field that one of the parts makes, as long as `lengths` says. `task` is not among them."""
    like, sizes = {}, dict(lengths)
    for task, part in enumerate(parts):
        row = member_plan(part, source, member_seed(0, task), 0)[0]
        for name, value in part.transform(source, row, example.rng(0, 0, 0)).items():
            if isinstance(value, dict):
                like[name] = {**value, **like.get(name, {})}
            elif name != 'task':
                like[name] = np.zeros(sizes[objectives.field_of(name)], example.FIELDS[name])
    return example.empty(like, source.special.pad)


def widen(made: dict, blank: dict) -> dict:
    """An example padded to the shapes of `blank`, with the fields that it lacks; slots that it lacks are its own positions."""
    out = dict(made)
    if 'slots' in blank and 'slots' not in made:
        out['slots'] = np.arange(len(made['targets']), dtype=np.int32)
    for name, value in blank.items():
        if isinstance(value, dict):
            out[name] = {**value, **out.get(name, {})}
        elif np.shape(out.setdefault(name, value)) != value.shape:
            out[name] = np.concatenate([out[name], value[len(out[name]):]])
    return out


def narrow(fields: dict, lengths: dict[str, int]) -> dict:
    """The inverse, of an example or a batch: fields cut to a member's lengths, without those that it does not make."""
    kept = {name: value[..., :lengths[field]] for name, value in fields.items() if (field := objectives.field_of(name)) in lengths}
    return kept | {name: fields[name] for name in ('index', 'labels') if name in fields}


def _turns(counts, rng):
    """int64[n]: whose turn it is, each member's turns spread evenly but for chance."""
    who = np.repeat(np.arange(len(counts)), counts)
    when = np.concatenate([(np.arange(count) + rng.random(count)) / count for count in counts.tolist()])
    return who[np.argsort(when, kind='stable')]


def _continued(part, source, seed, start, count):
    """int64[count, k]: rows start, start + 1, ... of a member's epochs, one after the other."""
    size = len(member_plan(part, source, seed, 0))
    first, last = start // size, (start + count - 1) // size
    tables = []
    for epoch in range(first, last + 1):
        table = member_plan(part, source, seed, epoch)
        order = example.rng(seed, epoch, -2).permutation(size) if part.shuffled else np.arange(size)
        begin, end = max(start - epoch * size, 0), min(start + count - epoch * size, size)
        tables.append(table[order[begin:end] % len(table)])
    width = max(table.shape[1] for table in tables)
    return np.concatenate([np.pad(table, ((0, 0), (0, width - table.shape[1])), constant_values=-1) for table in tables])
