"""Prefix LM: rows worked by hand, where texts are cut, and that no prefix sees a target."""
import jax
import numpy as np
import pytest

from data import corpus, example, pipeline, special_tokens, tokenizer as tokenizers
from data.objectives import prefix_lm
from data.text import cache
from model import config as model_config, transformer
from model.decoding import generate
from tests.helpers import dependence
from train.prediction import prompts
from train.settings import schema

SPECIAL = special_tokens.Special(pad=0, eos=1, mask=2, cls=3, sep=4, bos=5, sentinels=(99, 90), vocab_size=100)
N = example.NEVER_SEEN


class Draws:
    """A generator whose next integers are given."""

    def __init__(self, values):
        self.values = values

    def integers(self, low, high):
        assert (np.asarray(low) <= self.values).all() and (self.values < np.asarray(high)).all()
        return np.array(self.values)


def text(*documents):
    return cache.Tokens.from_arrays([np.asarray(d) for d in documents], SPECIAL)


def examples(objective, source, epoch=0):
    return [(row, objective.transform(source, row, example.rng(0, epoch, i))) for i, row in enumerate(objective.plan(source, 0, epoch))]


def test_a_packed_row_by_hand():
    """Four tokens cut after three, two cut after one; the place that reads the last token of a prefix says the first target."""
    objective, source = prefix_lm.Objective(10), text([10, 11, 12, 13], [20, 21])
    row, = objective.plan(source, 0, 0)
    one = objective.transform(source, row, Draws([3, 1]))
    assert one['targets'].tolist() == [10, 11, 12, 13, 1, 20, 21, 1, 0, 0]
    assert one['tokens'].tolist() == [5, 10, 11, 12, 13, 5, 20, 21, 0, 0]
    assert one['weights'].tolist() == [0, 0, 0, 1, 1, 0, 1, 1, 0, 0]
    assert one['positions'].tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 0, 0]
    assert one['sees'].tolist() == [3, 3, 3, 3, 4, 1, 1, 2, -1, -1]
    assert one['seen'].tolist() == [3, 3, 3, 3, 4, 1, 1, 2, N, N]
    assert one['segments'].tolist() == [1, 1, 1, 1, 1, 2, 2, 2, 0, 0]
    assert objective.original(source, row).tolist() == [10, 11, 12, 13, 1, 20, 21, 1]


def test_a_row_with_separators_by_hand():
    objective, source = prefix_lm.Objective(10, separator='eos'), text([10, 11, 12, 13], [20, 21])
    row, = objective.plan(source, 0, 0)
    one = objective.transform(source, row, Draws([3, 1]))
    assert one['targets'].tolist() == [10, 11, 12, 1, 13, 1, 20, 1, 21, 1]
    assert one['tokens'].tolist() == [5, 10, 11, 12, 1, 13, 5, 20, 1, 21]
    assert one['weights'].tolist() == [0, 0, 0, 0, 1, 1, 0, 0, 1, 1]
    assert one['sees'].tolist() == one['seen'].tolist() == [4, 4, 4, 4, 4, 5, 2, 2, 2, 3]
    assert objective.original(source, row).tolist() == [10, 11, 12, 13, 1, 20, 21, 1]


@pytest.mark.parametrize('fields', [{}, dict(separator='eos'), dict(noise_density=0.2)])
@pytest.mark.parametrize('size', [4, 7, 32])
def test_prefix_and_targets_are_the_original_and_every_piece_has_a_target(size, fields):
    draw = np.random.default_rng(0)
    source = text(*[draw.integers(6, 90, n) for n in draw.integers(0, 50, 40)])
    objective = prefix_lm.Objective(size, **fields)
    assert objective.problems(SPECIAL) == []
    for row, one in examples(objective, source):
        original = objective.original(source, row).tolist()
        for segment in range(1, one['segments'].max() + 1):
            own = one['segments'] == segment
            said, counted = one['targets'][own], one['weights'][own]
            count = int((counted == 0).sum())
            assert counted[count:].all() and count < len(counted)
            inputs, targets = said[:count].tolist(), said[count:].tolist()
            if objective.separator == 'eos':
                assert inputs.pop() == SPECIAL.eos
            piece, original = original[:len(inputs + targets)], original[len(inputs + targets):]
            assert inputs + targets == piece
            reach = np.maximum(np.arange(len(said)), count)  # `count` inputs and BOS
            assert (one['sees'][own] == reach).all() and (one['seen'][own] == reach).all()
            assert (one['tokens'][own] == [SPECIAL.bos, *said[:-1]]).all()
        assert original == []


@pytest.mark.parametrize('density', [0.5, 0.3, 0.1])
def test_cuts_are_those_of_random_prefix_noise_mask(density):
    """T5's preprocessor, written out: inputs of max(1, round((1 - 2 d)(L - 1))) to L - 1 tokens, all equally likely."""
    length, rows = 20, 4000
    low, high = min(length - 1, max(1, round((1 - 2 * density) * (length - 1)))), length - 1
    objective, source = prefix_lm.Objective(length + 1, density), text(np.arange(10, 10 + length))
    row, = objective.plan(source, 0, 0)
    cuts = np.array([int((objective.transform(source, row, example.rng(0, 0, i))['weights'] == 0).sum()) for i in range(rows)])
    counts = np.bincount(cuts, minlength=length)
    assert counts[:low].sum() == 0 and len(counts) == length
    expected = rows / (high - low + 1)
    assert (abs(counts[low:] - expected) < 4.5 * np.sqrt(expected)).all()


