"""RoBERTa (Liu et al. 2019): masked LM alone, masks drawn anew each epoch, rows of whole sentences across documents.

    python -m train.main --config=configs/pretrain_roberta.py:base --config.data.train='books/*.jsonl' --workdir=runs/roberta

Variants: base (the plain one, 125M) by fairseq's base.yaml, base-500k and large (355M) by the paper's table 9, mini (5.9M), tiny. Without
--config.data.train it reads the bundled novels; the paper's 160 GB are Wikipedia, books, news and web text. SentencePiece's BPE with as
many pieces and byte fallback replaces a byte-level BPE.

As in fairseq, <s> and </s> (here [CLS] and [SEP]) may be masked too, random ids are no special ones, all parameters decay. Cost (paper):
large, 100,000 steps, a day on 1,024 V100.
"""
import configs
from model.families import roberta

VARIANTS = ('', 'base', 'base-500k', 'large', 'mini', 'tiny')
RECIPES = {                                   # steps, rows, learning rate, warm-up
    'base': (125_000, 2048, 5e-4, 10_000),
    'base-500k': (500_000, 8192, 6e-4, 24_000),
    'large': (500_000, 8192, 4e-4, 30_000),
}


def get_config(variant=''):
    steps, rows, learning_rate, warmup = RECIPES.get(variant, RECIPES['base'])
    config = configs.published(steps=steps, batch_size=rows, sequence_length=512)

    config.objective = dict(name='masked_lm', inputs='full_sentences', select='token', count='roberta', candidates='row',
                            random_ids='text', rate=0.15, mask=0.8, random=0.1, masks=0)
    config.tokenizer = dict(kind='bpe', vocab_size=50265)
    config.model = dict(roberta.SIZES['large' if variant == 'large' else 'base'])
    config.optimizer = dict(name='adamw', learning_rate=learning_rate, schedule='linear', warmup=warmup, b1=0.9, b2=0.98,
                            epsilon=1e-6, weight_decay=0.01, no_decay=(), clip=None)

    configs.small(config, variant, dict(layers=6), learning_rate=1e-3)
    return config
