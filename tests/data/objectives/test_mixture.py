"""Several objectives in one run, as data: shares, the order of the members, fields of one shape, batches of a single member."""
import dataclasses

import numpy as np
import pytest

from data import corpus, example, pipeline, special_tokens
from data.objectives import (
    alternation,
    causal_lm,
    fill_in_the_middle,
    masked_lm,
    mixture as mixtures,
    permuted_lm,
    prefix_lm,
    replaced_token_detection,
    span_corruption,
    ul2,
)
from data.rows import mixture
from data.text import cache
from train.settings import schema

SPECIAL = special_tokens.Special(pad=0, eos=1, mask=2, cls=3, sep=4, bos=5, sentinels=(999, 744), vocab_size=1000)
SIZE = 32


def text(count=40, longest=60, seed=0):
    draw = np.random.default_rng(seed)
    return cache.Tokens.from_arrays([draw.integers(6, 744, n) for n in draw.integers(1, longest, count)], SPECIAL)


def members(**weights):
    kinds = {'masked': masked_lm.Objective(SIZE, rate=0.3), 'prefix': prefix_lm.Objective(SIZE), 'text': causal_lm.Objective(SIZE)}
    return tuple(mixtures.Member(name, kinds[name], weight) for name, weight in weights.items())


def mixed(**weights):
    return mixtures.Objective(SIZE, members(**weights))


def alternating(batch_size=4, **weights):
    return alternation.Objective(SIZE, members(**weights), batch_size)


def test_shares_are_exact_in_an_epoch_and_nearly_so_in_each_part_of_it():
    source, objective = text(300), mixed(masked=1.0, prefix=2.0, text=5.0)
    assert objective.shares.tolist() == [1 / 8, 2 / 8, 5 / 8]
    for epoch in range(3):
        tasks = objective.plan(source, 0, epoch)[:, 0]
        assert abs(np.bincount(tasks) / len(tasks) - objective.shares).max() < 1 / len(tasks)
        for end in range(8, len(tasks), 5):
            assert abs(np.bincount(tasks[:end], minlength=3) - end * objective.shares).max() <= 3
    plans = [objective.plan(source, seed, epoch) for seed, epoch in ((0, 0), (0, 0), (0, 1), (1, 0))]
    assert (plans[0] == plans[1]).all() and all((plans[0][:, 0] != plan[:, 0]).any() for plan in plans[2:])


def test_an_epoch_reads_the_text_about_once():
    source, objective = text(300), mixed(prefix=1.0, text=3.0)
    alone = len(causal_lm.Objective(SIZE).plan(source, 0, 0))
    assert abs(len(objective.plan(source, 0, 0)) - alone) <= 2
    tasks = mixed(masked=1.0, text=1.0).plan(source, 0, 0)[:, 0]
    rows = [len(masked_lm.Objective(SIZE).plan(source, 0, 0)), alone]
    assert sum(np.bincount(tasks) / rows) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize('make', [mixed, alternating])
def test_a_member_sees_all_of_its_rows_before_it_sees_one_again(make):
    source, objective = text(120), make(masked=1.0, text=1.7)
    for task, member in enumerate(objective.members):
        seen = []
        for epoch in range(5):
            for row in objective.plan(source, 3, epoch):
                if row[0] == task:
                    seen.append(tuple(mixture.split(row)[1].tolist()))
        size = len(member.objective.plan(source, 0, 0))
        assert len(seen) >= size
        alone = member.objective.plan(source, mixture.member_seed(3, task), 0)
        bare = [[tuple(i for i in row if i >= 0) for row in rows] for rows in (seen[:size], alone.tolist())]
        assert sorted(bare[0]) == sorted(bare[1]) and bare[0] != bare[1]


def test_two_members_of_a_kind_read_different_texts():
    objective = mixtures.Objective(SIZE, (mixtures.Member('one', causal_lm.Objective(SIZE)),
                                          mixtures.Member('two', causal_lm.Objective(SIZE))))
    plan = objective.plan(text(200), 0, 0)
    first, second = (set(map(tuple, plan[plan[:, 0] == task, 2:])) for task in (0, 1))
    assert len(first & second) < 0.75 * len(first)


def test_fields_are_padded_to_the_longest_and_slots_are_a_members_own_positions():
    source, objective = text(), mixed(masked=1.0, prefix=1.0)
    assert objective.lengths() == {'tokens': SIZE, 'targets': SIZE, 'slots': SIZE}
    found = {}
    for i, row in enumerate(objective.plan(source, 0, 0)):
        task, own = mixture.split(row)
        one = objective.transform(source, row, example.rng(0, 0, i))
        alone = objective.members[task].objective.transform(source, own, example.rng(0, 0, i))
        assert one['task'] == task and {name: value.shape for name, value in one.items() if name != 'task'} == dict.fromkeys(
            ('tokens', 'targets', 'weights', 'slots', 'positions', 'segments', 'sees', 'seen'), (SIZE,))
        back = objective.narrow(one, task)
        assert back.keys() == alone.keys() and all((back[name] == alone[name]).all() for name in alone)
        found[task] = one
    count = round(0.3 * SIZE)
    assert (found[0]['weights'][count:] == 0).all() and (found[0]['targets'][count:] == SPECIAL.pad).all()
    assert (found[0]['slots'][count:] == 0).all() and found[1]['slots'].tolist() == list(range(SIZE))


