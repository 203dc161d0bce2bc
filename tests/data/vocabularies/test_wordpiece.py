"""WordPiece that is trained here: what the trainer of `tokenizers` makes, the same in every process, saved, exported, loaded."""
import json
import subprocess
import sys

import numpy as np
import pytest

from data import corpus, tokenizer
from data.text import sources
from data.vocabularies import export, wordpiece
from tests.data.test_tokenizer import novel
from train.settings import schema


@pytest.fixture(scope='module')
def tok():
    return tokenizer.train([novel(200_000)], 'wordpiece', 1500)


def test_layout(tok):
    special = tok.special
    assert [special.pad, special.cls, special.sep, special.mask, *special.others] == [0, 2, 3, 4, 1]
    assert (special.eos, special.bos) == (3, 2) and special.sentinels == (1499, 1500 - 256) and tok.vocab_size == 1500
    assert [tok.piece(i) for i in (0, 1, 2, 3, 4, 1499)] == ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', '<extra_0>']
    assert not tok.lossless


def test_words_and_pieces_as_berts(tok):
    text = 'Emma Woodhouse, handsome\nand  clever.'
    assert tok.decode(tok.encode(text)) == 'Emma Woodhouse, handsome and clever.'
    pieces = json.loads(tok.originals['tokenizer.json'])['model']['vocab']
    ids, rest = [], 'unhandsomely'
    while rest:                                 # the longest piece first, as in BERT's WordpieceTokenizer
        prefix = '##' if ids else ''
        length = next(n for n in range(len(rest), 0, -1) if prefix + rest[:n] in pieces)
        ids.append(pieces[prefix + rest[:length]])
        rest = rest[length:]
    assert tok.encode('unhandsomely').tolist() == ids and len(ids) > 2
    assert tok.words(np.array(ids)).tolist() == [True] + [False] * (len(ids) - 1)
    assert tok.encode('\u4e09').tolist() == [1]


def test_the_pieces_are_those_of_the_packages_own_trainer(tok):
    """The same text through its normal interface: only the last merges differ, where rare pairs are equally frequent."""
    from tokenizers import implementations
    other = implementations.BertWordPieceTokenizer(lowercase=False, strip_accents=False)
    other.train_from_iterator([novel(200_000)], vocab_size=1500 - 256, show_progress=False)
    theirs, mine = set(other.get_vocab()), set(json.loads(tok.originals['tokenizer.json'])['model']['vocab'])
    assert len(theirs & mine) / len(theirs) > 0.98


def test_training_is_deterministic_in_another_process(tok):
    program = ("from data import tokenizer; from tests.data.test_tokenizer import novel\n"
               "print(tokenizer.train([novel(200_000)], 'wordpiece', 1500).hash)")
    for threads in ('false', 'true'):
        run = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=True, cwd=sources.CORPORA.parents[1],
                             env={'TOKENIZERS_PARALLELISM': threads, 'PATH': '/bin:/usr/bin'})
        assert run.stdout == tok.hash + '\n' and run.stderr == ''


def test_save_load_and_export(tok, tmp_path):
    tok.save(tmp_path / 'own')
    again = tokenizer.load(tmp_path / 'own')
    assert again.hash == tok.hash and again.special == tok.special
    assert export.save(again, tmp_path / 'out') == ['tokenizer.json', 'tokenizer_config.json']
    from tokenizers import Tokenizer
    theirs, text = Tokenizer.from_file(str(tmp_path / 'out' / 'tokenizer.json')), 'Emma said: "No," and left.'
    ids = tok.encode(text).tolist()
    assert theirs.encode(text, add_special_tokens=False).ids == tokenizer.load(tmp_path / 'out').encode(text).tolist() == ids
    assert theirs.encode(text, 'No').ids == [2, *ids, 3, *tok.encode('No'), 3]
    assert tokenizer.load(tmp_path / 'out').special == tok.special


def test_a_long_line_without_spaces_is_cut_and_not_lost():
    line = 'สวัสดีครับผมชื่อสมชาย' * 40
    tok = tokenizer.train([line], 'wordpiece', 700)
    assert tok.decode(tok.encode(line)) == line


def test_characters_that_are_always_words_may_fill_the_vocabulary():
    """Of Chinese characters no longer pieces are made; of those that join to words half of the room is left for longer ones."""
    chinese = ''.join(map(chr, range(0x4E00, 0x4E00 + 400)))
    assert tokenizer.train([chinese], 'wordpiece', 5 + 256 + 300).vocab_size == 5 + 256 + 300
    joined = ' '.join(chr(0xAC00 + i) + chr(0xAC00 + i + 1) for i in range(0, 400))
    vocab = json.loads(wordpiece.train([joined * 2], 5 + 256 + 300, 256)['tokenizer.json'])['model']['vocab']
    assert sum(len(piece.removeprefix('##')) == 1 for piece in vocab) <= 150 < sum(len(piece) == 2 for piece in vocab) + 100


def test_the_command_and_the_setting(tmp_path, capsys):
    (tmp_path / 'text.txt').write_text(novel(50_000), encoding='utf-8')
    arguments = ['train', f'--input={tmp_path}/text.txt', '--kind=wordpiece', '--vocab_size=800', f'--out={tmp_path}/made']
    assert tokenizer.main(arguments) == 0 and '800 ids' in capsys.readouterr().out
    made, said = tokenizer.load(tmp_path / 'made'), []
    data = schema.Data(train=f'{tmp_path}/text.txt', cache=str(tmp_path / 'cache'), eval_fraction=0.0)
    found = corpus.open(data, schema.Tokenizer(kind='wordpiece', vocab_size=800), said.append)
    assert found.tokenizer.hash == made.hash and said == []


def test_text_that_the_vocabulary_does_not_know_is_told(tmp_path):
    text = novel(20_000)
    (tmp_path / 'text.txt').write_text(text.replace('a', 'é').replace('e', 'ü'), encoding='utf-8')
    tokenizer.train([text], 'wordpiece', 800, tmp_path / 'made')
    said = []
    data = schema.Data(train=f'{tmp_path}/text.txt', cache=str(tmp_path / 'cache'), eval_fraction=0.0)
    corpus.open(data, schema.Tokenizer(path=str(tmp_path / 'made')), said.append)
    share, rest = said[0].split('%', 1)
    assert 20 < float(share) < 90
    assert rest == (' of the tokens stand for text that the vocabulary does not know; raise tokenizer.vocab_size, or use '
                    'tokenizer.kind=unigram, which spells it in bytes')
