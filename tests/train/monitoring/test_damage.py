"""Damaged text files of a workdir: a resume keeps what is good, sets aside what is not and says what differs; never a traceback."""
import json
import random
import shutil

import pytest

from data import tokenizer
from train import report
from train.checkpoints import workdir
from train.monitoring import display, metrics, record
from train.settings import errors, parse

FILES = ('metrics.jsonl', 'samples.jsonl', 'environment.json', 'config.json')
STEP = 10


@pytest.fixture(scope='module')
def config():
    return parse.parse(['--config=configs/tiny.py', '--workdir=runs/x', '--config.model.vocab_size=384'], devices=False).config


@pytest.fixture(scope='module')
def original(tmp_path_factory, config):
    """(workdir of a run that was stopped at STEP, what its checkpoint knows of its lines)."""
    folder = tmp_path_factory.mktemp('original') / 'run'
    with display.Display(quiet=True) as screen:
        workdir.write(folder, config, None, 1234)
        with record.Record(folder, 0, screen) as written:
            for step in range(1, STEP + 1):
                written.metrics(step, {'train/loss': 1 / step, 'grad_norm': 1.0, 'eval/accuracy': 0.5})
                written.samples(step, [{'prompt': 'It was ', 'text': 'a dark “night” 曹操\n'}] * 2)
            return folder, written.written()


def mutated(data, draw):
    """The bytes with one random damage, or None for a missing file, or a folder in its place ('folder')."""
    at, lines = draw.randrange(len(data)), data.splitlines(keepends=True)
    line = draw.randrange(len(lines))
    junk = draw.choice([b'{}', b'17', b'[1, 2]', b'null', b'"text"', b'\xff\xfe\x00', b'[' * 5000, b'\0' * 100, b'{"step": 1e400}',
                        b'{"step": -1, "train/loss": "low"}', b'NaN', b'{"step": 3, "train/loss": 1e308}', b''])
    return draw.choice([
        lambda: data[:at], lambda: data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)]) + data[at + 1:],
        lambda: data[:at] + draw.randbytes(draw.randrange(1, 20)) + data[at:], lambda: data[:at] + data[at + draw.randrange(1, 50):],
        lambda: b''.join(lines[:line] + lines[line + 1:]), lambda: b''.join(lines[:line] + lines[line:line + 1] + lines[line:]),
        lambda: b''.join(lines[:line] + [junk + b'\n'] + lines[line:]), lambda: b''.join(lines[:line] + [junk + b'\n'] + lines[line + 1:]),
        lambda: data + junk, lambda: junk, lambda: data.decode().encode('utf-16'), lambda: b''.join(reversed(lines)),
        lambda: None, lambda: 'folder'])()


def resume(folder, config, written):
    """The notices of a run that goes on at STEP for one step; errors.Error if it is refused."""
    notices, screen = [], display.Display(quiet=True)
    screen.notice = notices.append
    notices += workdir.claim(folder, config) + workdir.write(folder, config, None, 1234)
    with record.Record(folder, STEP, screen, written=written) as goes_on:
        goes_on.metrics(STEP + 1, {'train/loss': 0.5})
        goes_on.samples(STEP + 1, [{'prompt': '', 'text': 'last'}])
    assert 'was not written' not in notices[-1]
    return notices[:-2]                       # without the sample and the report


