"""Two-sided examples by hand in both architectures, and the leak test of every objective that makes them, by gradients."""
import functools

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data import example, special_tokens
from data.objectives import denoising, deshuffle, span_corruption, ul2
from data.rows import sides
from data.text import cache
from model import config as model_config, transformer

N = example.NEVER_SEEN
SPECIAL = special_tokens.Special(pad=0, eos=1, mask=2, cls=3, sep=4, sentinels=(99, 60), vocab_size=100)
INPUTS, TARGETS = np.array([11, 12, 99, 13], np.int32), np.array([99, 21, 22], np.int32)


def test_an_encoder_decoder_by_hand():
    sizes = sides.lengths('encoder_decoder', 6, 5)
    assert sizes == {'tokens': 5, 'targets': 5, 'encoder_tokens': 6} and sides.hint(deshuffle.Objective(6)) == ('causal', 'padded')
    one = sides.fields(INPUTS, TARGETS, 6, sizes, SPECIAL)
    assert {name: value.tolist() for name, value in one.items()} == {
        'encoder_tokens': [11, 12, 99, 13, 1, 0], 'encoder_positions': [0, 1, 2, 3, 4, 0], 'encoder_segments': [1] * 5 + [0],
        'encoder_sees': [0] * 5 + [-1], 'encoder_seen': [0] * 5 + [N],
        'tokens': [0, 99, 21, 22, 0], 'targets': [99, 21, 22, 1, 0], 'weights': [1, 1, 1, 1, 0], 'positions': [0, 1, 2, 3, 0],
        'segments': [1, 1, 1, 1, 0], 'sees': [0, 1, 2, 3, -1], 'seen': [0, 1, 2, 3, N]}
    assert sides.fields(INPUTS, TARGETS, 6, sizes, SPECIAL, SPECIAL.eos)['tokens'].tolist() == [1, 99, 21, 22, 0]


def test_a_decoder_by_hand():
    """BOS and the five inputs see one another; the place that reads their last says the first target."""
    sizes = sides.lengths('decoder', 6, 5)
    assert sizes == {'tokens': 11, 'targets': 11} and sides.hint(deshuffle.Objective(6, architecture='decoder')) == ('ordered', 'padded')
    one = sides.fields(INPUTS, TARGETS, 6, sizes, SPECIAL)
    assert {name: value.tolist() for name, value in one.items()} == {
        'tokens': [0, 11, 12, 99, 13, 1, 99, 21, 22, 0, 0], 'targets': [11, 12, 99, 13, 1, 99, 21, 22, 1, 0, 0],
        'weights': [0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0], 'positions': [*range(9), 0, 0], 'segments': [1] * 9 + [0, 0],
        'sees': [5, 5, 5, 5, 5, 5, 6, 7, 8, -1, -1], 'seen': [5, 5, 5, 5, 5, 5, 6, 7, 8, N, N]}


@pytest.mark.parametrize('architecture', sides.ARCHITECTURES)
@pytest.mark.parametrize('read, said', [(0, 0), (5, 4), (3, 0), (0, 2)])
def test_split_is_the_inverse(architecture, read, said):
    one = sides.fields(np.arange(10, 10 + read), np.arange(20, 20 + said), 6, sides.lengths(architecture, 6, 5), SPECIAL)
    inputs, targets = sides.split(one)
    assert inputs.tolist() == [*range(10, 10 + read)] and targets.tolist() == [*range(20, 20 + said)]
    assert one['weights'].sum() == said + 1 and all(value.dtype == example.FIELDS[name] for name, value in one.items())


@pytest.mark.parametrize('architecture', sides.ARCHITECTURES)
@pytest.mark.parametrize('read, said', [(30, 3), (6, 3), (5, 5), (6, 0), (0, 5), (9, 0)])
def test_a_side_that_does_not_fit_is_an_error_though_both_together_may(architecture, read, said):
    with pytest.raises(ValueError, match=f'at most 6 inputs and 5 targets, EOS included, got {read + 1} and {said + 1}'):
        sides.fields(np.arange(read), np.arange(said), 6, sides.lengths(architecture, 6, 5), SPECIAL)


@functools.cache
def dependence(architecture):
    """jit(tokens of a batch of one) -> bool[T, T'], does output t depend on decoder input t', and on encoder input t'."""
    shape = model_config.Config(architecture=architecture, vocab_size=100, layers=2, dim=16, heads=2, positions='rotary')
    model = transformer.Transformer(shape)
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(model.init, jax.random.key(0), transformer.blank(shape))['params']
    params = jax.tree.map(lambda leaf: np.float32(rng.normal(size=leaf.shape) * 0.3), shapes)

    def outputs(added, batch):
        def look(following, args, kwargs, context):
            out = following(*args, **kwargs)
            if context.method_name != 'look_up':
                return out
            return out + added['tokens' if out.shape[1] == batch['tokens'].shape[1] else 'encoder_tokens']

        with nn.intercept_methods(look):
            return jnp.sum(jnp.sin(model.apply({'params': params}, batch)[0, :, :100]), axis=-1)

    def moved(batch):
        added = {side: jnp.zeros((1, batch[side].shape[1], 16)) for side in ('tokens', 'encoder_tokens') if side in batch}
        return {side: jnp.any(jacobian[:, 0] != 0, axis=-1) for side, jacobian in jax.jacrev(outputs)(added, batch).items()}

    return jax.jit(moved)


CASES = [(span_corruption.Objective, {}, both) for both in sides.ARCHITECTURES] + [
    (span_corruption.Objective, dict(noise='iid', style='mask_full'), 'decoder'), (ul2.Objective, dict(noise='rolled'), 'decoder'),
    (ul2.Objective, {}, 'encoder_decoder'), (deshuffle.Objective, {}, 'decoder'), (denoising.Objective, {}, 'encoder_decoder')]


@pytest.mark.parametrize('kind, fields, architecture', CASES, ids=[f'{k.__module__.split(".")[-1]}-{a}' for k, _, a in CASES])
def test_no_output_depends_on_what_the_objective_hides(kind, fields, architecture):
    """The output that says target i depends on no decoder input from target i on; a prefix on no target; nothing on padding."""
    source = cache.Tokens.from_arrays([np.arange(5, 5 + n) for n in (26, 21, 5)], SPECIAL)
    objective = kind(17, **fields, **({'architecture': architecture} if kind is not denoising.Objective else {}))
    assert objective.problems(SPECIAL) == []
    made = objective.transform(source, objective.plan(source, 0, 0)[-1], example.rng(0, 0, 0))
    # two lengths for all cases of an architecture, so that each is compiled once; a side's length tells which it is
    width = 40 if architecture == 'decoder' else 20
    one = {name: np.pad(value, (0, (24 if name.startswith('encoder_') else width) - len(value)),
                        constant_values=example.PADDING.get(name, 0))
           for name, value in made.items() if np.ndim(value)}
    batch = {name: value[None] for name, value in one.items()}
    found = {side: np.asarray(value) for side, value in dependence(architecture)(batch).items()}
    real, said = one['segments'] > 0, one['weights'] > 0
    first = np.flatnonzero(said)[0]
    allowed = np.tril(np.ones((width, width), bool))
    if architecture == 'decoder':
        allowed[:first + 1, :first + 1] = True
    assert (found['tokens'][real] == (allowed & real)[real]).all()
    if architecture == 'encoder_decoder':
        assert (found['encoder_tokens'][real] == (one['encoder_segments'] > 0)).all()
