"""BART (Lewis et al. 2020): an encoder-decoder that restores a text whose sentences are permuted and spans hidden; two sizes.

    python -m train.main --config=configs/pretrain_bart.py:base --config.data.train='books/*.jsonl' --workdir=runs/bart

Variants: base (the plain one, 139M), large (406M), mini (6.6M), tiny. Without --config.data.train it reads the bundled novels; the paper's
corpus is RoBERTa's 160 GB. SentencePiece's BPE with as many pieces and byte fallback replaces a byte-level BPE.

Steps and rows are the paper's; optimizer and noise are the authors' command for the released model (fairseq issue 1899): spans of mean 3.5,
a tenth of the masks random ids. The paper's text has 3 and none. As in fairseq, all parameters decay.
"""
import configs
from model.families import bart

VARIANTS = ('', 'base', 'large', 'mini', 'tiny')


def get_config(variant=''):
    config = configs.published(steps=500_000, batch_size=8000, sequence_length=512)

    config.objective = dict(name='denoising', permute=1.0, infill=0.3, mean_span_length=3.5, replace_length=1, random=0.1,
                            mask=0.0, delete=0.0, insert=0.0, rotate=0.0, spans_of='words')
    config.tokenizer = dict(kind='bpe', vocab_size=50265)
    config.model = dict(bart.SIZES[variant if variant in bart.SIZES else 'base'])
    config.optimizer = dict(name='adamw', learning_rate=4e-4, schedule='linear', warmup=10_000, weight_decay=0.01, no_decay=(), clip=0.1)

    configs.small(config, variant, dict(layers=3), learning_rate=1e-3)
    return config
