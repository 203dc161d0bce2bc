"""ALBERT, version 2 (Lan et al. 2020): n-gram masking and sentence order, one set of weights for all layers; four sizes.

    python -m train.main --config=configs/pretrain_albert.py:base --config.data.train='wikipedia/*.jsonl' --workdir=runs/albert

Variants: base (the plain one, 12M), large (18M), xlarge (59M), xxlarge (223M), mini (6.0M), tiny. Without --config.data.train it reads the
bundled novels; the paper's corpora are Wikipedia and a collection of books.

LAMB as in google-research/albert, without bias correction; 40 static masks. The README there predicts at most 20 tokens of a row of 512
(--config.objective.max_predictions=20), the paper 15 %, as here. Only the network is version 2's (no dropout): the 125,000 steps are the
paper's; version 2 had 10 million (base) or 3 million (others) on more data.
"""
import configs
from model.families import albert

VARIANTS = ('', 'base', 'large', 'xlarge', 'xxlarge', 'mini', 'tiny')


def get_config(variant=''):
    config = configs.published(steps=125_000, batch_size=4096, sequence_length=512)

    config.objective = dict(name='masked_lm', inputs='sentence_order', select='ngram', max_ngram=3, count='bert', rate=0.15,
                            mask=0.8, random=0.1, short=0.1, masks=40)
    config.tokenizer = dict(kind='unigram', vocab_size=30000)
    config.model = dict(albert.SIZES[variant if variant in albert.SIZES else 'base'])
    config.optimizer = dict(name='lamb', learning_rate=0.00176, schedule='linear_bert', warmup=3125, b1=0.9, b2=0.999,
                            epsilon=1e-6, bias_correction=False, weight_decay=0.01, no_decay=(r'bias$', r'scale$'), clip=1.0)

    configs.small(config, variant, dict(layers=3, dim=640), steps=600)
    if variant == 'tiny':
        config.model.update(embed_dim=32)
    return config
