"""Does the loss of an objective have what the loop calls? Its functions are traced for shapes alone: nothing is compiled or computed."""
import jax
import optax

from data import example as examples
from train import objectives, state as states, step as steps
from train.objectives import token
from train.settings import schema


def findings(config: schema.Config, fields: dict) -> list[str]:
    """[sentence] of what is wrong with the loss of a resolved config; fields: an example of its objective."""
    objective, found = config.objective, []
    file = f'train/objectives/{objective.name}.py'

    def shape(caller, function, *arguments):
        try:
            return jax.eval_shape(function, *arguments)
        except Exception as error:
            found.append(f'{file}: {caller}: {type(error).__name__}: {str(error).partition(chr(10))[0]}')

    try:
        module = objectives.build(config)
    except Exception as error:
        return [f'{file}: build(config): {type(error).__name__}: {error}']
    if (type(module) is token.TokenLoss) == objective.own_loss:
        holds = 'there is no loss of its own' if objective.own_loss else 'has a loss of its own'
        found.append(f'{file}: {holds}, but own_loss = {objective.own_loss} in data/objectives/{objective.name}.py; a mixture relies on it')
    rows = examples.given(examples.stack([fields] * config.batch_size))
    batch = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), rows)
    carry = shape('the carry of the first batch, initial_carry(batch_size)', lambda: module.initial_carry(config.batch_size))
    state = shape('its parameters, __call__(batch, carry, None)',
                  lambda *given: states.create(module, optax.identity(), *given, 0, None), batch, carry)
    if state is None:
        return found
    if 'backbone' not in state.params:
        found.append(f'{file}: expected a submodule `backbone`, which samples, fine-tuning and export take, got {", ".join(state.params)}')
    after = shape('the train step', steps.build(module, optax.identity(), config.accumulation), state, batch)
    if after is not None:
        if jax.tree.map(lambda x: (x.shape, x.dtype), after[0].carry) != jax.tree.map(lambda x: (x.shape, x.dtype), state.carry):
            found.append(f'{file}: __call__ returns a carry of other shapes than initial_carry(batch_size)')
        found += [f'{file}: {name}: expected sum and weight to be scalars' for name, value in after[1].items() if value.shape]
    variables = jax.eval_shape(states.evaluated, state)
    evaluated = shape('an evaluation', steps.evaluation(module), variables, batch, carry, state.rng)
    if evaluated is not None and (twice := evaluated[0].keys() & evaluated[1].keys()):
        found.append(f'{file}: terms and metrics of one name: {", ".join(sorted(twice))}; a report holds both')
    if config.model.architecture == 'encoder':
        shown = shape('samples, say(batch)', lambda variables: module.apply(variables, rows, method='say'), variables)
        if shown is not None and shown.shape != rows['targets'].shape:
            found.append(f'{file}: say(batch): expected int32{list(rows["targets"].shape)}, as targets, got shape {list(shown.shape)}')
    shape('throughput, forward_flops(config)', lambda: module.forward_flops(config))
    return found
