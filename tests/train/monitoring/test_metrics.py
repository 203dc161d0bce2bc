"""metrics.jsonl: lines are appended, truncated on resume and read back, and a damaged line is named."""
import json

import pytest

from data import atomic
from train.monitoring import appended, metrics


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


DAMAGED = [                                   # bytes of line 2 of 3, what a notice says that it is
    (b'{"step": 2, x', 'Expecting property name enclosed in double quotes: line 1 column 13 (char 12)'),
    (b'{}', "'{}'"), (b'17', "'17'"), (b'[2, 3]', "'[2, 3]'"), (b'{"step": true}', "'{\"step\": true}'"),
    (b'{"step": 2, "train/loss": [1]}', '\'{"step": 2, "train/loss": [1]}\''),
    (b'{"step": 2, "train/loss": 1' + b'0' * 30 + b'}', '\'{"step": 2, "train/loss": 1000000000000000000000000000000}\''),
    (b'\xff\xfe', "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
    (b'[' * 100_000, 'nesting too deep'),
]


@pytest.mark.parametrize('line, came', DAMAGED)
def test_a_damaged_line_is_set_aside_and_the_others_stay(tmp_path, line, came):
    good = [b'{"step": 1, "train/loss": 2.0}\n', b'{"step": 3, "train/loss": 1.0}\n']
    (tmp_path / 'metrics.jsonl').write_bytes(line.join([good[0], b'\n' + good[1]]))
    summary = f'metrics.jsonl is damaged, line 2: expected a JSON object with a step, got {came}; the 2 good lines are kept'
    notices = []
    assert [record['step'] for record in metrics.read(tmp_path, notice=notices.append)] == [1, 3]
    writer = metrics.Lines(tmp_path / 'metrics.jsonl', 3, notice=notices.append)
    writer.close()
    assert notices == [summary, f'{summary}; a copy as it was is in bad/metrics.jsonl']
    assert (tmp_path / 'metrics.jsonl').read_bytes() == b''.join(good)
    assert (tmp_path / 'bad' / 'metrics.jsonl').read_bytes() == good[0] + line + b'\n' + good[1]


def test_a_folder_in_the_place_of_the_file_is_moved_aside(tmp_path):
    (tmp_path / 'metrics.jsonl').mkdir()
    (tmp_path / 'metrics.jsonl' / 'kept').touch()
    notices = []
    writer = metrics.Lines(tmp_path / 'metrics.jsonl', 3, notice=notices.append)
    writer.write({'step': 4})
    writer.close()
    assert metrics.read(tmp_path) == [{'step': 4}] and (tmp_path / 'bad' / 'metrics.jsonl' / 'kept').exists()
    assert notices == ['metrics.jsonl cannot be read (Is a directory); a copy as it was is in bad/metrics.jsonl']


def changed(lines, change):
    lines = list(lines)
    change(lines)
    return lines


@pytest.mark.parametrize('change, notice', [
    (lambda lines: None, None),
    (lambda lines: lines.__delitem__(1), 'metrics.jsonl holds 3 of the 4 lines that were written up to step 3'),
    (lambda lines: lines.clear(), 'metrics.jsonl holds 0 of the 4 lines that were written up to step 3'),
    (lambda lines: lines.__setitem__(0, lines[0].replace('1.5', '1.6')),
     'metrics.jsonl was changed: it does not hold the 4 lines that were written up to step 3'),
    (lambda lines: lines.reverse(), 'metrics.jsonl was changed: it does not hold the 4 lines that were written up to step 3'),
    (lambda lines: lines.insert(0, lines[0]), 'metrics.jsonl was changed: it does not hold the 4 lines that were written up to step 3'),
])
def test_a_resume_notices_what_was_deleted_or_changed_since_the_checkpoint(tmp_path, change, notice):
    writer, notices = metrics.Lines(tmp_path / 'metrics.jsonl'), []
    for step in range(4):
        writer.write({'step': step, 'train/loss': step + 1.5})
    written = writer.written()
    writer.write({'step': 3, 'text': 'of the same step, after the checkpoint'})
    writer.write({'step': 4})
    writer.close()
    lines = (tmp_path / 'metrics.jsonl').read_text().splitlines()
    (tmp_path / 'metrics.jsonl').write_text(''.join(f'{line}\n' for line in changed(lines[:4], change) + lines[4:] * (notice is None)))
    metrics.Lines(tmp_path / 'metrics.jsonl', 3, written, notices.append).close()
    assert notices == [notice] * (notice is not None)


def test_not_a_number_is_written_as_plain_json(tmp_path):
    writer = metrics.Lines(tmp_path / 'metrics.jsonl')
    writer.write({'step': 1, 'train/loss': float('nan')})
    writer.close()
    assert json.loads((tmp_path / 'metrics.jsonl').read_text()) == {'step': 1, 'train/loss': None}


def test_parts_hold_the_same_lines_where_appending_is_impossible(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, 'local', lambda path: False)
    monkeypatch.setattr(appended, 'PART_LINES', 2)
    lines = metrics.Lines(tmp_path / 'samples.jsonl')
    for step in range(1, 6):
        lines.write({'step': step, 'text': 'a\u2028b'})
    lines.close()
    assert len(list((tmp_path / 'samples.jsonl.parts').iterdir())) == 3
    lines = metrics.Lines(tmp_path / 'samples.jsonl', step=4)
    lines.write({'step': 5, 'text': 'again'})
    lines.close()
    assert [r['text'] for r in metrics.read(tmp_path, 'samples.jsonl')] == ['a\u2028b'] * 4 + ['again']


def test_objects_of_a_store_that_cannot_be_read_now_are_not_deleted(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, 'local', lambda path: False)
    parts = tmp_path / 'metrics.jsonl.parts'
    (parts / '0000.00000000.jsonl').mkdir(parents=True)          # reading it fails
    notices = []
    lines = metrics.Lines(tmp_path / 'metrics.jsonl', 3, notice=notices.append)
    lines.write({'step': 4})
    lines.close()
    assert metrics.read(tmp_path) == [{'step': 4}] and len(list(parts.iterdir())) == 2
    assert notices == ['metrics.jsonl cannot be read (Is a directory); its objects are left as they are']


@pytest.mark.parametrize('name,expected', [('seconds', True), ('tokens_per_second', True), ('mfu', True), ('memory_peak', True),
                                           ('train/loss', False), ('step', False), ('learning_rate', False)])
def test_timed_fields(name, expected):
    assert metrics.timed(name) is expected


def test_process_seconds_grow():
    first = metrics.process_seconds()
    assert 0 < first <= metrics.process_seconds() < 24 * 3600
