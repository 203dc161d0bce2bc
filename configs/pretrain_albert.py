"""ALBERT, version 2 (Lan et al. 2020): n-gram masking and sentence order, one set of weights for all layers; four sizes.

    python -m train.main --config=configs/pretrain_albert.py:base --config.data.train='wikipedia/*.jsonl' --workdir=runs/albert

Variants: base (the plain one, 12M), large (18M), xlarge (59M), xxlarge (223M), mini (6.0M), tiny.
Without --config.data.train it reads the bundled novels; the paper's corpora are Wikipedia and a collection of books.

LAMB as in google-research/albert, without bias correction; 40 static masks. The README there predicts at most 20 tokens of a
row of 512 (--config.objective.max_predictions=20), the paper 15 %, as here. Only the network is version 2's (no dropout): the
125,000 steps are the paper's, where version 2 had 10 million (base) or 3 million (others) on more data.
"""
import ml_collections

from model.families import albert

VARIANTS = ('', 'base', 'large', 'xlarge', 'xxlarge', 'mini', 'tiny')


def get_config(variant=''):
    config = ml_collections.ConfigDict()
    config.steps = 125_000
    config.batch_size = 4096
    config.sequence_length = 512
    config.dtype = 'bfloat16'
    config.log_every = 100
    config.eval_every = 5000
    config.eval_batches = 100
    config.checkpoint = dict(every=5000)

    config.objective = dict(name='masked_lm', inputs='sentence_order', select='ngram', max_ngram=3, count='bert', rate=0.15,
                            mask=0.8, random=0.1, short=0.1, masks=40)
    config.data = dict(train='bundled:novels', eval_fraction=0.01)
    config.tokenizer = dict(kind='unigram', vocab_size=30000)
    config.model = dict(albert.SIZES[variant if variant in albert.SIZES else 'base'])
    config.optimizer = dict(name='lamb', learning_rate=0.00176, schedule='linear_bert', warmup=3125, b1=0.9, b2=0.999,
                            epsilon=1e-6, bias_correction=False, weight_decay=0.01, no_decay=(r'bias$', r'scale$'), clip=1.0)

    if variant in ('mini', 'tiny'):
        config.update(dtype='float32', batch_size=32, sequence_length=128, steps=600, log_every=10, eval_every=250,
                      eval_batches=20)
        config.data.eval_fraction = 0.1
        config.tokenizer.vocab_size = 4096
        config.model.update(layers=3, dim=640, heads=8, vocab_size=None, max_length=None)
        config.optimizer.update(warmup=100)
    if variant == 'tiny':
        config.update(batch_size=8, sequence_length=64, steps=20, log_every=5, eval_every=0, eval_batches=8)
        config.tokenizer = dict(kind='bytes')
        config.model.update(layers=2, dim=64, embed_dim=32)
        config.optimizer.warmup = 2
    return config
