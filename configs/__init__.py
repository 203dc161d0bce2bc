"""Values only: one short file an experiment; here what all published recipes share, and what their small variants change."""
import ml_collections


def published(**settings) -> ml_collections.ConfigDict:
    """A recipe with these settings, in bfloat16 on the bundled novels until the user names a corpus, logged as a run of weeks is."""
    config = ml_collections.ConfigDict(dict(settings, dtype='bfloat16', log_every=100, eval_every=5000, eval_batches=100))
    config.checkpoint = dict(every=5000)
    config.data = dict(train='bundled:novels', eval_fraction=0.01)
    return config


def small(config: ml_collections.ConfigDict, variant: str, model: dict, steps: int = 1000, **optimizer) -> bool:
    """Changes a recipe to its variant mini or tiny; False, and no change, for the others.

    mini takes minutes on a CPU: a vocabulary and rows for the bundled text, 8 heads, and the settings `model`, `steps` and `optimizer`.
    tiny takes seconds: two layers 64 wide, bytes.
    """
    if variant not in ('mini', 'tiny'):
        return False
    config.update(dtype='float32', batch_size=32, sequence_length=128, steps=steps, log_every=10, eval_every=250, eval_batches=20)
    config.data.eval_fraction = 0.1
    config.tokenizer.vocab_size = 4096
    config.model.update(dict(dim=256, heads=8, vocab_size=None, max_length=None), **model)
    config.optimizer.update(optimizer, warmup=100)
    if variant == 'tiny':
        config.update(batch_size=8, sequence_length=64, steps=20, log_every=5, eval_every=0, eval_batches=8)
        config.tokenizer = dict(kind='bytes')
        config.model.update(layers=2, dim=64)
        config.optimizer.warmup = 2
    return True
