"""Values only: one short file an experiment; here what all published recipes share, and what their small forms change."""
import ml_collections


def published():
    """bfloat16 on the bundled novels, until the user names a corpus; how often a run of weeks says something."""
    config = ml_collections.ConfigDict()
    config.dtype = 'bfloat16'
    config.log_every = 100
    config.eval_every = 5000
    config.eval_batches = 100
    config.checkpoint = dict(every=5000)
    config.data = dict(train='bundled:novels', eval_fraction=0.01)
    return config


def make_mini(config):
    """A recipe for minutes on a CPU: a vocabulary and rows that the bundled text fills, 8 heads; its file says how wide and deep."""
    config.update(dtype='float32', batch_size=32, sequence_length=128, steps=1000, log_every=10, eval_every=250, eval_batches=20)
    config.data.eval_fraction = 0.1
    config.tokenizer.vocab_size = 4096
    config.model.update(dim=256, heads=8, vocab_size=None, max_length=None)
    config.optimizer.warmup = 100


def make_tiny(config):
    """A mini recipe for seconds: two layers 64 wide, bytes."""
    config.update(batch_size=8, sequence_length=64, steps=20, log_every=5, eval_every=0, eval_batches=8)
    config.tokenizer = dict(kind='bytes')
    config.model.update(layers=2, dim=64)
    config.optimizer.warmup = 2
