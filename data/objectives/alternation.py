"""Alternation: several objectives over one backbone, each with its own loss; a step belongs to one of them.

    dict(name='alternation', members=dict(masked=dict(name='masked_lm', weight=1.0), text=dict(name='causal_lm')))

The member of a step follows from the seed and the step's number alone: the plan holds whole batches, members' batches mixed by weight
(data/rows/mixture.py). A member's batches follow one another as if it trained alone, so that a memory continues where its last batch ended.
train/objectives/alternation.py chooses the loss.
"""
import dataclasses

import numpy as np

from data.objectives import mixture
from data.rows import drawing, mixture as member_rows


@dataclasses.dataclass(frozen=True)
class Objective(mixture.Objective):
    batch_size: int = 1

    shuffled = False
    own_loss = True
    likelihood = False
    block = property(lambda self: self.batch_size)

    def draw(self, rows, batches, size, rng):
        """Batches of each member in proportion, drawn as it draws them alone."""
        groups, draws = member_rows.by_member(rows, len(self.members)), []
        for kind, group, few in zip(self.kinds, groups, drawing.shares(np.array([len(group) for group in groups]) // size, batches)):
            own = np.stack([member_rows.split(row)[1] for row in rows[group]])
            draw = kind.draw(own, few, size, rng)
            draws.append(draw._replace(rows=np.where(draw.rows < 0, -1, group[draw.rows])))
        return drawing.joined(draws)

    def realised(self, source, row, fields):
        """The shares are those of batches: counted at the first row of each."""
        found = super().realised(source, row, fields)
        if int(fields.get('index', 0)) % self.batch_size:
            found = {name: pair for name, pair in found.items() if name not in self.names}
        return found
