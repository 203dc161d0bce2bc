"""Several objectives in one run: whose turn it is, which of its rows come next, and fields of one shape for all.

A member goes through the whole text, in its own order and with its own seed, before it sees any of it again, however its
rows are spread over the epochs of the mixture. Its shares are exact to a row in every epoch, nearly so in every stretch of one:
the rows of the epoch (or its batches, in an alternation) are put in order by (i + u) / c, where i counts the c rows of a
member and u is drawn uniformly, so that the first batches of an evaluation hold every member.
"""
import dataclasses
import functools
from typing import Any

import numpy as np

from data import example, special_tokens

ARCHITECTURES = ('decoder', 'encoder', 'encoder_decoder')
SAID = ('targets', 'weights')


@dataclasses.dataclass(frozen=True)
class Member:
    """An objective in a mixture: its name there, and how often its turn comes, in proportion."""
    name: str
    objective: Any
    weight: float = 1.0


@dataclasses.dataclass(frozen=True)
class Mixture:
    """What data/objectives/{mixture,alternation}.py share. A row of the plan: whose it is, how wide, and the member's own row.

    `task` of an example is the member's number, plus the number of members times the member's own `task`, if it has one.
    """
    sequence_length: int = 0
    members: Any = ()                         # of Member; in a config, {name: {name of the objective, weight, its settings}}

    likelihood = False
    block = 1                                 # rows that are one member's together

    @property
    def names(self):
        return tuple(member.name for member in self.members)

    @property
    def architectures(self):
        return self._fitting() or ARCHITECTURES   # `problems` tells when there is none

    @property
    def hint(self):
        hints = {member.objective.hint for member in self.members}
        return hints.pop() if len(hints) == 1 else 'ordered'

    @property
    def needs(self):
        return tuple(dict.fromkeys(need for member in self.members for need in member.objective.needs))

    @property
    def shares(self):
        """float64[m]: how often each member's turn comes."""
        weights = np.array([member.weight for member in self.members], np.float64)
        return weights / weights.sum()

    def lengths(self):
        """The most of every member. With slots, members without any are read at their own positions."""
        found = [dict(member.objective.lengths()) for member in self.members]
        most = {name: max(sizes.get(name, 0) for sizes in found) for sizes in found for name in sizes}
        return {**most, **({'slots': most['targets']} if 'slots' in most else {})}

    def problems(self, special=None):
        wrong = []
        if not self.members:
            text = 'missing; expected {NAME: {name: OBJECTIVE, weight: NUMBER, its settings}}, such as --config.'
            wrong.append(('objective.members', text + 'objective.members.text.name=causal_lm.'))
        for member in self.members:
            key = f'objective.members.{member.name}'
            if not member.name.isidentifier():
                wrong.append(('objective.members', f'{member.name!r}: expected a name of letters, digits and underscores.'))
            if not 0 < member.weight < float('inf'):
                wrong.append((f'{key}.weight', 'expected more than 0.'))
            found = member.objective.problems(self._left(member, special))
            wrong += [(name.replace('objective.', key + '.', 1), text.replace('objective.', key + '.')) for name, text in found]
        if not self._fitting():
            fits = '; '.join(f'{member.name}: {", ".join(member.objective.architectures)}' for member in self.members)
            wrong.append(('objective.members', f'no model.architecture fits all of them: {fits}.'))
        return wrong

    def plan(self, source, seed, epoch):
        """int64[n, 2 + k]: a member's number, the width of its row, its row. n is the same for every epoch."""
        seeds = [_seed(seed, task) for task in range(len(self.members))]
        sizes = [len(_plan(member.objective, source, own, 0)) for member, own in zip(self.members, seeds)]
        if not min(sizes, default=0):
            return np.zeros((0, 3), np.int64)
        counts = _counts(self.shares, np.array(sizes) / self.block)
        tables = [_continued(member.objective, source, own, epoch * count * self.block, count * self.block)
                  for member, own, count in zip(self.members, seeds, counts.tolist())]
        out = np.full((self.block * counts.sum(), 2 + max(table.shape[1] for table in tables)), -1)
        turns = np.repeat(_turns(counts, example.rng(seed, epoch, -1)), self.block)
        for task, table in enumerate(tables):
            mine = turns == task
            out[mine, 0], out[mine, 1] = task, table.shape[1]
            out[mine, 2:2 + table.shape[1]] = table
        return out

    def transform(self, source, row, rng):
        task, own = split(row)
        made = self.members[task].objective.transform(source, own, rng)
        task += len(self.members) * int(made.get('task', 0))
        return {**widen(made, _like(self, source), source.special.pad), 'task': np.int32(task)}

    def original(self, source, row):
        task, own = split(row)
        return self.members[task].objective.original(source, own)

    def denoiser(self, row):
        """NAME, or NAME/DENOISER of a member that has several."""
        task, own = split(row)
        inner = getattr(self.members[task].objective, 'denoiser', lambda row: None)(own)
        return self.names[task] + (f'/{inner}' if inner else '')

    def expected(self):
        found = dict(zip(self.names, self.shares.tolist()))
        for member in self.members:
            rates = getattr(member.objective, 'expected', dict)()
            found.update({f'{member.name}/{name}': share for name, share in rates.items()})
        return found

    def realised(self, source, row, made):
        task, own = split(row)
        found = {name: (int(name == self.names[task]), 1) for name in self.names}
        objective = self.members[task].objective
        rates = objective.realised(source, own, self.narrow(made, task)) if hasattr(objective, 'realised') else {}
        return {**found, **{f'{self.names[task]}/{name}': pair for name, pair in rates.items()}}

    def waste(self):
        """{field: share of its places that no member of the row's kind can use}, the mean over the rows."""
        most, sizes = self.lengths(), [{'slots': size['targets'], **size} for size in (m.objective.lengths() for m in self.members)]
        used = {name: sum(share * size.get(name, 0) for share, size in zip(self.shares, sizes)) for name in most}
        return {name: 1 - float(used[name]) / most[name] for name in most}

    def narrow(self, fields, task):
        """The fields of an example or a batch as the member made them: cut to its lengths, its own `task`."""
        objective, out = self.members[task].objective, {}
        sizes = objective.lengths()
        for name, value in fields.items():
            if name == 'task':
                if hasattr(objective, 'names'):
                    out[name] = value // len(self.members)
            elif name in ('index', 'labels'):
                out[name] = value
            elif _group(name) in sizes:
                out[name] = value[..., :sizes[_group(name)]]
        return out

    @property
    def marks(self):
        return any(getattr(member.objective, 'marks', False) for member in self.members)

    def _left(self, member, special):
        """`special` without the sentinels that are marks of another member."""
        if not special or not self.marks or getattr(member.objective, 'marks', False):
            return special
        first, last = special.sentinels
        return dataclasses.replace(special, sentinels=(first, min(last + len(special_tokens.MARKS), first + 1)))

    def _fitting(self):
        return tuple(name for name in ARCHITECTURES if all(name in member.objective.architectures for member in self.members))


