"""Objectives: each file here is one, and the file's name is its name. `Objective` below is the base class of all."""
from __future__ import annotations

import importlib
import pathlib
import typing

from data import ranges

if typing.TYPE_CHECKING:                      # `--help` does without numpy
    import numpy as np

    from data.rows import drawing
    from data.special_tokens import Special
    from data.text.cache import Tokens

ARCHITECTURES = ('decoder', 'encoder', 'encoder_decoder')
ORDERS = ('ordered', 'causal', 'full')        # the first of each is true of any integers
SEGMENTS = ('packed', 'padded', 'one')        # each is true of what the next one is true of
Overflow = typing.Annotated[str, ('cut', 'next_row'), 'text beyond the end of a row: not used, as published, or read by the next row']
CUT = 'objective.overflow = next_row reads all of it; the published rows are cut'  # an Objective's `unread`


class Hint(typing.NamedTuple):
    """What is true of the attention integers of every example, so that a kernel can skip blocks. A wrong hint is a silent leak.

    The orders causal and full also promise that positions count on by 1 within a segment. Nothing need hold for the rows of weight 0
    that fill the last batch of an evaluation: their results are not used.
    """
    order: str = 'ordered'                    # causal: a token sees its segment up to itself | full: all of it | ordered: any integers
    segments: str = 'packed'                  # one: a row is one segment without padding | padded: one segment, then padding | packed: any


def weakest(*hints: Hint) -> Hint:
    """What is true of all examples of several objectives, or of the two sides of cross attention."""
    orders, segments = {hint.order for hint in hints}, {hint.segments for hint in hints}
    return Hint(orders.pop() if len(orders) == 1 else 'ordered', min(segments, key=SEGMENTS.index, default='packed'))


