"""T5 (Raffel et al. 2020): an encoder-decoder that fills in corrupted spans, with Adafactor, in five sizes, and T5 1.1.

    python -m train.main --config=configs/pretrain_t5.py:small --config.data.train='c4/*.jsonl' --workdir=runs/t5

Variants: small (61M), base (the plain one, 223M), large (738M), 3b or xl, 11b or xxl; v1_1-small|base|large|xl|xxl (gated, no
dropout in pretraining); baseline (base with the recipe of the paper's section 3.1, 34 billion tokens); mini (6.6M), tiny.
Without --config.data.train it reads the bundled novels; the paper's corpus is C4.

The sizes train for a million steps of 2,048 rows of 512 tokens, a trillion tokens (section 3.7). T5 itself mixed in supervised
tasks there; T5 1.1 did not. The learning rate is 1 / sqrt(max(step, 10000)), Adafactor scales it by the size of each parameter.
Of the table's 32,128 rows 32,100 are ids, as in T5; 256 of those are sentinels where T5 has 100, so 156 fewer are text.
"""
import ml_collections

from model.families import t5

VARIANTS = ('', *t5.SIZES, 'baseline', 'mini', 'tiny')


def get_config(variant=''):
    size = variant if variant in t5.SIZES else 'base'
    config = ml_collections.ConfigDict()
    config.steps = 1_000_000
    config.batch_size = 2048
    config.sequence_length = 512
    config.dtype = 'bfloat16'
    config.log_every = 100
    config.eval_every = 5000
    config.eval_batches = 100
    config.checkpoint = dict(every=5000)

    config.objective = dict(name='span_corruption', noise_density=0.15, mean_span_length=3.0)
    config.data = dict(train='bundled:novels', eval_fraction=0.01)
    config.tokenizer = dict(kind='unigram', vocab_size=32100)
    config.model = dict(t5.SIZES[size])
    config.loss = dict(z_loss=1e-4)
    config.optimizer = dict(name='adafactor', learning_rate=0.01, schedule='rsqrt', warmup=0, decay=10_000, clip=None)

    if variant == 'baseline':
        config.update(steps=2**19, batch_size=128)
    if variant in ('mini', 'tiny'):
        config.update(dtype='float32', batch_size=32, sequence_length=128, steps=1000, log_every=10, eval_every=250,
                      eval_batches=20)
        config.data.eval_fraction = 0.1
        config.tokenizer.vocab_size = 4096
        config.model.update(layers=3, dim=256, heads=8, head_dim=32, mlp_dim=1024, logit_scale=256**-0.5, vocab_size=None)
        config.optimizer.update(learning_rate=0.03, warmup=100, decay=500)
    if variant == 'tiny':
        config.update(batch_size=8, sequence_length=64, steps=20, log_every=5, eval_every=0, eval_batches=8)
        config.tokenizer = dict(kind='bytes')
        config.model.update(layers=2, dim=64, head_dim=8, mlp_dim=256, logit_scale=64**-0.5)
        config.optimizer.update(warmup=2, decay=10)
    return config
