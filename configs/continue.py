"""Continued pretraining of an imported model or another run, on more text: model, tokenizer, objective and dtype are those of init.from.

    python -m train.convert import --hf=DIR --out=runs/imported
    python -m train.main --config=configs/continue.py --config.init.from=runs/imported --config.data.train='*.txt' --workdir=runs/more

Variants: the plain one has the objective that the model was pretrained with; causal_lm, prefix_lm, masked_lm, replaced_token_detection,
permuted_lm, span_corruption and denoising have that one, if the model's architecture allows it; tiny continues nothing but starts fresh.
Without --config.data.train it reads the bundled novels. Heads of another objective are left out, missing ones start fresh.
`--config.model.KEY=VALUE` changes a setting of the model, such as model.dropout.

A learning rate of 5e-5 with a tenth of the steps of warm-up is small enough for all families (Gururangan et al. 2020 take 1e-4 for RoBERTa
and batches of 256).
"""
import ml_collections

VARIANTS = ('', 'causal_lm', 'prefix_lm', 'masked_lm', 'replaced_token_detection', 'permuted_lm', 'span_corruption', 'denoising', 'tiny')


def get_config(variant=''):
    config = ml_collections.ConfigDict(
        dict(steps=1000, batch_size=16, sequence_length=128, log_every=10, eval_every=250, eval_batches=40))
    config.init = {'from': 'runs/imported'}
    config.data = dict(train='bundled:novels')
    config.optimizer = dict(name='adamw', learning_rate=5e-5, schedule='linear', warmup=100, b1=0.9, b2=0.999, weight_decay=0.01, clip=1.0)
    if variant not in ('', 'tiny'):
        config.objective = dict(name=variant)
    if variant == 'tiny':
        config.init = {}
        config.update(batch_size=8, sequence_length=64, steps=20, log_every=5, eval_every=0, eval_batches=8)
        config.objective = dict(name='causal_lm')
        config.tokenizer = dict(kind='bytes')
        config.model = dict(layers=2, dim=64, heads=8)
        config.optimizer.update(warmup=2)
        config.sample = dict(max_new_tokens=8)
    return config
