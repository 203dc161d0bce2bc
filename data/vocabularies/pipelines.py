"""The form of a tokenizer.json, the pipeline that the package `tokenizers` runs: its parts, and its vocabulary by id."""
from data import errors

SPACE = '\u2581'    # how SentencePiece writes a space


def spellings(pipeline: dict) -> dict[int, str]:
    """{id: spelling} of a pipeline, added tokens included. DataError where two pieces have one id."""
    vocab = pipeline['model']['vocab']
    found = dict(enumerate(piece for piece, _ in vocab)) if isinstance(vocab, list) else {i: piece for piece, i in vocab.items()}
    if len(found) < len(vocab):
        one, other, i = next((piece, found[i], i) for piece, i in vocab.items() if found[i] != piece)
        raise errors.DataError(f'expected one piece for each id, got {one[:60]!r} and {other[:60]!r} for {i}; give one of them another id')
    return {**found, **{token['id']: token['content'] for token in pipeline['added_tokens']}}


def parts(step: dict | None) -> list[dict]:
    """Every step of a normalizer, pre-tokenizer or decoder, which may be None, one step or a sequence."""
    if not step:
        return []
    inner = next((step[key] for key in ('normalizers', 'pretokenizers', 'decoders') if key in step), None)
    return [step] if inner is None else [part for one in inner for part in parts(one)]


def form(model: dict, normalizer: dict | None, pre_tokenizer: dict | None, decoder: dict | None, added: list = ()) -> dict:
    """A tokenizer.json without what pads, cuts or adds special tokens."""
    return {'version': '1.0', 'truncation': None, 'padding': None, 'added_tokens': list(added), 'normalizer': normalizer,
            'pre_tokenizer': pre_tokenizer, 'post_processor': None, 'decoder': decoder, 'model': model}


def added_token(i: int, content: str, special: bool) -> dict:
    """An entry of added_tokens."""
    return {'id': i, 'content': content, 'single_word': False, 'lstrip': False, 'rstrip': False, 'normalized': False, 'special': special}


def bpe(vocab: dict[str, int], merges: list, fallback: bool, affix: str | None = None, unknown: str | None = None) -> dict:
    """A BPE model; fallback: what it lacks is spelt in bytes."""
    return {'type': 'BPE', 'dropout': None, 'unk_token': unknown, 'continuing_subword_prefix': affix, 'end_of_word_suffix': affix,
            'fuse_unk': fallback, 'byte_fallback': fallback, 'ignore_merges': False, 'vocab': vocab, 'merges': merges}


def merges(vocab: dict[str, int]) -> list[list[str]]:
    """[[left, right]] that make the pieces of a SentencePiece BPE, in the order of their ids."""
    found = []
    for piece, i in vocab.items():
        splits = [(piece[:cut], piece[cut:]) for cut in range(1, len(piece)) if piece[:cut] in vocab and piece[cut:] in vocab]
        found += [(i, len(left), left, right) for left, right in splits]
    return [[left, right] for _, _, left, right in sorted(found)]


def split(pattern: dict, behavior: str = 'Isolated') -> dict:
    """A pre-tokenizer that cuts at {'String' or 'Regex': pattern}."""
    return {'type': 'Split', 'pattern': pattern, 'behavior': behavior, 'invert': False}


def byte_level(prefix_space: bool, regex: bool) -> dict:
    """GPT-2's pre-tokenizer to bytes; regex: after its split into words."""
    return {'type': 'ByteLevel', 'add_prefix_space': prefix_space, 'trim_offsets': True, 'use_regex': regex}


def metaspace(scheme: str) -> dict:
    """SentencePiece's spaces, with one before the text 'always', 'first' or 'never'."""
    return {'type': 'Metaspace', 'replacement': SPACE, 'prepend_scheme': scheme, 'split': True}


def frame(before: dict[str, int], after: dict[str, int]) -> dict:
    """A post-processor that puts special tokens {spelling: id} around a text, or two: those `after` also between them."""
    def token(name, side=0):
        return {'SpecialToken': {'id': name, 'type_id': side}}

    single = [*map(token, before), {'Sequence': {'id': 'A', 'type_id': 0}}, *map(token, after)]
    second = [{'Sequence': {'id': 'B', 'type_id': 1}}, *(token(name, 1) for name in after)]
    return {'type': 'TemplateProcessing', 'single': single, 'pair': single + second,
            'special_tokens': {name: {'id': name, 'ids': [i], 'tokens': [name]} for name, i in {**before, **after}.items()}}