def test_encoder_sides_types_and_labels():
    pairs = masked_lm.Objective(SIZE, inputs='next_sentence')
    objective = alternation.Objective(SIZE, (mixtures.Member('pairs', pairs), mixtures.Member('plain', masked_lm.Objective(SIZE))), 2)
    source = cache.Tokens.from_arrays([np.arange(6, 46)] * 9, SPECIAL, sentences=[[0, 7, 15, 21, 30]] * 9)
    made = [pipeline.make(objective, source, 0, 0, i) for i in range(8)]
    assert {int(one['task']) for one in made} == {0, 1}
    for one in made:
        assert one['types'].shape == (SIZE,) and one['labels'].keys() == {'next_sentence'}
        assert one['task'] == 0 or not one['types'].any()
    example.stack(made)
    both = mixtures.Objective(SIZE, (mixtures.Member('spans', span_corruption.Objective(SIZE)),
                                     mixtures.Member('denoisers', ul2.Objective(SIZE))))
    assert both.architectures == ('decoder', 'encoder_decoder')
    for row in both.plan(text(), 0, 0)[:20]:
        one = both.transform(text(), row, example.rng(0, 0, 0))
        assert len(one['encoder_tokens']) == SIZE and len(one['tokens']) == both.lengths()['tokens']
        assert one['task'] % 2 == row[0] and both.task(one['task']).split('/')[0] == both.names[row[0]]
        if row[0] == 1:
            name = both.members[1].objective.names[one['task'] // 2]
            assert both.task(one['task']) == f'denoisers/{name}'
            assert both.narrow(one, 1)['task'] == one['task'] // 2


def test_waste_by_hand():
    """Half of the rows use 10 of 32 targets; a row of tokens is as long for both."""
    objective = mixed(masked=1.0, text=1.0)
    waste = objective.waste()
    assert waste['tokens'] == 0 and waste['targets'] == waste['slots'] == pytest.approx(0.5 * (1 - 10 / 32))


def test_what_a_mixture_states():
    one = mixed(prefix=1.0, text=1.0)
    assert (one.hint.order, one.architectures, one.likelihood, one.shuffled) == ('ordered', ('decoder',), False, True)
    assert one.names == ('prefix', 'text')
    assert mixed(text=1.0).likelihood and mixed(text=1.0).hint == ('causal', 'packed') and not alternating(text=1.0).likelihood
    assert mixed(masked=1.0, text=1.0).needs == ('mask', 'cls', 'sep') and mixed(masked=1.0, text=1.0).architectures == ('decoder',)
    assert alternating(text=1.0).shuffled is False
    hash(one)


@pytest.mark.parametrize('make', [mixed, alternating])
def test_realised_rates_agree_with_expected(make):
    source, objective = text(2000), make(masked=1.0, prefix=1.0, text=2.0)
    totals = {name: np.zeros(2) for name in objective.expected()}
    for i in range(400):
        one = pipeline.make(objective, source, 0, 0, i)
        for name, pair in objective.realised(source, pipeline.plan(objective, source, 0, 0)[i], one).items():
            totals[name] += pair
    assert {'masked', 'text', 'masked/mask', 'prefix/cut in the first half'} <= totals.keys()
    for name, share in objective.expected().items():
        count, out_of = totals[name]
        assert out_of and abs(count / out_of - share) <= 4 * np.sqrt(share * (1 - share) / out_of), name


def test_the_same_text_in_chinese_and_in_bytes(tmp_path):
    source = corpus.open(schema.Data(train='bundled:sanguo', cache=str(tmp_path)), schema.Tokenizer(kind='bytes'), lambda line: None).train
    objective = mixtures.Objective(SIZE, (*members(masked=1.0, text=1.0), mixtures.Member('fim', fill_in_the_middle.Objective(SIZE))))
    batch = next(pipeline.batches(objective, source, seed=0, batch_size=12, threads=0))
    assert set(batch['task'].tolist()) == {0, 1, 2} and batch['weights'].any(axis=1).all()


def test_every_batch_of_an_alternation_belongs_to_one_member_whatever_the_hosts_threads_and_the_start():
    source, objective = text(150), alternating(4, masked=1.0, text=2.0)
    read = lambda **key: list(pipeline.batches(objective, source, seed=5, batch_size=4, stop=400, shuffle=objective.shuffled, **key))
    whole = read(threads=2)
    tasks = [set(batch['task'].tolist()) for batch in whole]
    assert all(len(task) == 1 for task in tasks) and len(whole) == 100 > 2 * pipeline.size(objective, source, 5) / 4
    assert abs(sum(task == {1} for task in tasks) - 200 / 3) <= 3
    again = read(threads=0, start=52)
    assert all((a['tokens'] == b['tokens']).all() and (a['task'] == b['task']).all() for a, b in zip(whole[13:], again))
    part = read(threads=0, rows=[1, 3])
    assert all((a['tokens'][[1, 3]] == b['tokens']).all() for a, b in zip(whole, part))


def test_turns_do_not_fall_into_step():
    """Every tenth step is not always the same member's."""
    tasks = np.concatenate([alternating(1, masked=1.0, text=1.0).plan(text(400), 0, epoch)[:, 0] for epoch in range(4)])
    for every in (2, 5, 10):
        share = tasks[::every].mean()
        assert 0.25 < share < 0.75
    assert set(tasks[:2]) == {0, 1}           # and the first batches of an evaluation show both


def test_a_memory_goes_on_where_the_members_last_batch_ended():
    """Permuted LM between batches of masked LM: its own batches are those of a run of its own, in their order."""
    source = cache.Tokens.from_arrays([np.random.default_rng(1).integers(6, 744, 3000)], SPECIAL, sentences=[np.arange(0, 3000, 11)])
    permuted = permuted_lm.Objective(SIZE, 4, memory_length=16)
    objective = alternation.Objective(SIZE, (*members(masked=2.0), mixtures.Member('permuted', permuted)), 4)
    assert objective.problems(SPECIAL) == []
    rows, count = [], len(permuted.plan(source, 0, 0))
    for epoch in range(10):
        plan = objective.plan(source, 0, epoch)
        rows += [mixture.split(row)[1].tolist() for row in plan if row[0] == 1]
    seed = mixture.member_seed(0, 1)
    alone = [row for epoch in range(len(rows) // count + 1) for row in permuted.plan(source, seed, epoch).tolist()]
    assert len(rows) > count and rows == alone[:len(rows)]


def test_no_text_no_rows_and_little_text_is_read_again():
    empty = cache.Tokens.from_arrays([], SPECIAL)
    assert len(mixed(masked=1.0, text=1.0).plan(empty, 0, 0)) == len(alternating(masked=1.0, text=1.0).plan(empty, 0, 0)) == 0
    little = cache.Tokens.from_arrays([np.arange(6, 20)], SPECIAL)
    plan = alternating(4, masked=1.0, text=1.0).plan(little, 0, 0)
    assert sorted(plan[:, 0].tolist()) == [0] * 4 + [1] * 4


@pytest.mark.parametrize('make', [mixtures.Objective, alternation.Objective])
@pytest.mark.parametrize('other, left', [(ul2.Objective(64, architecture='decoder'), 250), (fill_in_the_middle.Objective(64), 250),
                                         (ul2.Objective(64, mode_tokens=False, architecture='decoder'), 256),
                                         (causal_lm.Objective(64), 256)])
def test_marks_of_a_member_are_no_sentinels_of_another(other, left, make):
    """Six of the 256 sentinels are marks: 256 spans do not fit beside a member that uses them, 250 do."""
    for noise, size, spans in (('spans', 1024, 256), ('spans', 1000, 250), ('rolled', 1021, 256), ('iid', 967, 256), ('iid', 939, 250)):
        holes = span_corruption.Objective(size, 0.5 if noise != 'iid' else 0.2, 3.0, noise, architecture='decoder')
        wrong = make(1024, (mixtures.Member('other', other), mixtures.Member('holes', holes))).problems(SPECIAL)
        assert [key.rpartition('.')[0] for key, _ in wrong] == ['objective.members.holes'] * (spans > left), (noise, size, wrong)
        assert all(f' {spans} spans' in text and f'tokenizer has {left} sentinels' in text for _, text in wrong)


def test_what_is_wrong_is_told_with_the_members_keys():
    wrong = mixtures.Objective(SIZE, (
        mixtures.Member('masked', masked_lm.Objective(SIZE, rate=2.0), 0.0), mixtures.Member('a-b', causal_lm.Objective(SIZE)),
        mixtures.Member('swapped', replaced_token_detection.Objective(SIZE)),
        mixtures.Member('later', permuted_lm.Objective(SIZE, 4)))).problems()
    keys = [key for key, _ in wrong]
    assert keys == ['objective.members.masked.weight', 'objective.members.masked.rate', 'objective.members', 'objective.members',
                    'objective.members.swapped.name', 'objective.members.later.name']
    assert "'a-b': expected a name" in wrong[2][1] and 'no model.architecture fits all of them: masked: encoder' in wrong[3][1]
    assert [key for key, _ in mixtures.Objective(SIZE).problems()] == ['objective.members']
    inner = mixtures.Objective(SIZE, (mixtures.Member('text', causal_lm.Objective(SIZE, 'flat')),))
    outer = alternation.Objective(SIZE, (mixtures.Member('both', inner),))
    assert outer.problems()[0][0] == 'objective.members.both.members.text.documents'
    random = dataclasses.replace(members(masked=1.0)[0].objective, random=0.5)
    (key, message), = mixtures.Objective(SIZE, (mixtures.Member('masked', random),)).problems()
    assert key == 'objective.members.masked.random' and 'objective.members.masked.mask + objective.members.masked.random = 1.3' in message
