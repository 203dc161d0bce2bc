"""A vocabulary that cannot spell what its format promises is told at import; one that promises nothing, or keeps it, is not."""
import json

import pytest

from data import errors, tokenizer
from data.vocabularies import losses
from tests.data.vocabularies.test_huggingface_tokenizers import KNOWN, lay
from tests.helpers import huggingface_tokenizers as published
from train import convert


def without(*letters):
    def change(model):
        model['vocab'] = {piece: i for piece, i in model['vocab'].items() if piece[0] == '<' or not set(letters) & set(piece)}
        model['merges'] = [pair for pair in model['merges'] if not set(letters) & set(''.join(pair))]
    return change


# {what: (change of the model in a byte-level tokenizer.json, the notice)}
CHANGES = {
    'nothing': (lambda model: None, None),
    'a letter': (without('h'), "the vocabulary lacks 'h': 1 of the 243 bytes of UTF-8. A text loses every character that has one of them"),
    'a space and a byte of other letters': (without('\u0120', '\u00e9'), 'the vocabulary lacks 0x20, 0xE9: 2 of the 243 bytes of UTF-8'),
    'bytes that no text has': (without('\u00c0', '\u00ff'), None),
    'most bytes': (without(*'abcdefghijklm'), "'i', 'j', ...: 13 of the 243"),
    'the inside of words': (lambda model: model.update(continuing_subword_prefix='##', merges=[]), "comes back as 'a'"),
}


@pytest.mark.parametrize('name', CHANGES)
def test_bytes_and_texts_that_are_lost(name, tmp_path):
    change, says = CHANGES[name]
    lay('gpt2_json', tmp_path)
    pipeline = json.loads((tmp_path / 'tokenizer.json').read_text(encoding='utf-8'))
    change(pipeline['model'])
    (tmp_path / 'tokenizer.json').write_text(json.dumps(pipeline), encoding='utf-8')
    found = list(losses.notices(tokenizer.load(tmp_path)))
    assert len(found) == bool(says) and all(says in line for line in found)


@pytest.mark.parametrize('case', KNOWN['cases'])
def test_published_vocabularies_lose_nothing_that_they_promise(case, tmp_path):
    assert list(losses.notices(tokenizer.load(lay(case, tmp_path)))) == []


def test_two_pieces_of_one_id_are_refused(tmp_path):
    lay('gpt2_json', tmp_path)
    pipeline = json.loads((tmp_path / 'tokenizer.json').read_text(encoding='utf-8'))
    pipeline['model']['vocab']['zz'] = 5
    (tmp_path / 'tokenizer.json').write_text(json.dumps(pipeline), encoding='utf-8')
    with pytest.raises(errors.DataError, match="expected one piece for each id, got .* and 'zz' for 5; give one of them another id"):
        tokenizer.load(tmp_path)


def test_an_import_tells(tmp_path, capsys):
    folder = published.write('gpt2', tmp_path / 'hf', 300)
    vocab = json.loads((folder / 'vocab.json').read_text())
    del vocab['h']
    (folder / 'vocab.json').write_text(json.dumps(vocab))
    assert convert.main(['import', f'--hf={folder}', f'--out={tmp_path}/out']) == 0
    assert f"{folder}: the vocabulary lacks 'h': 1 of the 243 bytes" in capsys.readouterr().err
