"""Shape of a Transformer: one frozen dataclass for decoder, encoder and encoder-decoder.

Pure data: importable without JAX, hashable (a Flax module attribute), and validated by `train/settings/parse.py`
before anything is compiled. Letters in the comments are those of `model/ops.py`.
"""
import dataclasses
from typing import Optional, Tuple

from model import positions as schemes

ARCHITECTURES = ('decoder', 'encoder', 'encoder_decoder')
ACTIVATIONS = ('gelu', 'gelu_tanh', 'relu', 'silu')
NORMS = ('layernorm', 'rmsnorm')
NORM_POSITIONS = ('pre', 'post')
POSITIONS = tuple(schemes.SCHEMES)
HEADS = ('linear', 'biased', 'transform')
INITIALIZERS = ('gpt2', 'bert', 't5', 'normal')
REMAT = ('none', 'dots', 'full')


@dataclasses.dataclass(frozen=True)
class Config:
    architecture: str = 'decoder'             # decoder | encoder | encoder_decoder
    vocab_size: Optional[int] = None          # V, the true vocabulary; None = the tokenizer's
    max_length: Optional[int] = None          # positions of the learned table; None = sequence_length
    layers: int = 2                           # L (of the encoder, in an encoder-decoder)
    decoder_layers: Optional[int] = None      # None = layers
    dim: int = 64                             # D
    embed_dim: Optional[int] = None           # E of the token, position and type tables; None = dim, else projected E -> D
    heads: int = 8                            # N
    kv_heads: Optional[int] = None            # K; None = heads, fewer = grouped-query attention
    head_dim: Optional[int] = None            # H; None = dim / heads
    mlp_dim: Optional[int] = None             # F; None = 4 x dim
    activation: str = 'gelu'                  # gelu (erf) | gelu_tanh | relu | silu
    gated: bool = False                       # act(x W_gate) * (x W_up), as in GLU variants (Shazeer 2020)
    bias: bool = True                         # biases in projections and LayerNorm
    attention_bias: Optional[bool] = None     # biases in the projections of attention; None = bias
    out_bias: Optional[bool] = None           # a bias in attention's output projection; None = attention_bias
    mlp_bias: Optional[bool] = None           # biases in the feed-forward layer; None = bias
    norm: str = 'layernorm'                   # layernorm | rmsnorm
    norm_position: str = 'pre'                # pre | post
    norm_epsilon: float = 1e-5
    embed_norm: Optional[bool] = None         # a norm of the summed embeddings; None = in post-norm models
    share_layers: bool = False                # every layer of a stack has the same weights (ALBERT)
    query_layer: bool = False                 # the last of the L layers comes after the norm and asks with a table
                                              # of positions (PanGu-alpha)
    positions: str = 'learned'                # learned | rotary | sinusoidal | relative (T5 buckets) | xl (XLNet) | alibi | none
    position_offset: int = 0                  # learned: rows before that of position 0 (fairseq's RoBERTa and BART: 2)
    rotary_base: float = 10000.0
    rotary_scaling: Optional[Tuple[float, float, float, int]] = None  # Llama 3.1: factor, low, high, first length
    relative_buckets: int = 32
    relative_distance: int = 128
    relative_segments: bool = False           # xl: scores also know whether query and key have the same type (XLNet)
    types: int = 0                            # sentence types (BERT: 2); 0 = none
    tied: bool = True                         # output projection = embedding table
    head: str = 'linear'                      # linear | biased (a bias for each token) | transform (BERT: dense, activation,
                                              # norm before the projection, and the bias)
    embed_scale: Optional[float] = None       # multiplies token embeddings; None = 1 (Vaswani et al.: D ** 0.5)
    logit_scale: Optional[float] = None       # multiplies hidden states before the head; None = 1 (tied T5: D ** -0.5)
    qk_norm: bool = False                     # RMSNorm of query and key, per head
    attention_scale: Optional[float] = None   # None = 1 / sqrt(H); T5 uses 1
    attention_soft_cap: Optional[float] = None  # cap * tanh(score / cap)
    logit_soft_cap: Optional[float] = None    # the same on the output logits
    windows: Optional[Tuple[Optional[int], ...]] = None  # one a layer, repeated from the start; None = unlimited
    dropout: float = 0.0                      # embeddings and residual branches
    mlp_dropout: float = 0.0                  # inside the feed-forward layer, after the activation (T5)
    output_dropout: float = 0.0               # after the last norm of a stack (T5)
    attention_dropout: float = 0.0            # attention probabilities
    initializer: str = 'gpt2'                 # gpt2 | bert | t5 | normal: tables in model/initializers.py
    remat: str = 'none'                       # none | dots (keep products) | full
    unroll: int = 1                           # layers an iteration of the scan over layers

    @property
    def kv(self):
        """K, the number of key and value heads."""
        return self.kv_heads or self.heads

    @property
    def size(self):
        """H, the width of a head."""
        return self.head_dim or self.dim // self.heads

    @property
    def hidden(self):
        """F, the width of the feed-forward layer."""
        return self.mlp_dim or 4 * self.dim

    @property
    def width(self):
        """E, the width of the embedding tables."""
        return self.embed_dim or self.dim

    @property
    def norms_embeddings(self):
        """Whether the sum of the embeddings is normalized before the first block."""
        return self.norm_position == 'post' if self.embed_norm is None else self.embed_norm

    @property
    def limit(self):
        """The largest number of tokens in a row, where positions are a table; None = any number."""
        return schemes.of(self).limit

    def depth(self, role):
        """L of the 'encoder' or the 'decoder' stack."""
        if role == 'decoder' and self.architecture == 'encoder_decoder' and self.decoder_layers is not None:
            return self.decoder_layers
        return self.layers

    def crosses(self, role):
        """Whether the blocks of that stack attend to an encoder."""
        return role == 'decoder' and self.architecture == 'encoder_decoder'

    def window(self, role):
        """The attention window of each layer of that stack: (int or None) x L."""
        pattern = self.windows or (None,)
        return tuple(pattern[layer % len(pattern)] for layer in range(self.depth(role)))

    @property
    def padded_vocab(self):
        """V rounded up to a multiple of 128, so that every mesh divides it."""
        return -(-self.vocab_size // 128) * 128
