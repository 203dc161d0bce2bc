"""Trains WordPiece (BERT; Devlin et al. 2019) by the package `tokenizers`: a folder of Hugging Face, {file name: bytes}.

Cased: case and accents stay, because the uncased normalisation also strips the vowels and tones of Thai, Hindi and others, and Google
advises the cased one for several languages. White space, control characters and words with a rare character ([UNK]) are lost as in BERT,
so the tokenizer is never lossless. Different to BERT: a word longer than 100 characters, such as a line of Thai, is cut; BERT has [UNK].
"""
import collections
import json

from data import errors
from data.vocabularies import classes, pipelines

SPECIAL = ('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]')
PREFIX = '##'
LONGEST = 100       # characters of a word


def train(texts: list[str], size: int, sentinels: int) -> dict[str, bytes]:
    """tokenizer.json and tokenizer_config.json of a vocabulary of at most `size` ids: SPECIAL, pieces, then the sentinels, <extra_0> with
    the highest id. Deterministic. DataError when there is no text, or `size` is too small."""
    import tokenizers
    from tokenizers import trainers
    room, least = size - sentinels - len(SPECIAL), 64
    if room < least:
        raise errors.DataError(f'expected a vocabulary of at least {least + size - room} ({len(SPECIAL)} symbols, {sentinels} sentinels, '
                               f"some pieces), got {size}; raise tokenizer.vocab_size or use tokenizer.kind='bytes'")
    model = {'type': 'WordPiece', 'unk_token': '[UNK]', 'continuing_subword_prefix': PREFIX, 'max_input_chars_per_word': LONGEST}
    steps = (classes.bert_normalizer({'do_lower_case': False, 'strip_accents': False}),
             {'type': 'Sequence', 'pretokenizers': [{'type': 'BertPreTokenizer'}, pipelines.split({'Regex': f'.{{{LONGEST}}}'})]},
             {'type': 'WordPiece', 'prefix': PREFIX, 'cleanup': True})

    def runnable(vocab, added=()):
        return pipelines.form({**model, 'vocab': vocab}, *steps, added)

    engine = tokenizers.Tokenizer.from_str(json.dumps(runnable({'[UNK]': 0})))
    first = [*SPECIAL, *_alphabet(texts, engine, room)]
    if len(first) == len(SPECIAL):
        raise errors.DataError('expected text to train a tokenizer on, got none')
    # Pieces of one character as "special tokens": the trainer numbers others in an order that differs from run to run.
    engine.train_from_iterator(texts, trainers.WordPieceTrainer(
        vocab_size=size - sentinels, special_tokens=first, limit_alphabet=0, continuing_subword_prefix=PREFIX, show_progress=False))
    vocab = dict(sorted(engine.get_vocab().items(), key=lambda pair: pair[1]))
    names = [f'<extra_{i}>' for i in reversed(range(sentinels))]
    added = [pipelines.added_token(vocab[text], text, True) for text in SPECIAL]
    added += [pipelines.added_token(len(vocab) + i, text, True) for i, text in enumerate(names)]
    config = {'tokenizer_class': 'PreTrainedTokenizerFast', 'clean_up_tokenization_spaces': False, 'extra_special_tokens': names[::-1],
              **{f'{text[1:-1].lower()}_token': text for text in SPECIAL}}
    pipeline = runnable(vocab, added)
    pipeline['post_processor'] = pipelines.frame({'[CLS]': vocab['[CLS]']}, {'[SEP]': vocab['[SEP]']})
    return {name: json.dumps(value, ensure_ascii=False, indent=1).encode() + b'\n'
            for name, value in (('tokenizer.json', pipeline), ('tokenizer_config.json', config))}


def _alphabet(texts, engine, room):
    """Pieces of one character, sorted: the most frequent, and with the prefix those that continue words. Half of `room` is left to longer
    pieces, unless characters are always words, such as Chinese ones, of which no longer piece is made."""
    counts, inside = collections.Counter(), set()
    for text in texts:
        for word, _ in engine.pre_tokenizer.pre_tokenize_str(engine.normalizer.normalize_str(text)):
            counts.update(word)
            inside.update(word[1:])
    found, joined = [], 0
    for character in sorted(counts, key=lambda character: (-counts[character], character)):
        pieces = [character, PREFIX + character] if character in inside else [character]
        joins = 2 * (character in inside)
        if len(found) + len(pieces) <= room and (not joins or joined + joins <= room // 2):
            found += pieces
            joined += joins
    return sorted(found)
