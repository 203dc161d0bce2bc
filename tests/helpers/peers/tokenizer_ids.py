"""The ids that PyTorch `transformers` gives for tricky strings: what data/vocabularies/huggingface.py must give.

    PEERS_PYTHON tests/helpers/peers/tokenizer_ids.py make FOLDER    trains the small vocabularies (needs sentencepiece and protobuf)
    PEERS_PYTHON tests/helpers/peers/tokenizer_ids.py ids FOLDER     writes FOLDER/ids.json
    PEERS_PYTHON tests/helpers/peers/tokenizer_ids.py answer         reads a request on standard input, see `answer`

Special tokens in the text are split (split_special_tokens=True): in this project text stays text.
"""
import contextlib
import io
import json
import lzma
import os
import pathlib
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[3]
STRINGS = [
    '', ' ', '     ', '\t', '\n', '\r\n', '\n\n\n', ' \n \t ', '\0', 'nul\0inside', ' leading', 'trailing ', '  both  sides  ',
    'two  spaces   three    four', 'tab\tand\nnewline', 'dos\r\nline\r\n', 'code:\n    if x:\n        return [y**2 for y in z]\n',
    'Plain English text, as it is written; with (marks) and "quotes".', "don't can't I'll we've he'd 'tis O'Neil's",
    'ALL CAPS Title Case mIxEd cAsE', 'na\u00efve caf\u00e9 r\u00e9sum\u00e9 \u00c5ngstr\u00f6m \u0130stanbul \u00df \u1e9e',
    'cafe\u0301 A\u030angstro\u0308m \u1e9b\u0323', '\ufb01ne \ufb03 \u2460\u2461 \u00bd \u2122 \u338f',
    '\uff26\uff55\uff4c\uff4c\u3000\uff37\uff49\uff44\uff54\uff48 \uff11\uff12', 'zero\u200bwidth\u200djoin\u200cer \ufeffbom \u00adsoft',
    '\u2028line\u2029paragraph\u0085next\u00a0nbsp\u2009thin',
    '\U0001f44d\U0001f3fd \U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f1ea\U0001f1f8',
    '\u2764\ufe0f \U0001f9d1\U0001f3ff\u200d\U0001f680 :-)', '\u8bdd\u8bf4\u5929\u4e0b\u5927\u52bf\uff0c\u5206\u4e45\u5fc5\u5408\u3002',
    '\u4e09\u56fd\u6f14\u4e49 and English mixed\u4e2d\u6587text',
    '\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8\u3002\u30ab\u30bf\u30ab\u30ca', '\ud55c\uad6d\uc5b4 \ubb38\uc7a5\uc785\ub2c8\ub2e4',
    '\u0627\u0644\u0644\u063a\u0629 \u0627\u0644\u0639\u0631\u0628\u064a\u0629\u060c'
    ' \u0645\u064e\u0631\u0652\u062d\u064e\u0628\u064b\u0627',
    '\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd', '\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22',
    '\u0939\u093f\u0928\u094d\u0926\u0940 \u092d\u093e\u0937\u093e',
    '\u0414\u043e\u043c \u0438 \u043c\u0438\u0440, \u0451\u043b\u043a\u0430', '\x01\x02\x1b[31mred\x1b[0m\x7f\x80\x9f',
    '\ue000\uf8ff\U000f0000\U0010ffff', '\ufffd x\ufffdy', '\U00020000\U0002a6d6 rare', 'a\u0300\u0301\u0302\u0303 stacked', 'w' * 300,
    'supercalifragilisticexpialidocious' * 4, 'https://example.org/a_b?c=d&e=%20#f', 'user.name+tag@mail.co.uk',
    '1234567890 3.14159 1,000,000 2026-11-22 0x1F 1e-5', '+-*/=<>!@#$%^&()[]{}|\\~`_', "``quoted'' and ''other``", '##ing ## #hash ###',
    '\u0120word \u010a \u0100\u0101', '\u2581under \u2581\u2581 a\u2581b', '<0x41><0x0A>', '[MASK] [CLS] [SEP] [PAD] [UNK]', 'a[MASK]b',
    '</s><s><pad><unk><mask>', '<extra_id_0> and <extra_id_99>', '<|endoftext|> <|im_start|>', '<cls><sep><eod><eop>',
    '\u2014dash\u2013dash\u2026 \u201ccurly\u201d \u2018single\u2019 \u00abguillemets\u00bb',
    'x\u00b2 + y\u2082 \u2248 \u221e \u2211 \u20ac5 \u00a33 5\u20ac',
    'mixed\u0441\u043c\u0435\u0441\u044c\u6df7\u5408\u3068\u03b5\u03bb\u03bb\u03b7\u03bd\u03b9\u03ba\u03ac', 'ends with newline\n',
    '\n starts with newline', 'a' + ' ' * 40 + 'b', 'U.S.A. e.g. i.e. Mr. Smith\u2019s',
    '\u01c5 \u1fbc \u03a3\u03a3 \u0391\u03a3 \ufb00 \u0149',
]
# {case: (files of the folder, tokenizer_config.json)}
SPIECE, LEGACY = {'spiece.model': 't5.model'}, {'tokenizer.model': 'llama.model'}
GPT2 = {'vocab.json': 'bytes.json', 'merges.txt': 'bytes.txt'}
CASES = {
    'bert': ({'vocab.txt': 'bert.txt'}, {'tokenizer_class': 'BertTokenizer'}),
    'bert_cased': ({'vocab.txt': 'bert.txt'}, {'tokenizer_class': 'BertTokenizer', 'do_lower_case': False}),
    'bert_accents': ({'vocab.txt': 'bert.txt'},
                     {'tokenizer_class': 'BertTokenizer', 'strip_accents': False, 'tokenize_chinese_chars': False}),
    'electra': ({'vocab.txt': 'bert.txt'}, {'tokenizer_class': 'ElectraTokenizer', 'do_lower_case': True}),
    'bert_json': ({'tokenizer.json': 'bert.tokenizer.json'}, {'tokenizer_class': 'BertTokenizer', 'do_lower_case': True}),
    'gpt2': (GPT2, {'tokenizer_class': 'GPT2Tokenizer'}),
    'roberta': (GPT2, {'tokenizer_class': 'RobertaTokenizer'}),
    'roberta_space': (GPT2, {'tokenizer_class': 'RobertaTokenizer', 'add_prefix_space': True}),
    'bart': (GPT2, {'tokenizer_class': 'BartTokenizer'}),
    'qwen2': (GPT2, {'tokenizer_class': 'Qwen2Tokenizer'}),
    'gpt2_json': ({'tokenizer.json': 'bytes.tokenizer.json'}, {'tokenizer_class': 'PreTrainedTokenizerFast', 'eos_token': '<|endoftext|>'}),
    't5': (SPIECE, {'tokenizer_class': 'T5Tokenizer'}),
    't5_json': ({'tokenizer.json': 't5.tokenizer.json'}, {'tokenizer_class': 'T5Tokenizer', 'eos_token': '</s>', 'pad_token': '<pad>'}),
    'albert': ({'spiece.model': 'albert.model'}, {'tokenizer_class': 'AlbertTokenizer'}),
    'albert_cased': ({'spiece.model': 'albert.model'},
                     {'tokenizer_class': 'AlbertTokenizer', 'do_lower_case': False, 'keep_accents': True}),
    'xlnet': ({'spiece.model': 'xlnet.model'}, {'tokenizer_class': 'XLNetTokenizer'}),
    'llama': (LEGACY, {'tokenizer_class': 'LlamaTokenizer'}),
    'llama_legacy': (LEGACY, {'tokenizer_class': 'LlamaTokenizer', 'legacy': True}),
    'llama_bare': (LEGACY, {'tokenizer_class': 'LlamaTokenizer', 'add_prefix_space': False}),
    'llama_json': ({'tokenizer.json': 'llama.tokenizer.json'},
                   {'tokenizer_class': 'LlamaTokenizer', 'eos_token': '</s>', 'bos_token': '<s>'}),
}
SAVED = {'bert_json': 'bert', 't5_json': 't5', 'llama_json': 'llama', 'gpt2_json': 'gpt2'}  # tokenizer.json of transformers itself
MODEL_TYPES = {'electra': 'electra', 'roberta': 'roberta', 'roberta_space': 'roberta', 'bart': 'bart'}