def check(folder, original, config, seed, capsys):
    """Damages one or two files of a copy of `original` and resumes."""
    draw, (source, written) = random.Random(seed), original
    shutil.copytree(source, folder)
    damaged = {name: mutated((source / name).read_bytes(), draw) for name in draw.sample(FILES, draw.choice([1, 1, 2]))}
    for name, data in damaged.items():
        (folder / name).unlink()
        if data == 'folder':
            (folder / name).mkdir()
        elif data is not None:
            (folder / name).write_bytes(data)
    assert report.main([str(folder)]) in ((0,) if 'config.json' not in damaged else (0, 2, 3))
    assert 'Traceback' not in capsys.readouterr().err
    differs = [name for name, data in damaged.items() if data != (source / name).read_bytes()]
    try:
        notices = resume(folder, config, written)
    except errors.Error as error:
        assert 'config.json' in damaged and ('config.json' in str(error) or 'the run in' in str(error)), error
        return
    text = '\n'.join(notices)
    assert 'cannot be written' not in text
    for name in FILES[:2]:
        before, after = (source / name).read_bytes(), (folder / name).read_bytes()
        assert metrics.read(folder, name)[-1]['step'] == STEP + 1
        if name in text:
            assert name in differs            # no false alarm
        else:
            assert after.startswith(before)   # nothing is different without a word
        held = damaged.get(name)
        if isinstance(held, bytes):
            good = [line for line in held.splitlines() if line in before.splitlines()]
            assert set(good) <= set(after.splitlines())
        if f'{name} is damaged' in text or f'{name} cannot be read' in text:
            assert (folder / 'bad' / name).is_dir() if held == 'folder' else (folder / 'bad' / name).read_bytes() == held
    environment = json.loads((folder / 'environment.json').read_text())
    same = {**environment, 'sha256': 0} == {**json.loads((source / 'environment.json').read_text()), 'sha256': 0}
    assert same or 'environment.json' in text
    assert 'environment.json' not in text or 'environment.json' in differs
    if 'config.json' in damaged:
        assert json.loads((folder / 'config.json').read_text()) == parse.to_dict(config)


@pytest.mark.parametrize('seed', range(30))
def test_damage(tmp_path, original, config, capsys, seed):
    check(tmp_path / 'run', original, config, seed, capsys)


def test_a_run_without_its_checkpoints_says_that_it_begins_anew(tmp_path, original):
    shutil.copytree(original[0], tmp_path / 'run')
    notices, screen = [], display.Display(quiet=True)
    screen.notice = notices.append
    with record.Record(tmp_path / 'run', 0, screen) as anew:
        anew.metrics(1, {'train/loss': 0.5})
    for line, name in zip(notices, FILES[:2]):
        assert line == (f'{name} holds lines up to step {STEP}, but there is no checkpoint: the run begins anew; '
                        f'a copy as it was is in bad/{name}')
        assert (tmp_path / 'run' / 'bad' / name).read_bytes() == (original[0] / name).read_bytes()
    assert len(metrics.read(tmp_path / 'run')) == 1


DAMAGES = {'another': lambda file: tokenizer.Bytes(100).save(file.parent),
           'brackets': lambda file: file.write_text('[' * 200_000), 'empty': lambda file: file.write_text(''),
           'missing': lambda file: file.unlink(), 'folder': lambda file: (file.unlink(), file.mkdir()),
           'file': lambda file: (shutil.rmtree(file.parent), file.parent.write_text('x'))}


@pytest.mark.parametrize('damage', DAMAGES)
def test_a_damaged_tokenizer_is_written_anew(tmp_path, config, damage):
    right = tokenizer.Bytes()
    assert workdir.write(tmp_path, config, right, 1) == []
    DAMAGES[damage](tmp_path / 'tokenizer' / 'tokenizer.json')
    notice, = workdir.write(tmp_path, config, right, 1)
    assert notice.startswith('tokenizer is damaged (') and notice.endswith('), moved to bad/tokenizer; it is written anew')
    assert tokenizer.load(tmp_path / 'tokenizer').hash == right.hash and (tmp_path / 'bad' / 'tokenizer').exists()
    assert workdir.write(tmp_path, config, right, 1) == []


def test_a_checkpoint_says_whose_it_is():
    workdir.same({'tokenizer': 'ab' * 32, 'data': None}, '', tokenizer='ab' * 32, data='12' * 32, unknown='34' * 32)
    with pytest.raises(workdir.OtherData) as error:
        workdir.same({'tokenizer': 'ab' * 32}, 'Put it back.', tokenizer='cd' * 32)
    assert str(error.value) == ('the tokenizer has changed since this run was started: sha256 cdcdcdcdcdcd, '
                                'the checkpoint has abababababab. Put it back.')


@pytest.mark.slow
def test_more_damage(tmp_path, original, config, capsys):
    for seed in range(30, 530):
        check(tmp_path / str(seed), original, config, seed, capsys)
        shutil.rmtree(tmp_path / str(seed))
