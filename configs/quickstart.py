"""A small causal language model on public-domain novels, from nothing to samples in minutes on two CPU cores.

    python -m train.main --config=configs/quickstart.py --workdir=runs/quickstart

The last tenth of the characters is the evaluation split: Moby-Dick, an author that the rest hardly contains.
"""
import ml_collections

VARIANTS = ('', 'tiny')


def get_config(variant=''):
    config = ml_collections.ConfigDict()
    config.steps = 1000
    config.batch_size = 16
    config.sequence_length = 128
    config.log_every = 10
    config.eval_every = 250
    config.sample_every = 250
    config.checkpoint = dict(every=250, keep=2)

    config.objective = dict(name='causal_lm')
    config.data = dict(train='bundled:novels')
    config.tokenizer = dict(kind='unigram', vocab_size=4096)

    config.model = dict(layers=4, dim=128, heads=4, positions='rotary', norm='rmsnorm', bias=False)
    config.optimizer = dict(name='adamw', learning_rate=3e-3, schedule='cosine', warmup=50, final=0.1,
                            b2=0.99, weight_decay=0.1)
    config.sample = dict(prompts=('It was', 'Call me', 'The '), max_new_tokens=64, temperature=0.8)

    if variant == 'tiny':
        config.update(steps=20, batch_size=8, sequence_length=64, log_every=5, eval_every=0, sample_every=0)
        config.tokenizer = dict(kind='bytes')
        config.model.update(layers=2, dim=64, heads=8)
        config.optimizer.warmup = 2
        config.sample.max_new_tokens = 32
    return config
