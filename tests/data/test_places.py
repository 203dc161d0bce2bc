"""Where a name leads: no scheme that nothing opens, no home folder that is not there, and one sentence for each."""
import os
import pathlib

import pytest

from data import corpus, errors, places, tokenizer
from train.parallel import platform
from train.settings import schema

HOME = 'expected the home folder of ~nobody-here, got none; write the path in full, or ./~nobody-here/x for that name in this folder'
UNKNOWN = 'expected a path of this machine, gs://, s3://, az://, got {}://; download it first'
NOWHERE = {'~nobody-here/x': HOME, 'https://b/x': UNKNOWN.format('https'), 'a.txt, x://b/x': UNKNOWN.format('x'),
           'a b://x': UNKNOWN.format('a b'), '://x': UNKNOWN.format(''),
           's3://b/x': 'expected the package s3fs, which opens s3://, got none; pip install s3fs (there are gs://, s3://, az://)'}


@pytest.fixture(autouse=True)
def packages(monkeypatch):
    """Of the packages that open a scheme, gcsfs alone is there."""
    monkeypatch.setattr('importlib.util.find_spec', lambda name: name == 'gcsfs' or None)


@pytest.mark.parametrize('location, text', NOWHERE.items())
def test_nowhere(location, text):
    assert places.wrong(location) == text
    with pytest.raises(errors.DataError) as caught:
        places.path(location)
    assert str(caught.value) == f'{location}: {text}'


@pytest.mark.parametrize('location, path', [
    ('~', '/users/me'), ('~/x', '/users/me/x'), ('./~nobody-here', os.path.abspath('~nobody-here')), ('a/~b', 'a/~b'),
    ('a:b', 'a:b'), ('', '.'), (pathlib.Path('~/x'), '/users/me/x')])
def test_here(location, path, monkeypatch):
    monkeypatch.setenv('HOME', '/users/me')
    assert places.wrong(location) is None and places.path(location) == pathlib.Path(path)


def test_a_scheme_whose_package_is_there():
    assert str(places.path('gs://b/x')) == 'gs://b/x'


@pytest.mark.parametrize('settings', ['data.train', 'data.eval', 'data.cache', 'tokenizer.path'])
@pytest.mark.parametrize('location', ['~nobody-here/x', 's3://b/x', 'https://b/x'])
def test_settings(settings, location, tmp_path):
    found = {'data.cache': str(tmp_path), 'tokenizer.kind': 'bytes', settings: location}
    config = schema.build(schema.Config, found)
    with pytest.raises(errors.DataError) as caught:
        corpus.open(config.data, config.tokenizer, str)
    local = 'expected a local folder for the token cache, which is memory-mapped; set data.cache'
    assert str(caught.value) == f'{location}: {local if settings == "data.cache" and "://" in location else NOWHERE[location]}'


def test_a_process_without_a_home(monkeypatch):
    """A container may run under a user that has no entry and no HOME."""
    monkeypatch.setattr('os.path.expanduser', lambda path: path)
    for call in (lambda: platform.prepare({}), lambda: tokenizer.load('~/x')):
        with pytest.raises(errors.DataError, match='expected the home folder of ~, got none; write the path in full'):
            call()
    platform.prepare({'JAX_COMPILATION_CACHE_DIR': '/x'})
