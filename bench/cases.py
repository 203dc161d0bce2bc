"""What both sides of the bench train: a family's published settings at a shape, and a real batch of its objective.

Imports no JAX. The tokens of the text are random ids, which the objective's own plan and transform turn into a batch. A vocabulary is a
multiple of 128, so that neither side pads it; the two sides have the same number of parameters (tests/bench/test_bench_peers.py).
"""
import dataclasses
import json
from typing import Any

import numpy as np

from data import example, objectives, pipeline, special_tokens
from model import config as model_config
from model.families import bert, electra, gpt2, t5
from train.settings import schema

# {family: (settings of the model, objective, its settings)}. Rows of text fill their length: `stream` is how nanoGPT reads documents.
FAMILIES = {
    'gpt2': (gpt2.COMMON, 'causal_lm', dict(documents='stream')),
    'bert': (bert.COMMON, 'masked_lm', dict()),
    't5': (t5.FIRST, 'span_corruption', dict()),
    'electra': (electra.COMMON, 'replaced_token_detection', dict(short=0.0, overflow='cut')),
}
SENTENCE = 24                                 # tokens, on average


@dataclasses.dataclass(frozen=True)
class Case:
    """One training run of a family of FAMILIES: its shape, the rows of a batch, the type of the computation."""
    family: str
    layers: int = 6
    dim: int = 384
    heads: int = 6
    vocab: int = 8192
    length: int = 256
    batch: int = 16
    dropout: float = 0.0                      # wherever the family has dropout
    generator: float = 0.25                   # ELECTRA: width of the generator / dim
    dtype: str = 'float32'

    def json(self) -> str:
        """For a process of either side; `Case(**json.loads(text))` reads it."""
        return json.dumps(dataclasses.asdict(self))


@dataclasses.dataclass(frozen=True, eq=False)
class Text:
    """One document, with the fields of `data.text.cache.Tokens` that are read; its module needs packages that a GPU's image lacks."""
    flat: np.ndarray                          # int32[n]
    sentence_offsets: np.ndarray              # int64[s], where sentences start
    special: special_tokens.Special
    offsets = property(lambda self: np.array([0, len(self.flat)]))
    lengths = property(lambda self: np.array([len(self.flat)]))
    num_tokens = property(lambda self: len(self.flat))


def config(case: Case) -> schema.Config:
    """The resolved config of a case, with AdamW, decay and clipping as on the other side."""
    common, name, settings = FAMILIES[case.family]
    model = {**common, **{key: case.dropout for key in common if 'dropout' in key}}
    model.update(layers=case.layers, dim=case.dim, heads=case.heads, vocab_size=case.vocab, max_length=case.length)
    if 'attention_scale' in model:            # T5's head scales its states
        model.update(logit_scale=case.dim ** -0.5)
    kind = objectives.load(name)
    settings = {**settings, **({'generator_dim': case.generator} if 'generator_dim' in kind.__dataclass_fields__ else {})}
    return schema.Config(
        steps=1000, batch_size=case.batch, sequence_length=case.length, dtype=case.dtype, objective=kind(case.length, **settings),
        model=model_config.Config(**model), optimizer=schema.Optimizer(learning_rate=1e-3, b2=0.95, weight_decay=0.1))


def batch(settings: schema.Config) -> dict[str, Any]:
    """A batch of a config's objective on random text, fields of data/example.py: numpy arrays."""
    rng, size = np.random.default_rng(0), settings.model.vocab_size
    special = special_tokens.Special(pad=0, eos=1, mask=2, cls=3, sep=4, vocab_size=size, sentinels=(size - 1, size - 100))
    document = rng.integers(5, size - 100, 4 * settings.batch_size * settings.sequence_length)
    starts = np.cumsum(rng.integers(SENTENCE // 2, SENTENCE + SENTENCE // 2, len(document) // SENTENCE))
    text = Text(document.astype(np.int32), np.append(0, starts[starts < len(document)]), special)
    return example.given(next(pipeline.batches(settings.objective, text, seed=0, batch_size=settings.batch_size, shuffle=False,
                                               threads=0)))


def tokens(case: Case) -> int:
    """Tokens of a row, padding counted, encoder and decoder added, as the metrics of a run count them."""
    lengths = config(case).objective.lengths()
    return lengths['tokens'] + lengths.get('encoder_tokens', 0)
