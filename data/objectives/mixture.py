"""Mixture: rows of several objectives in every batch, under the loss of the tokens (Raffel et al. 2020, 3.5; UL2).

    dict(name='mixture', members=dict(masked=dict(name='masked_lm', weight=1.0, rate=0.3), text=dict(name='causal_lm')))

All members share one architecture; attention is a matter of integers, so that masked LM, prefix LM and causal LM share a decoder. Each row
counts by its targets. Metrics are reported by member, by the field `task`: the member's number, plus the number of members times the
member's own `task`, if it has one. Objectives with a loss or a memory of their own are members of an alternation (alternation.py).
"""
import dataclasses
import math
from typing import Any

import numpy as np

from data import objectives, special_tokens
from data.rows import drawing, mixture


@dataclasses.dataclass(frozen=True)
class Member:
    """An objective in a mixture: its name there, and how often its turn comes, in proportion."""
    name: str
    objective: objectives.Objective
    weight: float = 1.0


@dataclasses.dataclass(frozen=True)
class Objective(objectives.Objective):
    sequence_length: int = 0
    members: Any = ()                         # of Member; in a config, {name: {name of the objective, weight, its settings}}

    block = 1                                 # rows of a turn

    names = property(lambda self: tuple(member.name for member in self.members))
    kinds = property(lambda self: tuple(member.objective for member in self.members))
    likelihood = property(lambda self: bool(self.members) and all(kind.likelihood for kind in self.kinds))
    needs = property(lambda self: tuple(dict.fromkeys(need for kind in self.kinds for need in kind.needs)))
    marks = property(lambda self: any(kind.marks for kind in self.kinds))
    whole_words = property(lambda self: any(kind.whole_words for kind in self.kinds))
    fills = property(lambda self: any(kind.fills for kind in self.kinds))

    @property
    def architectures(self):
        return self._fitting() or objectives.ARCHITECTURES  # without one, `problems` reports it

    @property
    def hint(self):
        hint, sizes = objectives.weakest(*(kind.hint for kind in self.kinds)), {kind.lengths()['tokens'] for kind in self.kinds}
        return hint._replace(segments='padded') if hint.segments == 'one' and len(sizes) > 1 else hint

    @property
    def encoder_hint(self):
        return objectives.weakest(*(kind.encoder_hint for kind in self.kinds))._replace(segments='padded')

    @property
    def head(self):
        return 'language' if any(kind.head != 'discriminator' for kind in self.kinds) else 'discriminator'

    @property
    def frame(self):
        frames = {kind.frame for kind in self.kinds}
        return frames.pop() if len(frames) == 1 else None

    @property
    def shares(self) -> np.ndarray:
        """float64[m]: how often each member's turn comes."""
        weights = np.array([member.weight for member in self.members], np.float64)
        return weights / weights.sum()

    @property
    def main(self) -> objectives.Objective:
        """The member whose turn comes most often, the first of several: prompts are read as it reads them."""
        return self.kinds[int(np.argmax(self.shares))]

    def parts(self):
        return tuple(part for kind in self.kinds for part in kind.parts())

    def evaluated(self):
        return dataclasses.replace(self, members=tuple(
            dataclasses.replace(member, objective=member.objective.evaluated()) for member in self.members))

    def lengths(self):
        """The most of every member. With slots, members without any are read at their own positions."""
        found = [kind.lengths() for kind in self.kinds]
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
            found = member.objective.problems(self._left(member.objective, special))
            wrong += [(name.replace('objective.', key + '.', 1), text.replace('objective.', key + '.')) for name, text in found]
        if not self._fitting():
            fits = '; '.join(f'{member.name}: {", ".join(member.objective.architectures)}' for member in self.members)
            wrong.append(('objective.members', f'no model.architecture fits all of them: {fits}.'))
        text = 'has a loss or a memory of its own, rows of a mixture share one loss; use objective.name = alternation.'
        return wrong + [(f'objective.members.{member.name}.name', text) for member in self.members
                        if not self.own_loss and (member.objective.own_loss or not member.objective.shuffled)]

    def plan(self, source, seed, epoch):
        """int64[n, 2 + k]: a member's number, the width of its row, its row (data/rows/mixture.py)."""
        return mixture.plan(self.kinds, self.shares, self.block, source, seed, epoch)

    def coverage(self, source, rows):
        """Of all members together, each of which reads in an order of its own."""
        plans = [mixture.member_plan(kind, source, mixture.member_seed(0, number), 0) for number, kind in enumerate(self.kinds)]
        counts = [len(group) for group in mixture.by_member(rows, len(self.members))]
        return 1 - math.prod(1 - kind.coverage(source, plan) * min(1.0, count / max(1, len(plan)))
                             for kind, plan, count in zip(self.kinds, plans, counts))

    def draw(self, rows, batches, size, rng):
        return drawing.scattered(mixture.by_member(rows, len(self.members)), batches * size, size, rng)

    def transform(self, source, row, rng):
        number, own = mixture.split(row)
        made = self.kinds[number].transform(source, own, rng)
        task = np.int32(number + len(self.members) * int(made.get('task', 0)))
        return {**mixture.widen(made, mixture.blank(self.kinds, tuple(self.lengths().items()), source)), 'task': task}

    def original(self, source, row):
        number, own = mixture.split(row)
        return self.kinds[number].original(source, own)

    def narrow(self, fields: dict, number: int) -> dict:
        """The fields of an example or a batch as that member made them: cut to its lengths, its own `task`."""
        kind = self.kinds[number]
        return mixture.narrow(fields, kind.lengths()) | ({'task': fields['task'] // len(self.members)} if kind.names else {})

    def made_by(self, fields):
        number = int(fields['task']) % len(self.members)
        return self.kinds[number].made_by(self.narrow(fields, number))

    def task(self, number):
        """NAME, or NAME/TASK of a member that has several."""
        number, own = number % len(self.members), number // len(self.members)
        return self.names[number] + (f'/{self.kinds[number].task(own)}' if self.kinds[number].names else '')

    def prompt(self, ids, special):
        return self.main.prompt(ids, special)

    def prefix(self, ids, special):
        return self.main.prefix(ids, special)

    def hide(self, fields, slots):
        next(kind for kind in self.kinds if kind.fills).hide(fields, slots)

    unread = 'each member reads it in an order of its own, and later epochs read the rest'
    rough = property(lambda self: tuple(f'{member.name}/{name}' for member in self.members for name in member.objective.rough))

    def expected(self):
        return dict(zip(self.names, self.shares.tolist())) | {
            f'{member.name}/{name}': share for member in self.members for name, share in member.objective.expected().items()}

    def reasons(self):
        return {f'{member.name}/{name}': why for member in self.members for name, why in member.objective.reasons().items()}

    def realised(self, source, row, fields):
        number, own = mixture.split(row)
        rates = self.kinds[number].realised(source, own, self.narrow(fields, number))
        return {**{name: (int(name == self.names[number]), 1) for name in self.names},
                **{f'{self.names[number]}/{name}': pair for name, pair in rates.items()}}

    def waste(self):
        """{field: share of its positions that no member of the row's kind can use}, the mean over the rows."""
        most, sizes = self.lengths(), [{'slots': size['targets'], **size} for size in (kind.lengths() for kind in self.kinds)]
        used = {name: sum(share * size.get(name, 0) for share, size in zip(self.shares, sizes)) for name in most}
        return {name: 1 - float(used[name]) / most[name] for name in most}

    def _left(self, kind, special):
        """`special` without the sentinels that are marks of another member."""
        if not special or not self.marks or kind.marks:
            return special
        first, last = special.sentinels
        return dataclasses.replace(special, sentinels=(first, min(last + len(special_tokens.MARKS), first + 1)))

    def _fitting(self):
        return tuple(name for name in objectives.ARCHITECTURES if all(name in kind.architectures for kind in self.kinds))
