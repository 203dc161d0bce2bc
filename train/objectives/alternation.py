"""Alternation: the losses of several objectives over one backbone; each batch has one of them.

Every member is the loss module that it would be alone. Their parameters are one tree: `backbone`, which all share, and `members/NAME`, what
else a member has. The batch's `task` chooses the branch of a `lax.switch`, on a batch cut to the member's own shapes. The terms and metrics
of the others weigh nothing, their memories stay as they are. An optimizer with momentum goes on moving a member's own parameters in the
steps of the others, as it does for any gradient of zero.

Not a Flax module, because the members are applied one by one as functions of their parameters; it has the methods of `loss.Module` that the
program calls, and `init` and `apply`.
"""
import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from train import objectives
from train.objectives import loss as losses
from train.settings import schema


@dataclasses.dataclass(frozen=True)
class Alternation:
    """objective: data.objectives.alternation.Objective; modules: one loss module a member."""
    objective: Any
    modules: tuple

    token_term = None

    @property
    def scales(self):
        return {f'{name}/{term}': scale for name, module in self.members() for term, scale in module.scales.items()}

    @property
    def shares(self):
        """{term: how often its member's turn comes}: with these, an evaluation's loss is the mean of the steps' losses."""
        return {f'{name}/{term}': float(share) for share, (name, module) in zip(self.objective.shares, self.members())
                for term in module.scales}

    def members(self):
        return tuple(zip(self.objective.names, self.modules))

    def initial_carry(self, batch_size):
        """{member: its carry} of those that have one, or None."""
        carries = {name: module.initial_carry(batch_size) for name, module in self.members()}
        return {name: carry for name, carry in carries.items() if carry is not None} or None

    def weights(self, batch):
        """{term: scalar}, from the batch alone; 0 for the terms of the members whose turn it is not."""
        return {f'{name}/{term}': jnp.where(_turn(batch, self) == task, weight, 0)
                for task, (name, module) in enumerate(self.members())
                for term, weight in module.weights(self.objective.narrow(batch, task)).items()}

    def together(self, batch):
        """Each row has the number of the batch's member, and below it what the member makes of its own `task`."""
        count, turn = len(self.modules), _turn(batch, self)
        own = [module.together({**self.objective.narrow(batch, task), 'task': batch['task'] // count})['task']
               for task, module in enumerate(self.modules)]
        return {**batch, 'task': turn + count * jnp.stack(own)[turn]}

    def init(self, rngs, batch, carry=None, rows=None):
        """{'params': ...}. The backbone has what any of its members reads."""
        params = {'backbone': {}, 'members': {}}
        for task, (name, module) in enumerate(self.members()):
            own = module.init(rngs, self.objective.narrow(batch, task), (carry or {}).get(name), rows)['params']
            params['backbone'] = _joined(params['backbone'], own['backbone'])
            params['members'][name] = {part: value for part, value in own.items() if part != 'backbone'}
        params['members'] = {name: own for name, own in params['members'].items() if own}
        return {'params': {part: value for part, value in params.items() if value}}

    def apply(self, variables, batch, carry=None, rows=None, rngs=None, method=None):
        """Loss of a batch of one member, with the terms and metrics of all; with method='say' what that returns."""
        if method == 'say':
            return self.say(variables, batch)

        def run(task, zeros, variables, batch, carry, rngs):
            name, module = self.members()[task]
            own = self.objective.narrow(batch, task)
            out = module.apply(self.view(variables, name), own, (carry or {}).get(name), rows, rngs=rngs)
            terms, metrics = ({**rest, **{f'{name}/{key}': pair for key, pair in pairs.items()}}
                              for rest, pairs in zip(zeros, (out.terms, out.metrics)))
            return losses.Loss(terms, metrics, {**carry, name: out.carry} if carry and name in carry else carry)

        given, tasks = (variables, batch, carry, rngs), range(len(self.modules))
        shapes = [jax.eval_shape(functools.partial(run, task, ({}, {})), *given) for task in tasks]
        zeros = [jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), {key: pair for shape in shapes for key, pair in shape[part].items()})
                 for part in (0, 1)]      # of the terms, of the metrics
        return jax.lax.switch(_turn(batch, self), [functools.partial(run, task, zeros) for task in tasks], *given)

    def say(self, variables, batch):
        """int32[B, P]: the likeliest tokens at the slots of a batch of constants, each row predicted by its own member."""
        found = []
        for row, task in enumerate(int(task) % len(self.modules) for task in batch['task']):
            own = self.objective.narrow(jax.tree.map(lambda x, row=row: x[row:row + 1], batch), task)
            ids = self.modules[task].apply(self.view(variables, self.objective.names[task]), own, method='say')
            found.append(jnp.pad(ids, ((0, 0), (0, batch['weights'].shape[1] - ids.shape[1]))))
        return jnp.concatenate(found)

    def filling(self, objective, variables):
        """The first member that can."""
        found = next(number for number, kind in enumerate(objective.kinds) if kind.fills)
        return self.modules[found].filling(objective.kinds[found], self.view(variables, objective.names[found]))

    def forward_flops(self, config):
        """The mean over the members' turns."""
        found = [module.forward_flops(own) for module, own in zip(self.modules, _alone(config))]
        return round(sum(share * count for share, count in zip(self.objective.shares, found)))

    def view(self, variables, name):
        """The variables as the member has them alone."""
        return {kind: {**({'backbone': tree['backbone']} if 'backbone' in tree else {}), **tree.get('members', {}).get(name, {})}
                for kind, tree in variables.items()}


def _turn(batch, module):
    """int32[]: the number of the batch's member. Rows of padding have 0."""
    return jnp.max(batch['task']) % len(module.modules)


def _joined(one, other):
    """Two nested dicts of parameters as one; where both have a leaf, that of `one`."""
    deeper = {key: _joined(one[key], value) for key, value in other.items() if isinstance(value, dict) and key in one}
    return {**other, **one, **deeper}


def build(config: schema.Config) -> Alternation:
    """The losses of the members of a resolved config."""
    return Alternation(config.objective, tuple(objectives.build(own) for own in _alone(config)))


def _alone(config):
    """The config of each member by itself."""
    return [dataclasses.replace(config, objective=kind) for kind in config.objective.kinds]
