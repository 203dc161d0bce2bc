"""GPT-2 (Radford et al. 2019): a causal language model with learned positions, in four sizes.

    python -m train.main --config=configs/pretrain_gpt2.py:small --config.data.train='openwebtext/*.jsonl' --workdir=runs/gpt2

Variants: small (the plain one, 124M), medium (355M), large (774M), xl (1.6B), mini (5.8M), tiny. Without --config.data.train it reads the
bundled novels; WebText itself was never published. SentencePiece's BPE with as many pieces and byte fallback replaces a byte-level BPE.

The paper states batch, length and initialisation. The optimizer is nanoGPT's, which reached OpenAI's loss with it (its 600,000 steps of 480
rows, validation loss 2.85 on OpenWebText), with GPT-3's learning rates for the larger sizes. Neither uses dropout. Cost (nanoGPT): small
about 4 days on 8 A100.
"""
import configs
from model.families import gpt2

VARIANTS = ('', 'small', 'medium', 'large', 'xl', 'mini', 'tiny')
LEARNING_RATES = {'small': 6e-4, 'medium': 3e-4, 'large': 2.5e-4, 'xl': 2e-4}


def get_config(variant=''):
    size = variant if variant in gpt2.SIZES else 'small'
    config = configs.published(steps=600_000, batch_size=512, sequence_length=1024)

    config.objective = dict(name='causal_lm')
    config.tokenizer = dict(kind='bpe', vocab_size=50257)
    config.model = dict(gpt2.SIZES[size])
    config.optimizer = dict(name='adamw', learning_rate=LEARNING_RATES[size], schedule='cosine', warmup=2000, final=0.1,
                            b1=0.9, b2=0.95, weight_decay=0.1, no_decay=(r'bias$', r'scale$'), clip=1.0)

    configs.small(config, variant, dict(layers=6), learning_rate=1e-3)
    return config