def test_the_shortest_pieces():
    """A token and EOS: the token is the prefix. EOS alone, or a token without EOS, is said from BOS."""
    one = examples(prefix_lm.Objective(4), text([10]))[0][1]
    assert one['targets'].tolist() == [10, 1, 0, 0] and one['weights'].tolist() == [0, 1, 0, 0]
    made = [one for _, one in examples(prefix_lm.Objective(4), text([10, 11, 12, 13]))]
    alone, = [one for one in made if one['targets'][0] == SPECIAL.eos]
    assert alone['weights'].tolist() == [1, 0, 0, 0] and alone['tokens'].tolist() == [5, 0, 0, 0]
    assert alone['sees'].tolist() == [0, -1, -1, -1]


def test_no_prefix_depends_on_a_target_and_all_of_it_on_all_of_it():
    objective, source = prefix_lm.Objective(40), text(np.arange(10, 27), np.arange(30, 44), np.arange(50, 54))
    row, = objective.plan(source, 0, 0)
    one = objective.transform(source, row, Draws([6, 9, 2]))
    found, segments, positions, real = dependence.of(one), one['segments'], one['positions'], one['segments'] > 0
    inputs = np.array([0, 7, 10, 3])[segments]            # input positions, BOS included
    both = (positions < inputs)[:, None] & (positions < inputs)[None]
    expected = (segments[:, None] == segments[None]) & ((positions[None] <= positions[:, None]) | both) & real & real[:, None]
    assert (found == expected)[real].all() and (dependence.ruled(one) == expected)[real].all()
    said = np.flatnonzero(one['weights'])
    assert not any(found[t, t + 1:].any() for t in said)  # what it says, and all after it


def test_an_example_is_a_function_of_seed_epoch_and_index():
    source = text(*[np.arange(10, 40)] * 20)
    objective = prefix_lm.Objective(32)
    same = [pipeline.make(objective, source, 3, 1, 4) for _ in range(2)]
    assert all(np.array_equal(same[0][name], same[1][name]) for name in same[0])
    assert (same[0]['weights'] != pipeline.make(objective, source, 3, 2, 4)['weights']).any()
    assert (same[0]['weights'] != pipeline.make(objective, source, 4, 1, 4)['weights']).any()


@pytest.mark.parametrize('name, fields', [('sanguo', {}), ('novels', dict(separator='eos')), ('novels', dict(noise_density=0.25))])
def test_realised_cuts_agree_with_expected(tmp_path, name, fields):
    text = corpus.open(schema.Data(train=f'bundled:{name}', cache=str(tmp_path)), schema.Tokenizer(kind='bytes'), lambda line: None).train
    assert isinstance(text.tokenizer, tokenizers.Bytes)
    objective = prefix_lm.Objective(64, **fields)
    plan, count, out_of = objective.plan(text, 0, 0), 0, 0
    for i in range(300):
        one = objective.transform(text, plan[i], example.rng(0, 0, i))
        (a, b), = objective.realised(text, plan[i], one).values()
        count, out_of = count + a, out_of + b
    share, = objective.expected().values()
    assert out_of > 100 and abs(count / out_of - share) < 4 * np.sqrt(share * (1 - share) / out_of)


def test_bad_settings():
    wrong = prefix_lm.Objective(3, noise_density=0.6, separator='sep').problems()
    assert [key for key, _ in wrong] == ['objective.noise_density', 'objective.separator', 'sequence_length']
    assert len(prefix_lm.Objective(8).plan(text([], []), 0, 0)) == 0


@pytest.mark.parametrize('separator', prefix_lm.SEPARATORS)
def test_a_prompt_is_a_prefix(separator):
    """What is generated first is what training says at the place that reads the last token of the prefix; so is the second."""
    shape = model_config.Config(vocab_size=100, layers=2, dim=16, heads=2, positions='rotary')
    model, objective = transformer.Transformer(shape), prefix_lm.Objective(12, separator=separator)
    draw = np.random.default_rng(0)
    shapes = jax.eval_shape(model.init, jax.random.key(0), transformer.blank(shape))['params']
    params = jax.tree.map(lambda leaf: np.float32(draw.normal(size=leaf.shape) * 0.3), shapes)
    texts = [[20, 30, 40, 50], [60, 70]]
    tokens, lengths, fields = prompts.inputs(texts, SPECIAL, 'decoder', objective)
    said = generate.generate(model.apply, {'params': params}, tokens, lengths, max_new_tokens=2, temperature=0, source=fields)
    apply = jax.jit(lambda batch: model.apply({'params': params}, batch))
    for prompt, new in zip(texts, np.asarray(said).tolist()):
        source = text([*prompt, *new, 9])
        row, = objective.plan(source, 0, 0)
        one = objective.transform(source, row, Draws([len(prompt)]))
        first = np.flatnonzero(one['weights'])[0]
        logits = np.asarray(apply({name: value[None] for name, value in one.items()}))[0]
        assert logits[first:first + 2, :100].argmax(axis=-1).tolist() == new
