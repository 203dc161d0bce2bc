"""T5 (Raffel et al. 2020): an encoder-decoder that fills in corrupted spans, with Adafactor, in five sizes, and T5 1.1.

    python -m train.main --config=configs/pretrain_t5.py:small --config.data.train='c4/*.jsonl' --workdir=runs/t5

Variants: small (61M), base (the plain one, 223M), large (738M), 3b or xl, 11b or xxl; v1_1-small|base|large|xl|xxl (gated, no dropout in
pretraining); baseline (base with the recipe of the paper's section 3.1, 34 billion tokens); mini (6.6M), tiny. Without --config.data.train
it reads the bundled novels; the paper's corpus is C4.

The sizes train for a million steps of 2,048 rows of 512 tokens, a trillion tokens (section 3.7). T5 itself mixed in supervised tasks there;
T5 1.1 did not. The learning rate is 1 / sqrt(max(step, 10000)), Adafactor scales it by the size of each parameter. Of the table's 32,128
rows 32,100 are ids, as in T5; 256 of those are sentinels (T5: 100), so 156 fewer are text.
"""
import configs
from model.families import t5

VARIANTS = ('', *t5.SIZES, 'baseline', 'mini', 'tiny')


def get_config(variant=''):
    size = variant if variant in t5.SIZES else 'base'
    config = configs.published(steps=1_000_000, batch_size=2048, sequence_length=512)

    config.objective = dict(name='span_corruption', noise_density=0.15, mean_span_length=3.0)
    config.tokenizer = dict(kind='unigram', vocab_size=32100)
    config.model = dict(t5.SIZES[size])
    config.loss = dict(z_loss=1e-4)
    config.optimizer = dict(name='adafactor', learning_rate=0.01, schedule='rsqrt', warmup=0, decay=10_000, clip=None)

    if variant == 'baseline':
        config.update(steps=2**19, batch_size=128)
    configs.small(config, variant, dict(layers=3, head_dim=32, mlp_dim=1024, logit_scale=256**-0.5), learning_rate=0.03, decay=500)
    if variant == 'tiny':
        config.model.update(head_dim=8, mlp_dim=256, logit_scale=64**-0.5)
        config.optimizer.decay = 10
    return config
