"""metrics.jsonl: lines are appended, truncated on resume and read back, and a damaged line is named."""
import json

import pytest

from data import atomic
from train.monitoring import display, metrics, record


def test_lines_beyond_the_resumed_step_are_dropped_and_numbers_keep_full_precision(tmp_path):
    writer = metrics.Lines(tmp_path / 'metrics.jsonl')
    for step in range(1, 6):
        writer.write({'step': step, 'train/loss': 1 / (step + 2)})
    writer.close()
    writer = metrics.Lines(tmp_path / 'metrics.jsonl', step=3)
    writer.write({'step': 4, 'train/loss': 0.1 + 0.2})
    writer.close()
    assert metrics.read(tmp_path) == [{'step': s, 'train/loss': 1 / (s + 2)} for s in (1, 2, 3)] + [
        {'step': 4, 'train/loss': 0.30000000000000004}]


def test_a_line_cut_by_a_kill_is_left_out_and_replaced(tmp_path):
    (tmp_path / 'metrics.jsonl').write_text('{"step": 1, "train/loss": 2.0}\n{"step": 2, "train/lo')
    assert metrics.read(tmp_path) == [{'step': 1, 'train/loss': 2.0}]
    writer = metrics.Lines(tmp_path / 'metrics.jsonl', step=1)
    writer.write({'step': 2, 'train/loss': 1.5})
    writer.close()
    assert metrics.read(tmp_path) == [{'step': 1, 'train/loss': 2.0}, {'step': 2, 'train/loss': 1.5}]


def test_a_damaged_line_in_the_middle_is_an_error_that_loses_nothing(tmp_path):
    text = '{"step": 1, "train/loss": 2.0}\n{"step": 2, x\n{"step": 3, "train/loss": 1.0}\n'
    (tmp_path / 'metrics.jsonl').write_text(text)
    with pytest.raises(metrics.Damaged) as error:
        metrics.Lines(tmp_path / 'metrics.jsonl', step=3)
    assert str(error.value) == (
        f'{tmp_path}/metrics.jsonl:2: expected a JSON object, got Expecting property name enclosed in double quotes: '
                                'line 1 column 13 (char 12); mend or delete the line')
    assert (tmp_path / 'metrics.jsonl').read_text() == text


def test_not_a_number_is_written_as_plain_json(tmp_path):
    writer = metrics.Lines(tmp_path / 'metrics.jsonl')
    writer.write({'step': 1, 'train/loss': float('nan')})
    writer.close()
    assert json.loads((tmp_path / 'metrics.jsonl').read_text()) == {'step': 1, 'train/loss': None}


def test_parts_hold_the_same_lines_where_appending_is_impossible(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, 'local', lambda path: False)
    monkeypatch.setattr(metrics, 'PART_LINES', 2)
    lines = metrics.Lines(tmp_path / 'samples.jsonl')
    for step in range(1, 6):
        lines.write({'step': step, 'text': 'a\u2028b'})
    lines.close()
    assert len(list((tmp_path / 'samples.jsonl.parts').iterdir())) == 3
    lines = metrics.Lines(tmp_path / 'samples.jsonl', step=4)
    lines.write({'step': 5, 'text': 'again'})
    lines.close()
    assert [r['text'] for r in metrics.read(tmp_path, 'samples.jsonl')] == ['a\u2028b'] * 4 + ['again']


@pytest.mark.parametrize('name,expected', [('seconds', True), ('tokens_per_second', True), ('mfu', True), ('memory_peak', True),
                                           ('train/loss', False), ('step', False), ('learning_rate', False)])
def test_timed_fields(name, expected):
    assert metrics.timed(name) is expected


def test_process_seconds_grow():
    first = metrics.process_seconds()
    assert 0 < first <= metrics.process_seconds() < 24 * 3600


def test_tensorboard_events_hold_the_scalars(tmp_path):
    with record.Record(tmp_path, 0, display.Display(quiet=True), tensorboard=True) as written:
        written.metrics(1, {'train/loss': 2.5})
    events = b''.join(p.read_bytes() for p in (tmp_path / 'tensorboard').iterdir())
    assert b'train/loss' in events
