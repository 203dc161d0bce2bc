"""Names of files: each real file once, in an order that does not depend on the disk; what exists is meant as it is written."""
import os
import sys

import pytest

from data import errors
from data.text import locations, sources


def make(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())


def found(folder, *spec, format=None):
    paths, _ = locations.find(','.join(f'{folder}/{name}' for name in spec), format)
    return [str(path.relative_to(folder)) for path in paths]


def test_links_and_repeated_names_count_once(tmp_path):
    make(tmp_path / 'in', 'a.txt', 'deep/b.txt', 'deep/er/c.txt')
    for name in ('again', 'more', 'deep/up'):     # two links to a folder above: 2^40 names for a glob that follows them
        (tmp_path / 'in' / name).symlink_to(tmp_path / 'in')
    (tmp_path / 'in' / 'z.txt').symlink_to('a.txt')
    expected = ['in/a.txt', 'in/deep/b.txt', 'in/deep/er/c.txt']
    for spec in (['in/**/*.txt'], ['in'], ['in/**'], ['in/'], ['in', 'in/a.txt', 'in'], ['in/a.txt', 'in/z.txt', 'in/deep']):
        assert found(tmp_path, *spec) == expected, spec
    assert found(tmp_path, 'in/deep/*.txt', 'in/a.txt') == ['in/deep/b.txt', 'in/a.txt']     # names keep their order
    (tmp_path / 'linked').symlink_to('in/deep')
    assert found(tmp_path, 'linked') == ['linked/b.txt', 'linked/er/c.txt', 'linked/up/a.txt']


def test_hard_links_count_once_and_dangling_ones_are_named(tmp_path):
    make(tmp_path, 'in/a.txt', 'in/b.txt')
    os.link(tmp_path / 'in/a.txt', tmp_path / 'in/z.txt')
    assert found(tmp_path, 'in') == ['in/a.txt', 'in/b.txt'] and found(tmp_path, 'in/z.txt', 'in') == ['in/z.txt', 'in/b.txt']
    for target in ('gone.txt', 'link.txt'):       # nothing, and itself
        (tmp_path / 'in/link.txt').symlink_to(target)
        for spec in ('in', 'in/link.txt', 'in/*.txt'):
            with pytest.raises(errors.DataError, match=f'link.txt: expected a file, got a dangling link, to {target}; mend or delete it'):
                found(tmp_path, spec)
        (tmp_path / 'in/link.txt').unlink()


def test_what_exists_is_meant_as_it_is_written(tmp_path):
    make(tmp_path, 'data [v1]/a.txt', 'data [v1]/b.txt', 'a[1].txt', 'a1.txt', 'x*.txt', 'xy.txt', 'one,two.txt', 'a,b/c.txt')
    assert found(tmp_path, 'data [v1]/*.txt') == found(tmp_path, 'data [v1]') == ['data [v1]/a.txt', 'data [v1]/b.txt']
    assert found(tmp_path, 'a[1].txt') == ['a[1].txt'] and found(tmp_path, 'a[12].txt') == ['a1.txt']
    assert found(tmp_path, 'x*.txt') == ['x*.txt'] and found(tmp_path, 'x?.txt') == ['x*.txt', 'xy.txt']
    assert found(tmp_path, 'one,two.txt') == ['one,two.txt'] and found(tmp_path, 'a,b/*.txt') == found(tmp_path, 'a,b') == ['a,b/c.txt']
    assert found(tmp_path, 'a1.txt', 'xy.txt') == ['a1.txt', 'xy.txt'] and found(tmp_path, '*y.txt', 'a1.*') == ['xy.txt', 'a1.txt']


def test_relative_names_and_the_home_folder(tmp_path, monkeypatch):
    make(tmp_path, 'in/a.txt')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('HOME', str(tmp_path))
    names = ('in/a.txt', ' in/a.txt, in/*.txt ,', './in/*.txt', 'in', '*/a.txt', '**/*.txt', f'../{tmp_path.name[:-1]}?/in/*.txt',
             '~/in/a.txt', '~/*/a.txt')
    for spec in names:
        assert [os.path.samefile(path, 'in/a.txt') for path in locations.find(spec)[0]] == [True], spec


