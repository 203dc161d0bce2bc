"""A manifest notices every changed byte, in any file and in itself, and says what is wrong."""
import hashlib
import json
import os
import pathlib
import subprocess
import sys

import pytest

from data import atomic
from train.checkpoints import manifest

ROOT = pathlib.Path(__file__).resolve().parents[3]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a' / 'x').write_bytes(bytes(range(100)))
    (tmp_path / 'b').write_bytes(b'')
    manifest.write(tmp_path, {'step': 3, 'loss': 0.1, 'shape': (2, 3)})
    return tmp_path


def test_holds_size_and_sha256_of_every_file_and_the_extra(folder):
    body = json.loads((folder / 'manifest.json').read_text())
    assert body['files'] == {'a/x': '100 ' + hashlib.sha256(bytes(range(100))).hexdigest(),
                             'b': '0 ' + hashlib.sha256(b'').hexdigest()}
    assert body['extra'] == {'step': 3, 'loss': 0.1, 'shape': [2, 3]}
    assert manifest.check(folder) == []
    assert sorted(entry.name for entry in folder.iterdir()) == ['a', 'b', 'manifest.json']


def test_reads_files_larger_than_a_block(folder):
    data = bytes(range(256)) * 4096 + b'end'
    (folder / 'b').write_bytes(data)
    manifest.write(folder, None)
    assert manifest.read(folder)['files']['b'] == f'{len(data)} {hashlib.sha256(data).hexdigest()}' and manifest.check(folder) == []


def test_says_what_is_wrong(folder):
    x = folder / 'a' / 'x'
    x.write_bytes(bytes(range(99)))
    assert manifest.check(folder) == ['a/x: 99 bytes instead of 100']
    x.write_bytes(bytes(range(1, 101)))
    assert manifest.check(folder) == [
        f'a/x: content changed (sha256 {hashlib.sha256(bytes(range(1, 101))).hexdigest()[:12]} instead of '
        f'{hashlib.sha256(bytes(range(100))).hexdigest()[:12]})']
    x.unlink()
    (folder / 'c').write_text('new')
    assert manifest.check(folder) == ['a/x: missing', 'c: not in the manifest']
    (folder / 'manifest.json').unlink()
    assert manifest.check(folder) == ['manifest.json: missing']
    assert manifest.check(folder / 'nowhere') == ['manifest.json: missing']


def test_a_file_that_cannot_be_read_is_a_problem(folder, monkeypatch):
    def broken(file, sync=False):
        raise OSError(5, 'Input/output error')
    monkeypatch.setattr(manifest, '_digest', broken)
    assert manifest.check(folder) == ['a/x: unreadable (Input/output error)', 'b: unreadable (Input/output error)']


def test_every_changed_byte_of_the_manifest_itself_is_noticed(folder):
    file = folder / 'manifest.json'
    good = file.read_bytes()
    for i in range(len(good)):
        file.write_bytes(good[:i] + bytes([good[i] ^ 0xff]) + good[i + 1:])
        assert manifest.check(folder) == ['manifest.json: content changed'], i
    for other in (good + b'\n', good[:-1], good.replace(b'  ', b'   '), good.replace(b'"step": 3', b'"step": 4'),
                  b'', b'{}', b'[1]', b'null', good[:len(good) // 2]):
        file.write_bytes(other)
        assert manifest.check(folder) == ['manifest.json: content changed']
    file.write_bytes(good)
    assert manifest.check(folder) == []


def test_no_rename_where_there_is_none(tmp_path, monkeypatch):
    def never(*_):
        raise AssertionError('not on an object store')
    monkeypatch.setattr(atomic, 'local', lambda _: False)
    for name in ('replace', 'rename', 'fsync'):
        monkeypatch.setattr(os, name, never)
    (tmp_path / 'x').write_text('1')
    manifest.write(tmp_path, {})
    assert manifest.check(tmp_path) == []


def test_needs_no_jax():
    modules = 'train.checkpoints.manifest, train.checkpoints.folders, train.parallel.processes, train.reliability.signals'
    code = f'import sys; import {modules}; assert "jax" not in sys.modules'
    assert subprocess.run([sys.executable, '-c', code], cwd=ROOT, timeout=60).returncode == 0