class Objective:
    """What the rest of the program asks an objective, with the defaults.

    A subclass is a frozen dataclass, also called Objective. Its annotated fields are the settings `objective.*`; the first,
    `sequence_length`, and, where it has them, `batch_size` and `architecture` follow the config's. It states `plan`, `transform`
    and `original`, and of the traits below those whose default is not right for it, as attributes or as properties of its settings.
    A mixture answers for its members; whoever must ask each of them asks `parts()`.
    """
    architectures = ARCHITECTURES             # the model architectures that it fits
    needs = ()                                # ids that the tokenizer must have: of 'mask', 'cls', 'sep', 'sentinels'
    hint = Hint()                             # of the attention among `tokens`
    encoder_hint = Hint('full', 'padded')     # of the attention among `encoder_tokens`, if there are any
    shuffled = True                           # whether epochs shuffle the rows; False: batches follow one another as planned
    likelihood = False                        # whether the loss is the likelihood of the text, so that it has bits per byte
    own_loss = False                          # whether train/objectives/NAME.py has its loss, so that rows of a mixture cannot have it
    head = 'language'                         # the head that it trains: a key of model/task_model.py's KINDS
    parameters = ()                           # paths of what it trains beside the backbone and must find in a checkpoint
    fills = True                              # whether its model predicts tokens at slots, and so fills masks
    whole_words = False                       # whether it asks where words begin
    two_streams = False                       # whether queries of their own read the slots (XLNet)
    slots = 0                                 # P, how many targets a row has at slots; 0: one at every position
    types = 0                                 # how many token types it distinguishes; 0 = none
    memory_length = 0                         # positions of earlier batches that a row sees
    backwards = None                          # name of the setting by which some rows are read backwards, with negative positions
    frame = None                              # roles of the special tokens (before, after) a text; None = those of the architecture
    names = ()                                # what the numbers in the field `task` of its examples mean
    marks = False                             # whether it uses special_tokens.MARKS, the last of the sentinels
    reads = ()                                # (settings that only some values of another read, that other, those values; () = more than 0)
    documents_needed = 1                      # of a text, for what it draws from another document
    unread = 'python -m train.inspect shows the rows'  # what to do where rows leave out text: the end of a notice
    rough = ()                                # rates that its settings state but roughly: off only by more than a quarter
    labels = {}                               # {label of its rows: (meaning of 0, of 1)}
    members = None                            # of a mixture: its `mixture.Member`s

    @property
    def name(self) -> str:
        """The name of the file that defines it."""
        return type(self).__module__.rpartition('.')[2]

    def parts(self) -> tuple[Objective, ...]:
        """The objectives that make its examples: itself, or those of its members."""
        return (self,)

    def evaluated(self) -> Objective:
        """The objective that an evaluation uses."""
        return self

    def draw(self, rows: np.ndarray, batches: int, size: int, rng: np.random.Generator) -> drawing.Draw:
        """A sample of a plan int64[n, k] in about that many batches of `size` rows, for an evaluation: scattered rows."""
        import numpy as np  # here, not above: `--help` does without it

        from data.rows import drawing
        return drawing.scattered([np.arange(len(rows))], batches * size, size, rng)

    def plan(self, source: Tokens, seed: int, epoch: int) -> np.ndarray:
        """int64[n, k]: a row an example, from which `transform` finds its text; n is the same in every epoch where possible."""
        raise NotImplementedError

    def transform(self, source: Tokens, row: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """The example of a row of the plan: {field: array} as in data/example.py, of the same shapes for every row."""
        raise NotImplementedError

    def original(self, source: Tokens, row: np.ndarray) -> np.ndarray:
        """int32[n]: the ids before corruption."""
        raise NotImplementedError

    def lengths(self) -> dict[str, int]:
        """{field: length} of `tokens`, `targets` and, if it has them, `slots` and `encoder_tokens`."""
        targets = self.slots or self.sequence_length
        return {'tokens': self.sequence_length, 'targets': targets, **({'slots': targets} if self.slots else {})}

    def problems(self, special: Special | None = None) -> list[tuple[str, str]]:
        """[(config key, what is wrong with its value)]: of the fields outside the range or choices of their annotations, and of a tokenizer
        without the mask or the sentinels of `needs`. special: the special ids of the tokenizer, once they are known."""
        kinds = typing.get_type_hints(type(self), include_extras=True)
        wrong = [(f'objective.{name}', text) for name, kind in kinds.items() if (text := ranges.outside(kind, getattr(self, name)))]
        found = {'mask': special is None or special.mask >= 0, 'sentinels': special is None or special.num_sentinels > 0}
        names = {'mask': 'mask token ([MASK], <mask>)', 'sentinels': 'sentinels (<extra_id_0>, <extra_id_1>, ...)'}
        advice = 'use another objective, or a tokenizer that has, such as one trained here (tokenizer.path = None).'
        return wrong + [('tokenizer.path', f'has no {names[need]}, which {self.name} needs; {advice}')
                        for need in self.needs if not found.get(need, True)]

    def covered(self, batch: dict) -> typing.Any:
        """bool[B, P]: the targets whose bytes the likelihood is about, of a batch of numpy or JAX arrays."""
        return batch['weights'] > 0

    def prompt(self, ids: list[int], special: Special) -> tuple[list[int], int]:
        """(what the encoder of an encoder-decoder reads of a prompt, without EOS; the id that its decoder reads first)."""
        return ids, special.bos

    def prefix(self, ids: list[int], special: Special) -> list[int] | None:
        """What a decoder reads of a prompt after BOS, if the tokens of a prompt see one another; else None."""
        return None

    def hide(self, fields: dict[str, np.ndarray], slots: np.ndarray) -> None:
        """Changes the integers of a row so that its tokens at `slots`, [MASK]s to be filled, are targets as in training."""

    def expected(self) -> dict[str, float]:
        """{name of a rate: its value by the settings}, for the inspector."""
        return {}

    def reasons(self) -> dict[str, str]:
        """{name of a rate: why `expected` is another number than the setting}, for the inspector."""
        return {}

    def realised(self, source: Tokens, row: np.ndarray, fields: dict[str, np.ndarray]) -> dict[str, tuple[int, int]]:
        """{name of a rate: (count, out of)} of an example; the inspector compares the sums with `expected`."""
        return {}

    def judged(self, original: np.ndarray, fields: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray] | None:
        """(ids int32[n] that a discriminator reads, labels int32[n]: 1 replaced, 0 original, -1 as a network draws), if there is one."""
        return None

    def coverage(self, source: Tokens, rows: np.ndarray) -> float:
        """Share of the tokens of the text that the rows of an epoch's plan read."""
        return 1.0

    def waste(self) -> dict[str, float]:
        """{field: share of its positions that are padding}, where rows of different lengths are mixed."""
        return {}

    def made_by(self, fields: dict[str, np.ndarray]) -> tuple[Objective, dict[str, np.ndarray]]:
        """(which of the parts made an example, the example as it made it)."""
        return self, fields

    def task(self, number: int) -> str:
        """The name of a number in the field `task`."""
        return self.names[number] if number < len(self.names) else f'task {number}'


def refused(*checks: tuple[str, bool, str]) -> list[tuple[str, str]]:
    """The problems [(config key, text)] of rows (config key, whether its value is right, what is expected)."""
    return [(key, text) for key, right, text in checks if not right]


def field_of(name: str) -> str | None:
    """The key of `lengths()` that states the length of a field of the batch; None: a field without a length of its own."""
    if name in ('index', 'task', 'labels'):
        return None
    if name in ('slots', 'targets', 'weights'):
        return 'slots' if name == 'slots' else 'targets'
    return 'encoder_tokens' if name.startswith('encoder_') else 'tokens'


def names() -> list[str]:
    """The names of all objectives."""
    return sorted(path.stem for path in pathlib.Path(__file__).parent.glob('*.py') if path.stem != '__init__')


def load(name: str) -> type[Objective]:
    """The class of an objective by its name. ValueError lists the names."""
    if name not in names():
        raise ValueError(f'no such objective.{ranges.near(name, names())} There are: {", ".join(names())}')
    return importlib.import_module(f'data.objectives.{name}').Objective