def test_a_folder_means_its_files_of_known_endings(tmp_path):
    make(tmp_path, 'in/b.jsonl.zst', 'in/a/wiki_00', 'in/a/x.csv', 'in/.hidden.txt', 'in/.git/x.txt', 'in/run.log')
    assert found(tmp_path, 'in') == ['in/a/x.csv', 'in/b.jsonl.zst']
    assert found(tmp_path, 'in', format='text') == ['in/a/wiki_00', 'in/a/x.csv', 'in/b.jsonl.zst', 'in/run.log']
    assert found(tmp_path, 'in/.hidden.txt') == ['in/.hidden.txt'] and found(tmp_path, 'in/.h*') == ['in/.hidden.txt']


def test_one_line_says_what_was_found(tmp_path):
    make(tmp_path, 'in/a.txt', 'in/b.txt', 'in/c.txt', 'in/c.log', 'alone/a.txt')

    def told(name):
        return [line.replace(str(tmp_path), 'FOLDER') for line in sources.open(f'{tmp_path}/{name}').listing()]
    assert told('in/*.txt') == ['FOLDER/in/*.txt: 3 files, FOLDER/in/a.txt to FOLDER/in/c.txt']
    assert told('in') == ['FOLDER/in: 3 files, FOLDER/in/a.txt to FOLDER/in/c.txt',
                          'FOLDER/in: left out 1 of other endings, such as FOLDER/in/c.log; data.format takes them all']
    assert told('alone') == ['FOLDER/alone: 1 file, FOLDER/alone/a.txt'] and told('in/a.txt') == []
    assert sources.open('bundled:sotu').listing() == []


def test_bundled_names_count_once():
    assert sources.open('bundled:sanguo,sanguo').fingerprint == sources.open('bundled:sanguo').fingerprint


def test_pipes_are_refused(tmp_path):
    os.mkfifo(tmp_path / 'a.txt')
    with pytest.raises(errors.DataError, match='expected a file, got a pipe or a device, which is read only once'):
        locations.find(str(tmp_path / 'a.txt'))


@pytest.mark.skipif(os.geteuid() == 0, reason='nothing is forbidden to root')
def test_a_forbidden_folder(tmp_path):
    make(tmp_path, 'in/a.txt')
    (tmp_path / 'in').chmod(0)
    with pytest.raises(errors.DataError, match='expected a readable file, got Permission denied'):
        locations.find(str(tmp_path / 'in'))


@pytest.mark.parametrize('spec, package, message', [
    ('https://example.com/a.txt', None, 'expected a path of this machine, gs://, s3://, az://, got https://; download it first'),
    ('hf://datasets/a/b.txt', None, 'expected a path of this machine, gs://, s3://, az://, got hf://; download it first: '
     'hf download NAME --local-dir=FOLDER (a dataset: --repo-type=dataset)'),
    *((spec, None, f'expected a path of this machine, gs://, s3://, az://, got {scheme}://; download it first') for spec, scheme in (
        ('a.txt, https://example.com/a.txt', 'https'), (' https://example.com/a.txt', 'https'), ('://x', ''), ('a.txt,://x', ''),
        ('S3://bucket/a.txt', 'S3'), ('zip://a.zip!b', 'zip'))),
    ('a.txt, gs://bucket/*.txt', 'gcsfs', 'expected the package gcsfs, which opens gs://, got none; pip install gcsfs '
     '(there are gs://, s3://, az://)'),
    ('file:///tmp/a.txt', None, 'expected a path of this machine, gs://, s3://, az://, got file://; write the path alone'),
    ('gs://bucket/*.txt', 'gcsfs', 'expected the package gcsfs, which opens gs://, got none; pip install gcsfs '
     '(there are gs://, s3://, az://)'),
    ('s3://bucket/a.txt', 's3fs', 'expected the package s3fs, which opens s3://, got none; pip install s3fs '
     '(there are gs://, s3://, az://)')])
def test_schemes(monkeypatch, spec, package, message):
    """Without a connection: opening one fails the test."""
    import socket
    monkeypatch.setattr(socket, 'socket', None)
    monkeypatch.setattr(socket, 'getaddrinfo', None)
    monkeypatch.setattr(sys, 'path', [])          # where packages would be found
    sys.path_importer_cache.clear()
    assert package not in sys.modules
    with pytest.raises(errors.DataError) as caught:
        sources.open(spec)
    assert str(caught.value) == f'{spec.strip()}: {message}'
