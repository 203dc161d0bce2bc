"""What an imported tokenizer loses though its format spells every text: byte level as in GPT-2, byte fallback as in Llama."""
from typing import Iterator

from data.vocabularies import folders, hostile, huggingface, pipelines, vocabulary

BYTES = [byte for byte in range(256) if byte not in (0xC0, 0xC1) and byte < 0xF5]  # of UTF-8


def notices(tokenizer: vocabulary.Vocabulary) -> Iterator[str]:
    """A line about the bytes that the vocabulary lacks, or about a text that changes where no normalizer and no space explains it."""
    if not isinstance(tokenizer, huggingface.Tokenizer):
        return
    pipeline, _ = folders.load(tokenizer.originals)
    steps = [step['type'] for key in ('normalizer', 'pre_tokenizer') for step in pipelines.parts(pipeline[key])]
    if 'ByteLevel' not in steps and not pipeline['model'].get('byte_fallback'):
        return
    there = set(tokenizer.table)
    lacking = [byte for byte in BYTES if bytes([byte]) not in there]
    if lacking:
        shown = ', '.join(repr(chr(byte)) if 0x20 < byte < 0x7F else f'0x{byte:02X}' for byte in lacking[:10])
        yield (f'the vocabulary lacks {shown}{", ..." * (len(lacking) > 10)}: {len(lacking)} of the {len(BYTES)} bytes of UTF-8. A text '
               'loses every character that has one of them')
    elif 'ByteLevel' in steps and not (tokenizer.lossless or tokenizer.prefix or pipeline['normalizer']):
        changed = [(text, back) for text in hostile.TEXTS if (back := tokenizer.decode(tokenizer.encode(text))) != text]
        for text, back in sorted(changed, key=lambda pair: len(pair[1]) / len(pair[0]))[:1]:
            yield f'the tokenizer loses text, though it spells every byte: {text!r:.60} comes back as {back!r:.60}'
