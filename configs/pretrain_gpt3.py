"""GPT-3 (Brown et al. 2020): GPT-2's network in eight sizes, by the paper's tables 2.1 and D.1.

    python -m train.main --config=configs/pretrain_gpt3.py:6.7b --config.data.train='web/*.jsonl' --workdir=runs/gpt3

Variants: small (125M), medium (356M), large (760M), xl (1.3B), 2.7b, 6.7b, 13b, 175b (the plain one), mini (5.8M), tiny. Without
--config.data.train it reads the bundled novels; the paper's mixture of filtered web pages, books and Wikipedia was not published.
SentencePiece's BPE with as many pieces replaces GPT-2's. All layers have full attention (see model/families/gpt3.py), and the batch has its
full size from the start; the paper's grows over the first 4 to 12 billion tokens.

300 billion tokens each; warm-up over 375 million, cosine to a tenth over 260 billion, then constant. Cost (paper): 175b 3,640
petaflop/s-days, 6.7b 139, small 2.6.
"""
import configs
from model.families import gpt3

VARIANTS = ('', *gpt3.SIZES, 'mini', 'tiny')
RECIPES = {                                   # (rows of 2,048 tokens a step, learning rate); table 2.1: 0.5M = 2^19 tokens
    'small': (256, 6e-4), 'medium': (256, 3e-4), 'large': (256, 2.5e-4), 'xl': (512, 2e-4), '2.7b': (512, 1.6e-4),
    '6.7b': (1024, 1.2e-4), '13b': (1024, 1e-4), '175b': (1536, 0.6e-4),
}


def get_config(variant=''):
    size = variant if variant in gpt3.SIZES else '175b'
    rows, learning_rate = RECIPES[size]
    config = configs.published(steps=round(300e9 / (rows * 2048)), batch_size=rows, sequence_length=2048)
    config.checkpoint.every = 2000

    config.objective = dict(name='causal_lm')
    config.tokenizer = dict(kind='bpe', vocab_size=50257)
    config.model = dict(gpt3.SIZES[size], remat='dots')
    config.optimizer = dict(name='adamw', learning_rate=learning_rate, schedule='cosine', warmup=round(375e6 / (rows * 2048)),
                            decay=round(260e9 / (rows * 2048)), final=0.1, b1=0.9, b2=0.95, epsilon=1e-8, weight_decay=0.1,
                            no_decay=(r'bias$', r'scale$'), clip=1.0)

    configs.small(config, variant, dict(layers=6, remat='none'), learning_rate=1e-3, decay=870)
    if variant == 'tiny':
        config.optimizer.decay = 18
    return config
