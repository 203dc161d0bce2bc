"""ELECTRA (Clark et al. 2020): detect the tokens that a small generator has replaced; three sizes.

    python -m train.main --config=configs/pretrain_electra.py:small --config.data.train='web/*.jsonl' --workdir=runs/electra

Variants: small (14M, rows of 128), base (the plain one, 110M), large (335M), mini (5.4M and a generator), tiny. Without --config.data.train
it reads the bundled novels; the paper's corpora are BERT's, and XLNet's for large. (The small model is often trained on OpenWebText.)
SentencePiece's BPE with as many pieces replaces WordPiece. Fine-tuning takes the discriminator.

Optimizer, steps and shares are those of table 6 and the code: Adam without bias correction, warm-up times a line to 0. Cost (paper): small
4 days on one V100, 1.4e18 operations; base 6.4e19.
"""
import configs
from model.families import electra

VARIANTS = ('', 'small', 'base', 'large', 'mini', 'tiny')
RECIPES = {                                   # steps, rows, length, learning rate, share of masked tokens
    'small': (1_000_000, 128, 128, 5e-4, 0.15),
    'base': (766_000, 256, 512, 2e-4, 0.15),
    'large': (400_000, 2048, 512, 2e-4, 0.25),
}


def get_config(variant=''):
    size = variant if variant in electra.SIZES else 'base'
    steps, rows, length, learning_rate, rate = RECIPES[size]
    config = configs.published(steps=steps, batch_size=rows, sequence_length=length)

    config.objective = dict(name='replaced_token_detection', rate=rate, mask=0.85, generator='model',
                            generator_dim=electra.GENERATORS[size], generator_layers=1.0, temperature=1.0,
                            generator_weight=1.0, discriminator_weight=50.0)
    config.tokenizer = dict(kind='bpe', vocab_size=30522)
    config.model = dict(electra.SIZES[size])
    config.optimizer = dict(name='adamw', learning_rate=learning_rate, schedule='linear_electra', warmup=10_000, b1=0.9, b2=0.999,
                            epsilon=1e-6, bias_correction=False, weight_decay=0.01, no_decay=(r'bias$', r'scale$'), clip=1.0)

    if configs.small(config, variant, dict(layers=6, embed_dim=128), learning_rate=5e-4):
        config.objective.generator_dim = 0.25
    if variant == 'tiny':
        config.model.update(embed_dim=32)
    return config
