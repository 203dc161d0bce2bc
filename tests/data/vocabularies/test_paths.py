"""tokenizer.path: a file that is named is what is loaded, or the subject of an error; a folder is searched in one order."""
import json
import shutil

import pytest

from data import errors, tokenizer
from tests.data.vocabularies.test_huggingface_tokenizers import lay, STORED

DEEP = '[' * 100_000 + ']' * 100_000
SIZES = {'bert': 1200, 'gpt2': 1000}


@pytest.fixture
def folder(tmp_path):
    """A folder with vocab.txt (BERT's) and a tokenizer.json (GPT-2's) under another name, and files that are no tokenizers."""
    folder = tmp_path / 'FOLDER'
    lay('bert', folder)
    lay('gpt2_json', tmp_path / 'other')
    shutil.copyfile(tmp_path / 'other' / 'tokenizer.json', folder / 'mine.json')
    shutil.copyfile(folder / 'vocab.txt', folder / 'pieces.txt')
    shutil.copyfile(STORED / 't5.model', folder / 'spiece.model')
    (folder / 'broken.json').write_text('{"model": ')
    (folder / 'deep.json').write_text(DEEP)
    (folder / 'other.json').write_text('{"some": "thing"}')
    (folder / 'data.bin').write_bytes(b'\0')
    (folder / 'cut.model').write_bytes(b'\0\1\2')
    return folder


@pytest.mark.parametrize('name, like', [('vocab.txt', 'bert'), ('pieces.txt', 'bert'), ('mine.json', 'gpt2')])
def test_the_file_that_is_named_is_loaded(folder, name, like):
    assert tokenizer.load(folder / name).vocab_size == SIZES[like]


def test_a_model_file_is_loaded_by_its_class_or_by_itself(folder):
    (folder / 'tokenizer_config.json').write_text('{"tokenizer_class": "T5Tokenizer"}')
    assert tokenizer.load(folder / 'spiece.model').kind == 'huggingface'
    for name in ('tokenizer_config.json', 'config.json'):
        (folder / name).unlink(missing_ok=True)
    assert tokenizer.load(folder / 'spiece.model').kind == 'sentencepiece'


def test_vocab_json_beside_a_tokenizer_json(tmp_path):
    lay('gpt2', tmp_path)
    (tmp_path / 'tokenizer.json').write_text('{"broken')
    for name in ('vocab.json', 'merges.txt'):
        assert tokenizer.load(tmp_path / name).vocab_size == SIZES['gpt2']


def test_files_of_our_own_folders(tmp_path):
    tok = tokenizer.train(['It was the best of times'], 'bpe', 800, tmp_path, sentinels=300)
    for name in ('', 'tokenizer.json', 'tokenizer.model'):
        assert tokenizer.load(tmp_path / name).hash == tok.hash


FORMATS = 'tokenizer.json, a SentencePiece .model, vocab.txt, or vocab.json with merges.txt'


@pytest.mark.parametrize('name, message', [
    ('broken.json', 'FOLDER/broken.json: expected JSON, got Expecting value: line 1 column 11 (char 10)'),
    ('deep.json', 'FOLDER/deep.json: expected JSON, got nesting too deep'),
    ('other.json', 'FOLDER/other.json: expected a model with a vocab, got none'),
    ('data.bin', f'FOLDER/data.bin: expected {FORMATS}, got another file; check tokenizer.path'),
    ('config.json', f'FOLDER/config.json: expected {FORMATS}, got another file; check tokenizer.path'),
    ('missing.json', f'FOLDER/missing.json: expected {FORMATS}, or a folder with one, got none; check tokenizer.path'),
    ('missing/folder', f'FOLDER/missing/folder: expected {FORMATS}, or a folder with one, got none; check tokenizer.path')])
def test_an_error_about_the_file_that_is_named(folder, name, message):
    (folder / 'config.json').write_text('{}')
    with pytest.raises(errors.DataError) as caught:
        tokenizer.load(folder / name)
    assert str(caught.value).replace(str(folder.parent) + '/', '') == message


def test_a_folder_without_or_with_several_and_a_damaged_model(folder, tmp_path):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'two').mkdir()
    for name in ('a.model', 'b.model'):
        shutil.copyfile(STORED / 't5.model', tmp_path / 'two' / name)
    (folder / 'config.json').unlink(missing_ok=True)
    (folder / 'tokenizer_config.json').unlink(missing_ok=True)
    for path, got in ((tmp_path / 'empty', 'none; check tokenizer.path'), (tmp_path / 'two', 'a.model, b.model; check tokenizer.path'),
                      (folder / 'cut.model', '3 bytes that are none')):
        with pytest.raises(errors.DataError) as caught:
            tokenizer.load(path)
        assert str(caught.value).startswith(f'{path}: expected ') and str(caught.value).endswith(f'got {got}')


def test_a_saved_folder_whose_tokenizer_json_is_nested_too_deep(tmp_path):
    tokenizer.train(['It was the best of times'], 'bpe', 800, tmp_path)
    for text in (DEEP, json.dumps([]), '{'):
        (tmp_path / 'tokenizer.json').write_text(text)
        with pytest.raises(errors.DataError, match='tokenizer.json: expected '):
            tokenizer.load(tmp_path)


VOCAB = '[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\nfox\n'


def test_a_byte_order_mark_is_no_part_of_the_first_piece(tmp_path):
    for name, encoding in (('plain', 'utf-8'), ('marked', 'utf-8-sig')):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'vocab.txt').write_text(VOCAB, encoding=encoding)
    plain, marked = (tokenizer.load(tmp_path / name) for name in ('plain', 'marked'))
    assert plain.hash == marked.hash and marked.special.pad == 0


@pytest.mark.parametrize('roles, wrong', [
    ({}, None), ({'pad_token': '[SEP]'}, None), ({'pad_token': '[SEP]', 'eos_token': '[SEP]', 'bos_token': '[SEP]'}, None),
    ({'cls_token': '[SEP]'}, None), ({'pad_token': '[UNK]'}, None), ({'pad_token': '[MASK]'}, 'pad'), ({'eos_token': '[MASK]'}, 'eos'),
    ({'cls_token': '[MASK]'}, 'cls'), ({'sep_token': '[MASK]'}, 'sep'), ({'bos_token': '[MASK]'}, 'bos'), ({'mask_token': '[PAD]'}, 'pad'),
    ({'mask_token': '[UNK]'}, 'unk')])
def test_the_mask_has_no_other_role(tmp_path, roles, wrong):
    """Others may share a token, as in GPT-2, where one is all of them."""
    (tmp_path / 'vocab.txt').write_text(VOCAB)
    (tmp_path / 'tokenizer_config.json').write_text(json.dumps(roles))
    if wrong is None:
        assert tokenizer.load(tmp_path).special.mask == 4
        return
    name = roles.get('mask_token', '[MASK]')
    with pytest.raises(errors.DataError) as caught:
        tokenizer.load(tmp_path)
    assert str(caught.value) == (f"{tmp_path}: expected a token for the mask alone, got '{name}' as mask and as {wrong}; "
                                 f'set {wrong}_token or mask_token in tokenizer_config.json')
