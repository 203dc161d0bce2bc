"""BERT (Devlin et al. 2019): masked LM and next-sentence prediction, 90 % of the steps on rows of 128, the rest on 512.

    python -m train.main --config=configs/pretrain_bert.py:base --config.data.train='wikipedia/*.jsonl' --workdir=runs/bert
    python -m train.main --config=configs/pretrain_bert.py:base-512 --config.init.from=runs/bert --workdir=runs/bert-512

Variants: base (the plain one, 110M) and large (336M), the first phase; base-512 and large-512, which continue it from --config.init.from
with the same --config.data.train; mini (6.0M), tiny. Without --config.data.train they read the bundled novels; the paper's corpora are
Wikipedia and a collection of books. SentencePiece's BPE with as many pieces replaces WordPiece; --config.objective.select=word masks whole
words.

The learning rate rises to 1e-4 over 10,000 steps and then falls on the line from 1e-4 at step 0 to 0 at a million; its last tenth is the
second phase. Adam as in google-research/bert, without bias correction; 10 static masks. Cost (paper): base 4 days on 16 TPU chips, large 4
days on 64. mini: 1,000 steps of 1.26 s on two cores, in which it learns only token frequencies (held-out masked LM 6.82 nats, next sentence
0.69).
"""
import configs
from model.families import bert

VARIANTS = ('', 'base', 'large', 'base-512', 'large-512', 'mini', 'tiny')


def get_config(variant=''):
    size, _, phase = variant.partition('-')
    config = configs.published(steps=100_000 if phase else 900_000, batch_size=256, sequence_length=512 if phase else 128)

    config.objective = dict(name='masked_lm', inputs='next_sentence', select='token', count='bert', rate=0.15, mask=0.8,
                            random=0.1, short=0.1, masks=10, max_predictions=80 if phase else 20)
    config.tokenizer = dict(kind='bpe', vocab_size=30522)
    config.model = dict(bert.SIZES[size if size in bert.SIZES else 'base'])
    config.optimizer = dict(name='adamw', learning_rate=1e-4, schedule='linear_bert', warmup=10_000, final=0.1, b1=0.9, b2=0.999,
                            epsilon=1e-6, bias_correction=False, weight_decay=0.01, no_decay=(r'bias$', r'scale$'), clip=1.0)
    if phase:
        config.optimizer.update(learning_rate=1e-5, warmup=0, final=0.0)

    configs.small(config, variant, dict(layers=6), learning_rate=1e-3, final=0.0)
    if variant == 'tiny':
        config.objective.max_predictions = 0
    return config
