"""Alternation: the losses of several objectives over one backbone, of which each batch has one.

Every member is the loss module that it would be alone. Their parameters are one tree: `backbone`, which all share, and
`members/NAME`, what else a member has. The batch's `task` chooses the branch of a `lax.switch`, on a batch cut back to the
member's own shapes. The terms and metrics of the others weigh nothing, their memories stay as they are. An optimizer with
momentum goes on moving a member's own parameters in the steps of the others, as it does for any gradient of zero.

Not a Flax module, because the members are applied one by one as functions of their parameters; it has the methods of
`loss.Module` that the program calls, and `init` and `apply`.
"""
import dataclasses
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

        def branch(task):
            name, module = self.members()[task]

            def run(variables, batch, carry, rngs):
                own = self.objective.narrow(batch, task)
                out = module.apply(self.view(variables, name), own, (carry or {}).get(name), rows, rngs=rngs)
                terms, metrics = ({f'{name}/{key}': pair for key, pair in pairs.items()} for pairs in (out.terms, out.metrics))
                return losses.Loss(terms, metrics, {**carry, name: out.carry} if carry and name in carry else carry)

            return run

        branches = [branch(task) for task in range(len(self.modules))]
        given = variables, batch, carry, rngs
        shapes = [jax.eval_shape(run, *given) for run in branches]
        nothing = [jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), {key: pair for each in part for key, pair in each.items()})
                   for part in ([shape.terms for shape in shapes], [shape.metrics for shape in shapes])]

        def whole(run):
            def filled(*given):
                out = run(*given)
                return losses.Loss({**nothing[0], **out.terms}, {**nothing[1], **out.metrics}, out.carry)
            return filled

        return jax.lax.switch(_turn(batch, self), [whole(run) for run in branches], *given)

    def say(self, variables, batch):
        """int32[B, P]: the likeliest tokens at the slots of a batch that is known while tracing, each row said by its own member."""
        rows = [jax.tree.map(lambda x, row=row: x[row:row + 1], batch) for row in range(len(batch['task']))]
        return jnp.concatenate([self._say(variables, row) for row in rows])

    def _say(self, variables, batch):
        task = int(batch['task'][0]) % len(self.modules)
        name, module = self.members()[task]
        said = module.apply(self.view(variables, name), self.objective.narrow(batch, task), method='say')
        return jnp.pad(said, ((0, 0), (0, batch['weights'].shape[1] - said.shape[1])))

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
    """int32[]: whose batch it is. Rows of padding say 0."""
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
