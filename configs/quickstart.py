"""A small causal language model on public-domain novels, from nothing to samples on two CPU cores; `:masked_lm` is an encoder.

    python -m train.main --config=configs/quickstart.py --workdir=runs/quickstart
    python -m train.main --config=configs/quickstart.py:masked_lm --workdir=runs/masked

The last tenth of the characters is the evaluation split: Moby-Dick, an author that the rest hardly contains. Muon
(Jordan et al. 2024) and a learning rate that falls over the second half make the most of few steps.

Cost: about 45 s, of which 8 until the first step, on two cores without anything else to do; 1.84 M parameters. Reaches 2.48 bits/byte at
step 150 (seed 0) and 2.32 at step 300 (`python -m bench quality`, median of 3 seeds; the recipe was chosen on this text).
"""
import ml_collections

VARIANTS = ('', 'masked_lm', 'tiny')


def get_config(variant=''):
    config = ml_collections.ConfigDict(
        dict(steps=300, batch_size=8, sequence_length=128, log_every=10, eval_every=150, sample_every=75))
    config.checkpoint = dict(every=150, keep=2)

    config.objective = dict(name='causal_lm')
    config.data = dict(train='bundled:novels')
    config.tokenizer = dict(kind='bpe', vocab_size=4096)  # fitted in half a second; unigram takes five

    config.model = dict(layers=4, dim=128, heads=4, positions='rotary', norm='rmsnorm', norm_epsilon=1e-6, bias=False,
                        activation='gelu_tanh', tied=False)
    config.optimizer = dict(name='muon', learning_rate=0.01, adam_learning_rate=0.02, multipliers=(('head/kernel', 0.5),),
                            schedule='wsd', warmup=20, decay=150, b2=0.95, epsilon=1e-10, clip=1.0)
    config.sample = dict(prompts=('It was', 'Call me', 'The '), max_new_tokens=64, temperature=0.8, top_k=40)

    if variant == 'masked_lm':                # the same recipe: three times the steps, of twice the rows
        config.update(steps=900, batch_size=16, log_every=20, eval_every=150, eval_batches=40, sample_every=300)
        config.objective = dict(name='masked_lm')
        config.model.update(architecture='encoder')
        config.optimizer.update(warmup=50, decay=450)
        config.checkpoint.update(every=450)
        del config.sample                     # encoders fill the masks of held-out text
    if variant == 'tiny':
        config.update(steps=20, batch_size=8, sequence_length=64, log_every=5, eval_every=0, eval_batches=8, sample_every=0)
        config.tokenizer = dict(kind='bytes')
        config.model.update(layers=2, dim=64, heads=8)
        config.optimizer.update(warmup=1, decay=1)
        config.sample.max_new_tokens = 32
    return config