def text():
    """Lines of the bundled corpora: English, Chinese, accents, code."""
    found = []
    for name, size in (('novels', 250_000), ('sanguo', 12_000)):
        with lzma.open(ROOT / f'data/corpora/{name}.jsonl.xz', 'rt', encoding='utf-8') as file:
            found += json.loads(file.readline())['text'][:size].split('\n')
    more = [' '.join(map(chr, range(33, 127))),
            'caf\u00e9 na\u00efve \u0434\u043e\u043c \u0438 \u043c\u0438\u0440 \ud55c\uad6d\uc5b4 0123456789 x = y[i] + 1;',
            'def f(x):', '    return x * 2']
    return found + more * 20


def make(folder):
    """bert.txt, bytes.json and .txt, and four SentencePiece models."""
    import sentencepiece
    import tokenizers
    from tokenizers import models, normalizers, pre_tokenizers, trainers
    lines = text()
    bert = tokenizers.Tokenizer(models.WordPiece(unk_token='[UNK]'))
    bert.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    bert.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ['[PAD]', '[unused0]', '[unused1]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
    bert.train_from_iterator([line for line in lines] + [line.lower() for line in lines], trainers.WordPieceTrainer(
        vocab_size=1200, special_tokens=special, limit_alphabet=500, show_progress=False))
    ids = sorted(bert.get_vocab().items(), key=lambda pair: pair[1])
    (folder / 'bert.txt').write_text(''.join(piece + '\n' for piece, _ in ids), encoding='utf-8')
    gpt2 = tokenizers.ByteLevelBPETokenizer()
    gpt2.train_from_iterator(lines, vocab_size=1000, show_progress=False,
                             special_tokens=['<s>', '<pad>', '</s>', '<unk>', '<mask>', '<|endoftext|>'])
    vocab = sorted(gpt2.get_vocab().items(), key=lambda pair: pair[1])
    (folder / 'bytes.json').write_text(json.dumps(dict(vocab), ensure_ascii=False, separators=(',', ':')), encoding='utf-8')
    with tempfile.TemporaryDirectory() as scratch:
        gpt2.save_model(scratch)
        (folder / 'bytes.txt').write_bytes((pathlib.Path(scratch) / 'merges.txt').read_bytes())
    rules = pathlib.Path(__file__).with_name('normalization.tsv')
    kinds = {
        't5': dict(pad_id=0, eos_id=1, unk_id=2, bos_id=-1),
        'albert': dict(pad_id=0, unk_id=1, bos_id=-1, eos_id=-1, control_symbols=['[CLS]', '[SEP]', '[MASK]'],
                       user_defined_symbols=list('()"-.\u00a3\u20ac')),
        'xlnet': dict(unk_id=0, bos_id=1, eos_id=2, pad_id=-1, control_symbols=['<cls>', '<sep>', '<pad>', '<mask>', '<eod>', '<eop>']),
        'llama': dict(unk_id=0, bos_id=1, eos_id=2, pad_id=-1, model_type='bpe', byte_fallback=True, split_digits=True,
                      remove_extra_whitespaces=False, allow_whitespace_only_pieces=True, character_coverage=0.995),
    }
    for name, settings in kinds.items():
        output = io.BytesIO()
        own = {'normalization_rule_name': 'identity'} if name == 'llama' else {'normalization_rule_tsv': str(rules)}
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=output, vocab_size=1000,
                                                 hard_vocab_limit=name == 'llama', minloglevel=2, **own, **settings)
        (folder / f'{name}.model').write_bytes(output.getvalue())
    for name, source in SAVED.items():
        with tempfile.TemporaryDirectory() as scratch:
            opened(folder, source, pathlib.Path(scratch)).save_pretrained(scratch)
            data = (pathlib.Path(scratch) / 'tokenizer.json').read_text(encoding='utf-8')
        compact = json.dumps(json.loads(data), ensure_ascii=False, separators=(',', ':'))
        (folder / CASES[name][0]['tokenizer.json']).write_text(compact, encoding='utf-8')


