"""Mixture: rows of several objectives in every batch, under one loss, that of the tokens (Raffel et al. 2020, 3.5; UL2).

    dict(name='mixture', members=dict(masked=dict(name='masked_lm', weight=1.0, rate=0.3), text=dict(name='causal_lm')))

All members read and say tokens through one architecture; who sees whom is a matter of integers, so that masked LM, prefix
LM and causal LM share a decoder stack. Each row counts by its targets. Metrics are told apart by member through `task`.
Objectives with a loss or a memory of their own are members of an alternation (data/objectives/alternation.py).
"""
import dataclasses

from data.rows import mixture


@dataclasses.dataclass(frozen=True)
class Objective(mixture.Mixture):

    shuffled = True

    @property
    def likelihood(self):
        """Whether every row's loss is the likelihood of its text."""
        return bool(self.members) and all(member.objective.likelihood for member in self.members)

    def problems(self, special=None):
        own = [member.name for member in self.members
               if getattr(member.objective, 'own_loss', False) or not member.objective.shuffled]
        text = 'has a loss or a memory of its own, rows of a mixture share one loss; use objective.name = alternation.'
        return super().problems(special) + [(f'objective.members.{name}.name', text) for name in own]
