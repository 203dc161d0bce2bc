"""PanGu-alpha (Zeng et al. 2021): GPT-2's network with a query layer on top, causal, rows of 1,024 tokens, documents apart.

    python -m train.main --config=configs/pretrain_pangu.py:13b --config.data.train='web/*.jsonl' --workdir=runs/pangu

Variants: 2.6b (the plain one), 13b, 200b, mini (5.9M), tiny. Without --config.data.train it reads the bundled novels; the 1.1 TB of Chinese
text were not published. The tokenizer is a SentencePiece BPE with as many pieces, as in the report.

Steps, learning rates, betas and weight decay are from the report's table of settings; warm-up, cosine (to a hundredth, a fiftieth and a
tenth at step 200,000), dropout, clipping and the parameters without decay are from the released code. Neither gives the rows of a step: 512
is our choice. Matrices are initialised as GPT-2's. Cost (report): 2.6b on 512 Ascend 910 processors, 13b on 1,024, 200b on 2,048 and later
1,024.
"""
import configs
from model.families import pangu

VARIANTS = ('', *pangu.SIZES, 'mini', 'tiny')
RECIPES = {                                   # steps, learning rate, what is left of it at the end, second beta, weight decay
    '2.6b': (70_000, 1e-4, 0.01, 0.999, 0.01), '13b': (84_000, 5e-5, 0.02, 0.98, 0.01), '200b': (260_000, 2e-5, 0.1, 0.95, 0.1),
}


def get_config(variant=''):
    size = variant if variant in pangu.SIZES else '2.6b'
    steps, learning_rate, final, b2, weight_decay = RECIPES[size]
    config = configs.published(steps=steps, batch_size=512, sequence_length=1024)
    config.checkpoint.every = 2000

    config.objective = dict(name='causal_lm')
    config.tokenizer = dict(kind='bpe', vocab_size=40000)
    config.model = dict(pangu.SIZES[size], remat='dots')
    config.optimizer = dict(name='adamw', learning_rate=learning_rate, schedule='cosine', warmup=2000, decay=200_000, final=final,
                            b1=0.9, b2=b2, epsilon=1e-8, weight_decay=weight_decay, no_decay=(r'bias$', r'scale$'), clip=1.0)

    configs.small(config, variant, dict(layers=6, remat='none'), learning_rate=1e-3, decay=None)
    return config
