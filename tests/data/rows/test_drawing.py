"""Samples of a plan: each unit is drawn equally often, strata keep their shares, stretches follow their memory."""
import numpy as np
import pytest

from data import objectives
from data.objectives import mixture
from data.rows import drawing

RNG = np.random.default_rng


def test_everything_is_the_plan_in_order():
    draw = drawing.everything(10, 4)
    assert draw.rows.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, -1, -1]] and draw.whole
    assert ((draw.units == 0) == (draw.rows >= 0)).all()


@pytest.mark.parametrize('count', [1, 5, 12, 40, 100])
def test_scattered_rows_are_proportional_without_repetition(count):
    groups = [np.arange(0, 30), np.arange(30, 37), np.arange(37, 39), np.arange(39, 40)]
    draw = drawing.scattered(groups, count, 4, RNG(0))
    rows, units = draw.rows[draw.rows >= 0], draw.units[draw.units >= 0]
    assert len(set(rows.tolist())) == len(rows) and sorted(units.tolist()) == list(range(len(rows)))
    for (drawn, total), group in zip(draw.strata, groups):
        assert drawn == np.isin(rows, group).sum() and total == len(group) and min(2, total) <= drawn <= total
        assert abs(drawn - count * total / 40) <= 1 or drawn in (2, total)
    owner = np.repeat(np.arange(4), [drawn for drawn, _ in draw.strata])
    assert all(row in groups[owner[unit]] for row, unit in zip(rows.tolist(), units.tolist()))


def test_every_row_is_drawn_equally_often():
    times = np.zeros(20)
    for seed in range(2000):
        times[drawing.scattered([np.arange(20)], 5, 5, RNG(seed)).rows] += 1
    assert np.abs(times - 500).max() < 4 * np.sqrt(2000 * 0.25 * 0.75)


def test_stretches_are_whole_and_behind_what_they_remember():
    used = np.ones((7, 4), bool)
    used[:, 3] = False                         # a row without a stream
    seen = set()
    for seed in range(50):
        draw = drawing.stretches(used, 3, 2, RNG(seed))
        assert draw.rows.shape == (5, 4) and draw.strata == ((4, 9),) and (draw.units[:2] == -1).all()
        for column in range(4):
            windows, counted = np.divmod(draw.rows[:, column], 4), draw.units[:, column]
            real = draw.rows[:, column] >= 0
            assert len(set(windows[1][real].tolist())) == 1 and windows[1][real][0] < 3
            times = windows[0][counted >= 0]
            assert times[0] % 3 == 0 and times.tolist() == list(range(times[0], min(times[0] + 3, 7)))
            before = windows[0][:2][real[:2]]
            assert before.tolist() == list(range(max(0, times[0] - 2), times[0]))
            seen.add((int(windows[1][real][0]), int(times[0])))
    assert len(seen) == 9


def test_an_alternation_draws_batches_of_each_member_as_it_draws_them_alone():
    """Blocks of four rows: the masked rows are scattered, the permuted ones, which remember, are a stretch."""
    permuted = objectives.load('permuted_lm')(sequence_length=16, batch_size=4, memory_length=8)
    kinds = {'masked': objectives.load('masked_lm')(16), 'permuted': permuted}
    one = objectives.load('alternation')(16, tuple(mixture.Member(name, kind) for name, kind in kinds.items()), 4)
    rows = np.full((80, 8), 0)
    rows[:, 0], rows[:, 1] = np.repeat(np.arange(20) % 2, 4), 6
    draw = one.draw(rows, 6, 4, RNG(0))
    assert draw.strata == ((12, 40), (4, 16))   # three batches of the one; of the other a stretch of three windows for each row
    assert draw.rows.shape == (3 + 1 + 3, 4) and (draw.units[3] == -1).all()
    masked = draw.rows[:3]
    assert (rows[masked, 0] == 0).all() and len(set(masked.ravel().tolist())) == 12
    windows = draw.rows[3:]
    assert (rows[windows[windows >= 0], 0] == 1).all()
    for column in windows.T:
        follow = column[column >= 0]
        assert (np.diff(follow) == 8).all()     # the permuted batches are every second one
