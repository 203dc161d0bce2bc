"""Shape of a Transformer: one frozen dataclass for decoder, encoder and encoder-decoder.

Pure data: importable without JAX, hashable (a Flax module attribute), and checked by `train/settings/parse.py` before anything is
compiled. A field states its type, range or choices, meaning and default; letters in the meanings are those of `model/ops.py`.
"""
import dataclasses
from typing import Annotated, Iterator

from model import positions as schemes

ARCHITECTURES = ('decoder', 'encoder', 'encoder_decoder')
ACTIVATIONS = ('gelu', 'gelu_tanh', 'relu', 'silu')
NORMS = ('layernorm', 'rmsnorm')
NORM_POSITIONS = ('pre', 'post')
POSITIONS = tuple(schemes.SCHEMES)
HEADS = ('linear', 'biased', 'transform')
INITIALIZERS = ('gpt2', 'bert', 't5', 'normal')
ATTENTION = ('auto', 'plain', 'blockwise', 'cudnn')
REMAT = ('none', 'dots', 'attention', 'full')


@dataclasses.dataclass(frozen=True)
class Config:
    architecture: Annotated[str, ARCHITECTURES, 'which stacks the model has'] = 'decoder'
    vocab_size: Annotated[int | None, 'at least 1', "V, the true vocabulary; None = the tokenizer's"] = None
    max_length: Annotated[int | None, 'at least 1', 'positions of the learned table; None = sequence_length'] = None
    layers: Annotated[int, 'at least 1', 'L, layers of the stack (in an encoder-decoder, of the encoder)'] = 2
    decoder_layers: Annotated[int | None, 'at least 1', 'layers of the decoder in an encoder-decoder; None = layers'] = None
    dim: Annotated[int, 'at least 1', 'D, the width of the states between layers'] = 64
    embed_dim: Annotated[int | None, 'at least 1', 'E of the token, position and type tables; None = dim, else projected E -> D'] = None
    heads: Annotated[int, 'at least 1', 'N, heads of attention'] = 8
    kv_heads: Annotated[int | None, 'at least 1', 'K, key and value heads; None = heads, fewer = grouped-query attention'] = None
    head_dim: Annotated[int | None, 'at least 1', 'H, the width of a head; None = dim / heads'] = None
    mlp_dim: Annotated[int | None, 'at least 1', 'F, the width inside a feed-forward layer; None = 4 x dim'] = None
    activation: Annotated[str, ACTIVATIONS, 'of the feed-forward layers; gelu is the exact one (erf)'] = 'gelu'
    gated: Annotated[bool, 'act(x W_gate) * (x W_up), as in GLU variants (Shazeer 2020)'] = False
    bias: Annotated[bool, 'biases in projections and LayerNorm'] = True
    attention_bias: Annotated[bool | None, 'biases in the projections of attention; None = bias'] = None
    out_bias: Annotated[bool | None, "a bias in attention's output projection; None = attention_bias"] = None
    mlp_bias: Annotated[bool | None, 'biases in the feed-forward layer; None = bias'] = None
    norm: Annotated[str, NORMS, 'kind of normalization'] = 'layernorm'
    norm_position: Annotated[str, NORM_POSITIONS, 'before a block reads its input, or after its output was added'] = 'pre'
    norm_epsilon: Annotated[float, 'more than 0 and below 1', 'added to the variance'] = 1e-5
    embed_norm: Annotated[bool | None, 'a norm of the summed embeddings; None = in post-norm models'] = None
    share_layers: Annotated[bool, 'every layer of a stack has the same weights (ALBERT)'] = False
    query_layer: Annotated[bool, 'the last layer follows the final norm; its queries are a table of positions (PanGu-alpha)'] = False
    positions: Annotated[str, POSITIONS, 'classes of model/positions.py; relative: T5, xl: Transformer-XL and XLNet'] = 'learned'
    position_offset: Annotated[int, 'at least 0', "learned: rows before that of position 0 (fairseq's RoBERTa and BART: 2)"] = 0
    rotary_base: Annotated[float, 'at least 1', 'of the frequencies of rotary positions'] = 10000.0
    rotary_scaling: Annotated[tuple[float, float, float, int] | None, 'of Llama 3.1: factor, low, high, first length'] = None
    relative_buckets: Annotated[int, 'at least 1', 'relative: buckets of distances'] = 32
    relative_distance: Annotated[int, 'at least 1', 'relative: the distance from which on all share a bucket'] = 128
    relative_segments: Annotated[bool, 'xl: scores also depend on whether query and key have the same type (XLNet)'] = False
    types: Annotated[int, 'at least 0', 'sentence types (BERT: 2); 0 = none'] = 0
    tied: Annotated[bool, 'output projection = embedding table'] = True
    head: Annotated[str, HEADS, 'biased: with a bias for each token; transform: also a dense layer and a norm before it (BERT)'] = 'linear'
    embed_scale: Annotated[float | None, 'more than 0', 'multiplies token embeddings; None = 1 (Vaswani et al.: D ** 0.5)'] = None
    logit_scale: Annotated[float | None, 'more than 0', 'multiplies hidden states before the head; None = 1 (tied T5: D ** -0.5)'] = None
    qk_norm: Annotated[bool, 'RMSNorm of query and key, per head'] = False
    attention_scale: Annotated[float | None, 'more than 0', 'multiplies the scores; None = 1 / sqrt(H); T5 uses 1'] = None
    attention_soft_cap: Annotated[float | None, 'more than 0', 'scores become cap * tanh(score / cap)'] = None
    logit_soft_cap: Annotated[float | None, 'more than 0', 'the same on the output logits'] = None
    windows: Annotated[tuple[int | None, ...] | None, 'of attention, in tokens, one a layer, repeated; None = unlimited'] = None
    dropout: Annotated[float, 'at least 0 and below 1', 'of embeddings and residual branches'] = 0.0
    embed_dropout: Annotated[float | None, 'at least 0 and below 1', 'of embeddings; None = dropout'] = None
    mlp_dropout: Annotated[float, 'at least 0 and below 1', 'inside the feed-forward layer, after the activation (T5)'] = 0.0
    output_dropout: Annotated[float, 'at least 0 and below 1', 'after the last norm of a stack (T5)'] = 0.0
    attention_dropout: Annotated[float, 'at least 0 and below 1', 'of attention probabilities'] = 0.0
    attention: Annotated[str, ATTENTION, 'what computes it in training; auto: the fastest that can (model/attention/choice.py)'] = 'auto'
    initializer: Annotated[str, INITIALIZERS, 'tables in model/initializers.py'] = 'gpt2'
    remat: Annotated[str, REMAT, 'what the backward pass computes again; dots: all but products with parameters; attention: all but '
                                 'residuals and the inputs of attention; full: all'] = 'none'
    unroll: Annotated[int | None, 'at least 1', 'layers in an iteration of the scan over layers; None = all of few on one CPU device, '
                                                'else 1'] = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """(config key, what is wrong with its value) where the settings of the model contradict one another."""
        if not self.head_dim and self.dim % self.heads:
            yield 'model.heads', (f'model.dim = {self.dim} is not divisible by {self.heads}. '
                                  f'{near(self.heads, divisors(self.dim, self.heads))}')
        if self.kv_heads and self.heads % self.kv_heads:
            yield 'model.kv_heads', (f'model.heads = {self.heads} is not divisible by {self.kv_heads}. '
                                     f'{near(self.kv_heads, divisors(self.heads, self.kv_heads))}')
        if self.windows is not None:
            layers = max(self.depth('encoder'), self.depth('decoder'))
            if not 1 <= len(self.windows) <= layers:
                yield 'model.windows', f'expected one entry a layer, or fewer that repeat: 1 to {layers}, got {len(self.windows)}.'
            if any(w is not None and w < 1 for w in self.windows):
                yield 'model.windows', 'expected numbers of at least 1, or None for a layer without a window.'
        if self.query_layer:
            for name, expected in (('architecture', 'decoder'), ('positions', 'learned'), ('norm_position', 'pre')):
                if getattr(self, name) != expected:
                    yield f'model.{name}', (f'model.query_layer = True needs {expected}: the layer that asks with a table of positions '
                                            'ends a pre-norm decoder.')
            if self.layers < 2:
                yield 'model.layers', 'model.query_layer = True is the last of them; expected at least 2.'
        yield from schemes.of(self).problems()

    @property
    def kv(self) -> int:
        """K, the number of key and value heads."""
        return self.kv_heads or self.heads

    @property
    def size(self) -> int:
        """H, the width of a head."""
        return self.head_dim or self.dim // self.heads

    @property
    def hidden(self) -> int:
        """F, the width of the feed-forward layer."""
        return self.mlp_dim or 4 * self.dim

    @property
    def width(self) -> int:
        """E, the width of the embedding tables."""
        return self.embed_dim or self.dim

    @property
    def embedding_dropout(self) -> float:
        """The dropout of the embeddings."""
        return self.dropout if self.embed_dropout is None else self.embed_dropout

    @property
    def norms_embeddings(self) -> bool:
        """Whether the sum of the embeddings is normalized before the first block."""
        return self.norm_position == 'post' if self.embed_norm is None else self.embed_norm

    @property
    def limit(self) -> int | None:
        """The largest number of tokens in a row, where positions are a table; None = any number."""
        return schemes.of(self).limit

    def depth(self, role: str) -> int:
        """L of the 'encoder' or the 'decoder' stack."""
        if role == 'decoder' and self.architecture == 'encoder_decoder' and self.decoder_layers is not None:
            return self.decoder_layers
        return self.layers

    def crosses(self, role: str) -> bool:
        """Whether the blocks of that stack attend to an encoder."""
        return role == 'decoder' and self.architecture == 'encoder_decoder'

    def window(self, role: str) -> tuple[int | None, ...]:
        """The attention window of each layer of that stack: (int or None) x L."""
        pattern = self.windows or (None,)
        return tuple(pattern[layer % len(pattern)] for layer in range(self.depth(role)))

    @property
    def padded_vocab(self) -> int:
        """V rounded up to a multiple of 128, so that every mesh divides it."""
        return -(-self.vocab_size // 128) * 128


def near(value: int, numbers) -> str:
    """'Near: 4, 8.': the closest of the ascending numbers below and above a value."""
    below, above = [n for n in numbers if n < value], [n for n in numbers if n > value]
    return 'Near: ' + ', '.join(str(n) for n in [*below[-1:], *above[:1]]) + '.'


def divisors(number: int, value: int, reach: int = 10_000) -> list[int]:
    """The divisors of a number that are at most `reach` from a value (or from the number, if it is smaller), ascending; and 1."""
    start, end = min(value, number) - reach, min(value + reach, number)
    return [d for d in (1, *range(max(2, start), end + 1)) if number % d == 0]
