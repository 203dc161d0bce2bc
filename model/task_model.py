"""A backbone with the head of a task: the model of a published checkpoint, or the start of fine-tuning.

Parameters have the same paths as in the losses of train/objectives/: `backbone`, `head` and, for Transformer-XL's positions,
`query`. So a run can start from a published checkpoint, and a checkpoint of a run can be published.
"""
import dataclasses
from typing import Any, Optional

from flax import linen as nn
import jax
import jax.numpy as jnp

from model import config as model_config, heads, layers, memory as memories, positions, transformer
from model.attention import rule as rules

# The output of `Model` for a batch, float32. pretraining: that of `pair`, and a language head beside it (BERT, ALBERT).
KINDS = {
    'language': 'logits of tokens [B, T, V], or at `slots` [B, P, V]',
    'hidden': 'states of the last layer [B, T, D]: a backbone without a head',
    'pooler': 'one vector a row [B, D]',
    'pair': 'logits of two labels for a pair of sentences [B, 2]',
    'pretraining': 'the same, beside the language head',
    'discriminator': 'a logit a token [B, T]: replaced or not',
    'classes': 'logits of labels for a row [B, labels]',
    'token_classes': 'logits of labels for each token [B, T, labels]',
    'spans': 'logits of start and end at each token [B, T, 2]',
}
HEADS = {'pooler': heads.Pooler, 'pair': heads.PairHead, 'pretraining': heads.PairHead, 'discriminator': heads.TokenHead}


@dataclasses.dataclass(frozen=True)
class Head:
    """A key of KINDS and, for classes, which token is read, through a dense layer or not."""
    kind: str = 'language'
    labels: int = 2
    read: str = 'first'                       # first | last (the last that is no padding)
    activation: Optional[str] = None          # of a dense layer D -> D before the labels; None = no such layer
    bias: bool = True                         # in the projection to the labels


class Model(nn.Module):
    """A `backbone`, and a `head` unless that is the backbone's own language head, or none."""
    config: model_config.Config
    settings: Head = Head()
    dtype: Any = jnp.float32
    hints: rules.Hints = rules.Hints()        # as in `Transformer`

    def setup(self):
        config, settings = self.config, self.settings
        self.backbone = transformer.Transformer(config, self.dtype, hints=self.hints)
        if positions.of(config).two_streams:
            self.query = layers.Embed(config, 1, config.width)  # the input of every query token of XLNet
        if settings.kind in HEADS:
            self.head = HEADS[settings.kind](config, self.dtype)
        if settings.kind == 'classes':
            self.head = heads.ClassHead(config, settings.labels, settings.read, settings.activation, settings.bias, self.dtype)
        if settings.kind in ('token_classes', 'spans'):
            self.head = heads.TokenClassHead(config, 2 if settings.kind == 'spans' else settings.labels, self.dtype)

    def __call__(self, batch: dict[str, jax.Array], rows: jax.Array | None = None) -> jax.Array:
        """The output of the head for a batch (fields of data/example.py); rows int32[B] as in `Transformer`, None = evaluation."""
        if self.settings.kind == 'language':
            return self.language(batch, rows)
        hidden = self.backbone.hidden(batch, rows)
        if self.settings.kind == 'classes':
            return self.head(hidden, batch['segments'], rows)
        return hidden if self.settings.kind == 'hidden' else self.head(hidden)

    def language(self, batch: dict[str, jax.Array], rows: jax.Array | None = None) -> jax.Array:
        """Logits of tokens, as `Transformer`; of the query stream in a Transformer-XL model whose batch has `slots`."""
        if positions.of(self.config).two_streams and 'slots' in batch:
            return self.streams(batch, rows=rows)[0]
        return self.backbone(batch, rows)

    def streams(self, batch: dict[str, jax.Array], memory: memories.Memory | None = None,
                rows: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        """XLNet's two streams: logits of the queries at `slots` float32[B, P, V], the next memory's states (model/memory.py)."""
        _, hidden, states = self.backbone.streams(batch, self.query(jnp.int32(0)), memory, rows)
        return self.backbone.logits(hidden), states

    def everything(self, batch: dict[str, jax.Array]) -> jax.Array:
        """Calls every submodule that has parameters: for initialisation and shapes."""
        if self.settings.kind == 'pretraining':
            self.language(batch)
        if positions.of(self.config).two_streams:
            self.query(jnp.int32(0))
        return self(batch)
