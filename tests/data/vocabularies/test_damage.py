"""A saved tokenizer in which one bit has changed is the same tokenizer, or one message: never another one, never a traceback."""
import json
import random

import pytest

from data import errors, tokenizer

TEXT = 'the quick brown fox jumps over the lazy dog. '


@pytest.fixture(scope='module', params=tokenizer.KINDS)
def saved(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp('saved')
    return tokenizer.train([TEXT * 100], request.param, 4096, folder), folder / 'tokenizer.json'


def loaded(path):
    """The tokenizer in a file, or None with a message about it of one line."""
    try:
        return tokenizer.load(path)
    except errors.DataError as error:
        assert str(path.parent) in str(error) and '\n' not in str(error) and ': expected ' in str(error)
        return None


def flipped(data, places):
    """The data with one bit changed, for each place in bits."""
    for place in places:
        copy = bytearray(data)
        copy[place // 8] ^= 1 << place % 8
        yield bytes(copy)


def test_one_bit_of_tokenizer_json(saved):
    tok, path = saved
    whole = path.read_bytes()
    places = range(len(whole) * 8)
    for data in flipped(whole, places if tok.kind == 'bytes' else random.Random(0).sample(places, 200)):
        path.write_bytes(data)
        found = loaded(path.parent)
        assert found is None or (found.hash, found.special, found.table) == (tok.hash, tok.special, tok.table)
    path.write_bytes(whole)


@pytest.mark.parametrize('change', [
    'x', {}, {'extra': 1}, {'pad': -1}, {'pad': 0.0}, {'pad': True}, {'vocab_size': '600'}, {'vocab_size': None}, {'sentinels': [1]},
    {'sentinels': None}, {'sentinels': [1e400, 3]}, {'vocab_size': 10**8}, {'vocab_size': 10**12}, {'mask': -7}, {'others': [10**9]},
    {'pad': 1, 'eos': 0}, {'vocab_size': 10**12, 'sentinels': [10**12 - 1, 300]}], ids=str)
def test_special_ids_of_another_kind(saved, change):
    _, path = saved
    whole = path.read_text()
    definition = json.loads(whole)
    special = {**definition['special'], **change} if isinstance(change, dict) and change else change
    path.write_text(json.dumps({**definition, 'special': special}))
    assert loaded(path.parent) is None
    path.write_text(whole)


@pytest.mark.parametrize('change', [{'kind': 'weird'}, {'kind': []}, {'hash': 5}, {'hash': None}, {'hash': 'a'}], ids=str)
def test_another_kind_or_hash(saved, change):
    _, path = saved
    whole = path.read_text()
    path.write_text(json.dumps({**json.loads(whole), **change}))
    assert loaded(path.parent) is None
    path.write_text(whole)


def test_one_bit_of_a_model(tmp_path):
    path = tmp_path / 'x.model'
    tokenizer.train([TEXT * 100], 'unigram', 620, tmp_path)
    whole = (tmp_path / 'tokenizer.model').read_bytes()
    (tmp_path / 'tokenizer.model').unlink()
    for data in flipped(whole, random.Random(0).sample(range(len(whole) * 8), 300)):
        path.write_bytes(data)
        if found := loaded(path):
            assert found.encode(TEXT).max() < found.vocab_size
