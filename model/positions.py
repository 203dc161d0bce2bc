"""The position schemes that `model.positions` names, one small class each.

A scheme may add to the embeddings, rotate queries and keys, or add to the scores of attention, and may own a table of
parameters. It also checks the config, before JAX is imported: methods that compute import model/encodings.py,
model/layers.py and model/attention/transformer_xl.py when they are called.
"""
from typing import Any, Callable


class Scheme:
    """No positions, and the defaults of all other schemes. `config`: a model.config.Config."""

    reads = ()                                # settings under `model` that no other scheme reads
    absolute = False                          # positions count from the start of a text and are never negative: no memory, no backward rows
    two_streams = False                       # whether XLNet's query stream works
    scores = None                             # 'bias' or 'terms', if it changes the scores of attention (model/attention/choice.py)

    def __init__(self, config):
        self.config = config

    @property
    def limit(self) -> int | None:
        """The largest number of tokens in a row; None = any number."""
        return None

    def problems(self) -> list[tuple[str, str]]:
        """[(config key, what is wrong with its value)] of a config."""
        return []

    def table(self) -> Any:
        """The Flax module `layers.Embed` with the parameters that a stack owns, or None."""
        return None

    def embed(self, x: Any, table: Any, positions: Any) -> Any:
        """Token embeddings float32[B, T, E], with positions int32[B, T] added."""
        return x

    def rotation(self, positions: Any) -> tuple | None:
        """Cosine and sine for int32[B, T], as `encodings.rotate` takes them, or None."""
        return None

    def bias(self, table: Any, role: str, dtype: Any) -> Callable | None:
        """The bias of the scores, a function of positions: int32[B, t], int32[B, s] -> float32[B, N, t, s], or None.

        role: 'encoder' or 'decoder'; dtype: of the computation.
        """
        return None

    def distances(self, rule: Any, fields: dict, cached: bool, dropout: Callable | None) -> Any:
        """The inputs of each layer's own terms of the scores, or None; arguments and result as `transformer_xl.share`."""
        return None

    def flops(self, queries: int, length: int, keys: int, batch_size: int) -> float:
        """Floating-point operations of a layer for the scheme alone: `queries` of a row of `length` tokens, `keys` keys."""
        return 0


class Learned(Scheme):
    """A table of vectors (Gehring et al. 2017, BERT, GPT-2). fairseq's models have `position_offset` rows before position 0."""

    reads = ('max_length', 'position_offset')
    absolute = True

    @property
    def limit(self) -> int | None:
        return self.config.max_length

    def table(self):
        from model import layers
        return layers.Embed(self.config, self.config.max_length + self.config.position_offset, self.config.width)

    def embed(self, x, table, positions):
        return x + table(positions + self.config.position_offset)


class Sinusoidal(Scheme):
    """Fixed sines and cosines (Vaswani et al. 2017)."""

    absolute = True

    def embed(self, x, table, positions):
        from model import encodings
        return x + encodings.sinusoids(positions, self.config.width)


class Rotary(Scheme):
    """Queries and keys rotated by their positions (Su et al. 2021), stretched as in Llama 3.1 by `rotary_scaling`."""

    reads = ('rotary_base', 'rotary_scaling')

    def problems(self) -> list[tuple[str, str]]:
        config, found = self.config, []
        if config.size % 2 and (config.head_dim or config.dim % config.heads == 0):
            key = 'model.head_dim' if config.head_dim else 'model.heads'
            width = 'is odd' if config.head_dim else f'model.dim = {config.dim} makes heads {config.size} wide, which is odd'
            found.append((key, f"{width}; model.positions = 'rotary' turns pairs, expected an even width."))
        factor, low, high, length = config.rotary_scaling or (1.0, 1.0, 2.0, 1)
        if not (factor > 0 and 0 < low < high and length > 0):
            found.append(('model.rotary_scaling', 'expected (factor, low, high, length) above 0 with low below high, such as '
                                                  '(8.0, 1.0, 4.0, 8192) of Llama 3.1.'))
        return found

    def rotation(self, positions):
        from model import encodings
        return encodings.angles(positions, self.config.size, self.config.rotary_base, self.config.rotary_scaling)


class Relative(Scheme):
    """A learned bias for each bucket of distances and each head, one table a stack (T5; Raffel et al. 2020)."""

    reads = ('relative_buckets', 'relative_distance')
    scores = 'bias'

    def problems(self) -> list[tuple[str, str]]:
        count, distance, found = self.config.relative_buckets, self.config.relative_distance, []
        if count % 2 or count < 4:
            found.append(('model.relative_buckets', 'expected an even number of at least 4, half for each side.'))
        if distance <= count // 2:
            found.append(('model.relative_distance', f'expected more than {count // 2}, half of model.relative_buckets = {count}.'))
        return found

    def table(self):
        from model import layers
        return layers.Embed(self.config, self.config.relative_buckets, self.config.heads)

    def bias(self, table, role, dtype):
        from model import encodings
        return encodings.Buckets(table.embedding, self.config.relative_distance, role == 'encoder', dtype)


class Alibi(Scheme):
    """A fixed bias that falls linearly with the distance, at a slope for each head (Press et al. 2022)."""

    scores = 'bias'

    def bias(self, table, role, dtype):
        from model import encodings
        return encodings.Alibi(self.config.heads, bidirectional=role == 'encoder')


class TransformerXL(Scheme):
    """Terms of the scores that depend on the query and the distance (Dai et al. 2019), and on the types (XLNet)."""

    reads = ('relative_segments',)
    two_streams = True
    scores = 'terms'

    def problems(self) -> list[tuple[str, str]]:
        if self.config.dim % 2:
            return [('model.dim', 'model.positions = xl have a sine and a cosine for each pair of columns; expected an even number.')]
        return []

    def distances(self, rule, fields, cached, dropout):
        from model.attention import transformer_xl
        return transformer_xl.share(self.config, rule, fields, cached, dropout)

    def flops(self, queries, length, keys, batch_size):
        """The projection of the distances (with dropout, for each row) and their products with the queries."""
        config = self.config
        width = config.heads * config.size
        projected = 1 if config.embedding_dropout else 2 / batch_size
        score = (length + keys) * (length if queries == length else 2 * length) + (2 * queries if config.relative_segments else 0)
        return 2 * (length + keys) * config.dim * width * projected + 2 * score * width


SCHEMES = {'learned': Learned, 'rotary': Rotary, 'sinusoidal': Sinusoidal, 'relative': Relative, 'xl': TransformerXL, 'alibi': Alibi,
           'none': Scheme}


def of(config: Any) -> Scheme:
    """The scheme of a model.config.Config."""
    return SCHEMES[config.positions](config)
