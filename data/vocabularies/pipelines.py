"""The form of a tokenizer.json, the pipeline that the package `tokenizers` runs: its parts, and its vocabulary by id."""

SPACE = '\u2581'


class FilesError(ValueError):
    """`str(error)` says what is wrong with a folder's files, without its name."""


def spellings(pipeline):
    """{id: spelling} of a pipeline, added tokens included."""
    vocab = pipeline['model']['vocab']
    found = dict(enumerate(piece for piece, _ in vocab)) if isinstance(vocab, list) else {i: piece for piece, i in vocab.items()}
    return {**found, **{token['id']: token['content'] for token in pipeline['added_tokens']}}


def parts(step):
    """Every step of a normalizer, pre-tokenizer or decoder, which may be None, one step or a sequence."""
    if not step:
        return []
    inner = next((step[key] for key in ('normalizers', 'pretokenizers', 'decoders') if key in step), None)
    return [step] if inner is None else [part for one in inner for part in parts(one)]


def form(model, normalizer=None, pre_tokenizer=None, decoder=None, added=()):
    """A tokenizer.json without what pads, cuts or adds special tokens."""
    return {'version': '1.0', 'truncation': None, 'padding': None, 'added_tokens': list(added), 'normalizer': normalizer,
            'pre_tokenizer': pre_tokenizer, 'post_processor': None, 'decoder': decoder, 'model': model}


def added_token(i, content, special):
    """An entry of added_tokens."""
    return {'id': i, 'content': content, 'single_word': False, 'lstrip': False, 'rstrip': False, 'normalized': False,
            'special': special}


def merges(vocab):
    """[[left, right]] that make the pieces {piece: id} of a SentencePiece BPE, in the order of their ids."""
    found = []
    for piece, i in vocab.items():
        splits = [(piece[:cut], piece[cut:]) for cut in range(1, len(piece)) if piece[:cut] in vocab and piece[cut:] in vocab]
        found += [(i, len(left), left, right) for left, right in splits]
    return [[left, right] for _, _, left, right in sorted(found)]


def metaspace(scheme):
    return {'type': 'Metaspace', 'replacement': SPACE, 'prepend_scheme': scheme, 'split': True}
