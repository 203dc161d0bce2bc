"""One example as a person or a script sees it: its position in the run, the ids before corruption, every field of the batch."""
import dataclasses
from typing import Any, NamedTuple

import numpy as np

from data import example as examples, objectives, pipeline, special_tokens
from data.text import cache
from train.inspection import pieces


@dataclasses.dataclass(frozen=True)
class Look:
    """objective: its name; denoiser: of this row, or None; original: int32[n]; example: {field: array}, of one row."""
    objective: str
    denoiser: str | None
    epoch: int
    index: int
    row: Any                                  # of the plan
    original: Any
    example: dict


def read(objective: objectives.Objective, source: cache.Tokens, seed: int, epoch: int, index: int) -> Look:
    """The Look of an example; pipeline.ExampleError or DataError when it cannot be made."""
    fields = pipeline.make(objective, source, seed, epoch, index)
    plan = pipeline.plan(objective, source, seed, epoch)
    row = plan[index % len(plan)]
    denoiser = objective.task(int(fields['task'])) if objective.names else None
    return Look(objective.name, denoiser, epoch, index, row, np.asarray(objective.original(source, row)), fields)


def record(look: Look, tokenizer) -> dict:
    """The object that `--json` prints (docs: the end of the batch contract), plain JSON types."""
    special, fields = tokenizer.special, look.example
    text = {'original': tokenizer.decode(look.original), 'tokens': tokenizer.decode(fields['tokens'][used(fields)]),
            'targets': tokenizer.decode(fields['targets'][fields['weights'] > 0])}
    if 'encoder_tokens' in fields:
        text['encoder_tokens'] = tokenizer.decode(fields['encoder_tokens'][used(fields, 'encoder_')])
    return {'objective': look.objective, 'denoiser': look.denoiser, 'index': look.index, 'epoch': look.epoch,
            'original': look.original.tolist(), 'example': plain(fields), 'text': text, 'special': described(special)}


def about(look: Look, fields: dict, objective: objectives.Objective) -> list[str]:
    """The denoiser of an example, if it has one, and its labels with their meanings. objective: the one that made the example."""
    meaning = lambda name, value: f' ({objective.labels[name][value]})' if name in objective.labels else ''
    labels = (f'{name} {value}{meaning(name, value)}' for name, value in plain(fields.get('labels', {})).items())
    return [*([look.denoiser] if look.denoiser else []), *labels]


class Row(NamedTuple):
    """A row of tokens: a field of the example, or `original`. segments: int32[n] of `tokens` and `encoder_tokens`, else empty."""
    name: str
    ids: list[int]
    pieces: list[pieces.Piece]
    segments: np.ndarray

    @property
    def padding(self) -> int:
        """How many tokens are padding."""
        return len(self.ids) - sum(piece.stop - piece.start for piece in self.pieces)


def rows(look: Look, fields: dict, tokenizer, objective: objectives.Objective) -> list[Row]:
    """An example's rows of tokens: original, encoder_tokens, tokens, targets, and what a discriminator reads, where there are any."""
    special, none = tokenizer.special, np.zeros(0, np.int32)
    found = [('original', look.original, pieces.original(look.original, fields, special), none),
             *((side + 'tokens', fields[side + 'tokens'], pieces.read(fields, special, side), np.asarray(fields[side + 'segments']))
               for side in ('encoder_', '') if side + 'tokens' in fields),
             ('targets', fields['targets'], pieces.targets(fields, special), none)]
    if judged := objective.judged(look.original, fields):
        found.append(('discriminator', judged[0], pieces.judged(*judged, special), none))
    return [Row(name, np.asarray(ids).tolist(), pieces.pieces(ids, kinds, tokenizer, np.flatnonzero(np.diff(segments)) + 1), segments)
            for name, ids, kinds, segments in found]


def integers(look: Look, fields: dict, objective: objectives.Objective) -> list[tuple]:
    """[(name, text)] of what is neither text nor a number of its own; last a discriminator's labels, ? where a network draws."""
    names = ('weights', 'slots', 'positions', 'segments', 'types', 'sees', 'seen')
    judged = objective.judged(look.original, fields)
    return [*((name, pieces.runs(fields[name])) for name in (*names, *(f'encoder_{name}' for name in examples.SIDE[1:])) if name in fields),
            *([('labels', ''.join('01?'[label] for label in judged[1]))] if judged else [])]


def used(fields: dict, side: str = '') -> np.ndarray:
    """bool[T]: the positions of a side ('' or 'encoder_') that are no padding."""
    return np.asarray(fields[side + 'segments']) != 0


def plain(fields: dict) -> dict:
    """{field: list or number}, labels nested, in the types of the batch."""
    return {name: plain(value) if isinstance(value, dict) else np.asarray(value, examples.FIELDS.get(name, np.int32)).tolist()
            for name, value in fields.items()}


def described(special: special_tokens.Special) -> dict:
    """The special ids; by `bos` and `marks` a script can check shifted inputs, fill-in-the-middle and modes from this alone.

    A vocabulary without a mask has mask -1, one without sentinels the empty range [vocab_size - 1, vocab_size] and no marks.
    """
    return {**{name: int(getattr(special, name)) for name in ('pad', 'mask', 'cls', 'sep', 'eos')},
            'sentinels': list(special.sentinels), 'vocab_size': int(special.vocab_size), 'bos': int(special.bos),
            'marks': {name: int(special.mark(name)) for name in special_tokens.MARKS if special.num_sentinels >= len(special_tokens.MARKS)}}