def lay(folder, case, target):
    """Puts the files of a case into `target`, under the names that they have in a Hugging Face folder."""
    files, config = CASES[case]
    for name, source in files.items():
        (target / name).write_bytes((folder / source).read_bytes())
    (target / 'tokenizer_config.json').write_text(json.dumps(config), encoding='utf-8')
    if case in MODEL_TYPES:
        (target / 'config.json').write_text(json.dumps({'model_type': MODEL_TYPES[case]}), encoding='utf-8')


def opened(folder, case, target):
    import transformers
    lay(folder, case, target)
    return transformers.AutoTokenizer.from_pretrained(target)


def measured(tokenizer, strings):
    """What is stored of a tokenizer: its class, its size, the special tokens' ids, and the ids of strings."""
    special = {role: getattr(tokenizer, f'{role}_token_id') for role in ('pad', 'eos', 'mask', 'cls', 'sep', 'bos', 'unk')}
    ids = [tokenizer(string, add_special_tokens=False, split_special_tokens=True)['input_ids'] for string in strings]
    return {'class': type(tokenizer).__name__, 'size': len(tokenizer), 'special': special, 'ids': ids}


def answer(request):
    """{name: what is measured of the folder, and what transformers said while loading} of {'folders': {name: path}, 'strings': [...]}."""
    import transformers
    found = {}
    for name, path in request['folders'].items():
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            tokenizer = transformers.AutoTokenizer.from_pretrained(path)
        names = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        found[name] = {**measured(tokenizer, request['strings']), 'said': said.getvalue(), 'names': names,
                       'decoded': [tokenizer.decode(ids) for ids in request.get('decode', [])]}
    return found


def main(command, folder=None):
    if command == 'answer':
        return print(json.dumps(answer(json.load(sys.stdin))))
    folder = pathlib.Path(folder)
    if command == 'make':
        return make(folder)
    import transformers
    found = {}
    for case, (files, config) in CASES.items():
        with tempfile.TemporaryDirectory() as scratch:
            made = measured(opened(folder, case, pathlib.Path(scratch)), STRINGS)
        model_type = {'model_type': MODEL_TYPES[case]} if case in MODEL_TYPES else {}
        found[case] = {'files': files, 'tokenizer_config.json': config, 'config.json': model_type, **made}
    stored = {'transformers': transformers.__version__, 'strings': STRINGS, 'cases': found}
    lines = json.dumps(stored, separators=(',', ':')).replace('"cases":{', '"cases":{\n').replace('},"', '},\n"')
    (folder / 'ids.json').write_text(lines + '\n', encoding='utf-8')


if __name__ == '__main__':
    os.environ['HF_HUB_OFFLINE'] = '1'
    main(*sys.argv[1:])
