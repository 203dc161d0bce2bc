"""XLNet (Yang et al. 2019): predict some tokens in a random order, with two streams, Transformer-XL positions and memory; two sizes.

    python -m train.main --config=configs/pretrain_xlnet.py:large --config.data.train='books/*.jsonl' --workdir=runs/xlnet

Variants: base (117M), large (the plain one, 360M), mini (6.2M), tiny. Without --config.data.train it reads the bundled novels; the paper's
corpora are Wikipedia, books, Giga5, ClueWeb, Common Crawl.

Rows of 512 tokens, of which 256 are read again, 384 states of memory, 85 targets. The paper's table of hyper-parameters has 500,000 steps
of 8,192 rows (the code's README 2,048 rows) and none for base, which has large's here. As in the code, Adam without bias correction, a
learning rate that ends at a thousandth, and weight decay for the biases of the scores (r_w, r_r, r_s), but no others. Cost (paper): large
5.5 days on 512 TPU v3 chips.
"""
import configs
from model.families import xlnet

VARIANTS = ('', 'base', 'large', 'mini', 'tiny')


def get_config(variant=''):
    config = configs.published(steps=500_000, batch_size=8192, sequence_length=512)

    config.objective = dict(name='permuted_lm', reuse_length=256, memory_length=384, num_predict=85, permutation_length=256,
                            max_span=5, context=6, span_unit='token', directions='both')
    config.tokenizer = dict(kind='unigram', vocab_size=32000)
    config.model = dict(xlnet.SIZES[variant if variant in xlnet.SIZES else 'large'])
    config.optimizer = dict(name='adamw', learning_rate=4e-4, schedule='linear', warmup=40_000, final=0.001, b1=0.9, b2=0.999,
                            epsilon=1e-6, bias_correction=False, weight_decay=0.01, no_decay=(r'(^|/)bias$', r'scale$'), clip=1.0)

    if configs.small(config, variant, dict(layers=6), steps=600, learning_rate=5e-4):
        config.objective.update(reuse_length=64, memory_length=96, num_predict=21, permutation_length=64)
    if variant == 'tiny':
        config.objective.update(reuse_length=32, memory_length=48, num_predict=10, permutation_length=32)
    return config
