"""One example as a person or a script sees it: where it comes from, the ids before corruption, every field of the batch."""
import dataclasses
from typing import Any, Optional

import numpy as np

from data import example as examples, pipeline, special_tokens


@dataclasses.dataclass(frozen=True)
class Look:
    """objective: its name; denoiser: of this row, or None; original: int32[n]; example: {field: array}, of one row."""
    objective: str
    denoiser: Optional[str]
    epoch: int
    index: int
    row: Any                                  # of the plan
    original: Any
    example: dict


def read(objective, source, seed, epoch, index):
    """The Look of an example; pipeline.ExampleError or DataError when it cannot be made."""
    fields = pipeline.make(objective, source, seed, epoch, index)
    rows = pipeline.plan(objective, source, seed, epoch)
    row = rows[index % len(rows)]
    denoiser = objective.denoiser(row)
    original = np.asarray(objective.original(source, row))
    return Look(objective.name, denoiser, epoch, index, row, original, fields)


def record(look, tokenizer):
    """The object that `--json` prints (docs: the end of the batch contract), plain JSON types."""
    special, fields = tokenizer.special, look.example
    text = {'original': tokenizer.decode(look.original), 'tokens': tokenizer.decode(fields['tokens'][used(fields)]),
            'targets': tokenizer.decode(fields['targets'][fields['weights'] > 0])}
    if 'encoder_tokens' in fields:
        text['encoder_tokens'] = tokenizer.decode(fields['encoder_tokens'][used(fields, 'encoder_')])
    return {'objective': look.objective, 'denoiser': look.denoiser, 'index': look.index, 'epoch': look.epoch,
            'original': look.original.tolist(), 'example': plain(fields), 'text': text, 'special': described(special)}


def used(fields, side=''):
    """bool[T]: the positions of a side ('' or 'encoder_') that are no padding."""
    return np.asarray(fields[side + 'segments']) != 0


def plain(fields):
    """{field: list or number}, labels nested, in the types of the batch."""
    return {name: plain(value) if isinstance(value, dict) else np.asarray(value, examples.FIELDS.get(name, np.int32)).tolist()
            for name, value in fields.items()}


def described(special):
    """The special ids; by `bos` and `marks` a script can check shifted inputs, fill-in-the-middle and modes from this alone.

    A vocabulary without a mask has mask -1, one without sentinels the empty range [vocab_size - 1, vocab_size] and no marks.
    """
    return {**{name: int(getattr(special, name)) for name in ('pad', 'mask', 'cls', 'sep', 'eos')},
            'sentinels': list(special.sentinels), 'vocab_size': int(special.vocab_size), 'bos': int(special.bos),
            'marks': {name: int(special.mark(name)) for name in special_tokens.MARKS if special.num_sentinels >= len(special_tokens.MARKS)}}
