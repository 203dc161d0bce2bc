"""BART (Lewis et al. 2020): an encoder-decoder that restores a text whose sentences are permuted and spans hidden; two sizes.

    python -m train.main --config=configs/pretrain_bart.py:base --config.data.train='books/*.jsonl' --workdir=runs/bart

Variants: base (the plain one, 139M), large (406M), mini (6.6M), tiny.
Without --config.data.train it reads the bundled novels; the paper's corpus is RoBERTa's 160 GB. A byte-level BPE is replaced by
SentencePiece's BPE with as many pieces and byte fallback.

Steps and rows are the paper's; optimizer and noise are the authors' command for the released model (fairseq issue 1899): spans of
mean 3.5, a tenth of the masks random ids. The paper's text says 3 and none. As in fairseq, all parameters decay.
"""
import ml_collections

from model.families import bart

VARIANTS = ('', 'base', 'large', 'mini', 'tiny')


def get_config(variant=''):
    config = ml_collections.ConfigDict()
    config.steps = 500_000
    config.batch_size = 8000
    config.sequence_length = 512
    config.dtype = 'bfloat16'
    config.log_every = 100
    config.eval_every = 5000
    config.eval_batches = 100
    config.checkpoint = dict(every=5000)

    config.objective = dict(name='denoising', permute=1.0, infill=0.3, mean_span_length=3.5, replace_length=1, random=0.1,
                            mask=0.0, delete=0.0, insert=0.0, rotate=0.0, spans_of='words')
    config.data = dict(train='bundled:novels', eval_fraction=0.01)
    config.tokenizer = dict(kind='bpe', vocab_size=50265)
    config.model = dict(bart.SIZES[variant if variant in bart.SIZES else 'base'])
    config.optimizer = dict(name='adamw', learning_rate=4e-4, schedule='linear', warmup=10_000, weight_decay=0.01, no_decay=(),
                            clip=0.1)

    if variant in ('mini', 'tiny'):
        config.update(dtype='float32', batch_size=32, sequence_length=128, steps=1000, log_every=10, eval_every=250,
                      eval_batches=20)
        config.data.eval_fraction = 0.1
        config.tokenizer.vocab_size = 4096
        config.model.update(layers=3, dim=256, heads=8, vocab_size=None, max_length=None)
        config.optimizer.update(learning_rate=1e-3, warmup=100)
    if variant == 'tiny':
        config.update(batch_size=8, sequence_length=64, steps=20, log_every=5, eval_every=0, eval_batches=8)
        config.tokenizer = dict(kind='bytes')
        config.model.update(layers=2, dim=64)
        config.optimizer.warmup = 2
    return config
