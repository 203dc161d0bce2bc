"""UL2 (Tay et al. 2022): a T5 that learns from a mixture of denoisers, each with a mode token; base and 20B.

    python -m train.main --config=configs/pretrain_ul2.py:base --config.data.train='c4/*.jsonl' --workdir=runs/ul2

Variants: base (the plain one, 223M), 20b (19.5B), mini (8.1M), tiny. Without --config.data.train it reads the bundled novels; the paper's
corpus is C4. The seven denoisers of the paper's table 1 are used equally often, which was not verified against the paper
(--config.objective.rates changes it).

20b: 2 million steps of 1,024 rows, a trillion tokens read, without dropout; base: 500,000 steps of 128 rows, as in the paper's ablations.
Both: 512 tokens in, at most 512 out, Adafactor, 1 / sqrt(max(step, 10000)). Of the table's 32,128 rows 32,100 are ids, as in T5; 256 of
those are sentinels (T5: 100), so 156 fewer are text.
"""
import configs
from model.families import ul2

VARIANTS = ('', *ul2.SIZES, 'mini', 'tiny')
RECIPES = {'base': (500_000, 128), '20b': (2_000_000, 1024)}  # steps, rows


def get_config(variant=''):
    size = variant if variant in ul2.SIZES else 'base'
    steps, rows = RECIPES[size]
    config = configs.published(steps=steps, batch_size=rows, sequence_length=512)

    config.objective = dict(name='ul2')
    config.tokenizer = dict(kind='unigram', vocab_size=32100)
    config.model = dict(ul2.SIZES[size], remat='dots' if size == '20b' else 'none')
    config.loss = dict(z_loss=1e-4)
    config.optimizer = dict(name='adafactor', learning_rate=0.01, schedule='rsqrt', warmup=0, decay=10_000, clip=None)

    configs.small(config, variant, dict(layers=3, mlp_dim=1024, logit_scale=256**-0.5), learning_rate=0.03, decay=500)
    if variant == 'tiny':
        config.model.update(mlp_dim=256, logit_scale=64**-0.5)
        config.optimizer.decay = 10
    return config