def split(row):
    """(number of the member, its own row) of a row of the plan."""
    task, width = row[:2].tolist()
    return task, row[2:2 + width]


def widen(made, like, pad):
    """`made` in the shapes of `like`: padded, and with the fields that it lacks; slots that it lacks are its own positions."""
    out = dict(made)
    if 'slots' in like and 'slots' not in made:
        out['slots'] = np.arange(len(made['targets']), dtype=np.int32)
    blank = example.empty(like, pad)
    for name, value in blank.items():
        if isinstance(value, dict):
            out[name] = {**value, **out.get(name, {})}
        elif name not in out:
            out[name] = value
        elif np.shape(out[name]) != value.shape:
            value[:len(out[name])] = out[name]
            out[name] = value
    return out


def _group(name):
    """The entry of lengths() that says how long a field is."""
    if name == 'slots' or name in SAID:
        return 'slots' if name == 'slots' else 'targets'
    return 'encoder_tokens' if name.startswith('encoder_') else 'tokens'


@functools.lru_cache(maxsize=8)
def _like(mixture, source):
    """An example with every field that some member makes, in the longest shape. Encoder sides are everybody's or nobody's."""
    like, sizes = {}, mixture.lengths()
    for task, member in enumerate(mixture.members):
        row = _plan(member.objective, source, _seed(0, task), 0)[0]
        for name, value in member.objective.transform(source, row, example.rng(0, 0, 0)).items():
            if isinstance(value, dict):
                like[name] = {**value, **like.get(name, {})}
            elif name != 'task':
                like[name] = np.zeros(sizes[_group(name)], example.FIELDS[name])
    return like


@functools.lru_cache(maxsize=16)
def _plan(objective, source, seed, epoch):
    return objective.plan(source, seed, epoch)


def _seed(seed, task):
    """A member's own seed: two of one kind do not read the same texts."""
    return int(np.random.SeedSequence([seed % 2**64, task]).generate_state(1, np.uint64)[0])


def _counts(shares, sizes):
    """int64[m]: turns of each member in an epoch, in which the text is read about once, by one member or another."""
    return np.maximum(1, np.round(shares / np.sum(shares / sizes))).astype(np.int64)


def _turns(counts, rng):
    """int64[n]: whose turn it is, each member's turns spread evenly but for chance."""
    who = np.repeat(np.arange(len(counts)), counts)
    when = np.concatenate([(np.arange(count) + rng.random(count)) / count for count in counts.tolist()])
    return who[np.argsort(when, kind='stable')]


def _continued(objective, source, seed, start, count):
    """int64[count, k]: rows start, start + 1, ... of a member's epochs, one after the other."""
    size = len(_plan(objective, source, seed, 0))
    first, last = start // size, (start + count - 1) // size
    parts = []
    for epoch in range(first, last + 1):
        table = _plan(objective, source, seed, epoch)
        order = example.rng(seed, epoch, -2).permutation(size) if objective.shuffled else np.arange(size)
        begin, end = max(start - epoch * size, 0), min(start + count - epoch * size, size)
        parts.append(table[order[begin:end] % len(table)])
    width = max(part.shape[1] for part in parts)
    return np.concatenate([np.pad(part, ((0, 0), (0, width - part.shape[1])), constant_values=-1) for part in parts])
