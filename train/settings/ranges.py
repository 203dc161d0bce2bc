"""What a value must be by itself: ranges of numbers, and the choices that exist.

One row of RANGES for every number of the schema, one of CHOICES for every name; `train/settings/parse.py` adds the value and who set
it. What values must be beside one another is in `train/settings/checks.py`. No JAX.
"""
import re

from model import config as model_config
from train.settings import errors, schema

RULES = {
    'at least 1': lambda v: v >= 1,
    'at least 0': lambda v: v >= 0,
    'more than 0': lambda v: v > 0,
    '0 to 1': lambda v: 0 <= v <= 1,
    'at least 0 and below 1': lambda v: 0 <= v < 1,
    'more than 0 and below 1': lambda v: 0 < v < 1,
    'more than 0 and at most 1': lambda v: 0 < v <= 1,
    '0 to 4294967295': lambda v: 0 <= v < 2**32,
}
RANGES = (                                    # (regex of the key, rule): one row for every number of the schema
    (r'seed', '0 to 4294967295'),
    (r'steps|batch_size|sequence_length|accumulation|log_every|eval_batches', 'at least 1'),
    (r'eval_every|sample_every|checkpoint\.every', 'at least 0'),
    (r'epochs', 'more than 0'),
    (r'ema', 'more than 0 and below 1'),
    (r'model\.(types|position_offset)', 'at least 0'),
    (r'model\.(\w+_)?dropout', 'at least 0 and below 1'),
    (r'model\.(norm_epsilon|rotary_base|\w+_scale|\w+_soft_cap)', 'more than 0'),
    (r'model\.(layers|decoder_layers|dim|embed_dim|heads|kv_heads|head_dim|mlp_dim)', 'at least 1'),
    (r'model\.(vocab_size|max_length|relative_buckets|relative_distance|unroll)', 'at least 1'),
    (r'data\.eval_fraction', 'at least 0 and below 1'),
    (r'data\.(threads|prefetch)|tokenizer\.vocab_size', 'at least 1'),
    (r'tokenizer\.sample_bytes', 'at least 0'),
    (r'optimizer\.(learning_rate|adam_learning_rate|epsilon|clip)', 'more than 0'),
    (r'optimizer\.(b1|b2|momentum)', 'at least 0 and below 1'),
    (r'optimizer\.final', '0 to 1'),
    (r'optimizer\.(decay|cycle)', 'at least 1'),
    (r'optimizer\.(warmup|weight_decay|l1|l2)', 'at least 0'),
    (r'loss\.label_smoothing', 'at least 0 and below 1'),
    (r'loss\.z_loss', 'at least 0'),
    (r'mesh\.\w+', 'at least 1'),
    (r'checkpoint\.keep|early_stopping\.patience|sample\.max_new_tokens', 'at least 1'),
    (r'early_stopping\.min_delta|sample\.(temperature|top_k)', 'at least 0'),
    (r'sample\.top_p', 'more than 0 and at most 1'),
)
CHOICES = {
    'dtype': schema.DTYPES,
    'model.architecture': model_config.ARCHITECTURES,
    'model.activation': model_config.ACTIVATIONS,
    'model.norm': model_config.NORMS,
    'model.norm_position': model_config.NORM_POSITIONS,
    'model.positions': model_config.POSITIONS,
    'model.head': model_config.HEADS,
    'model.initializer': model_config.INITIALIZERS,
    'model.remat': model_config.REMAT,
    'tokenizer.kind': schema.KINDS,
    'optimizer.name': schema.OPTIMIZERS,
    'optimizer.schedule': schema.SCHEDULES,
}


def rule(key):
    """The rule that a number must keep, in words, by its key; None if it has none."""
    return next((words for pattern, words in RANGES if re.fullmatch(pattern, key)), None)


def alone(key, value):
    """What is wrong with one value by itself, as a sentence; None if nothing is."""
    if value is None:
        return None
    if key in CHOICES and value not in CHOICES[key]:
        near = errors.did_you_mean(value, CHOICES[key])
        return f'expected {errors.one_of(CHOICES[key])}.{near}'
    if isinstance(value, (int, float)) and not isinstance(value, bool) and rule(key) and not RULES[rule(key)](value):
        return f'expected {rule(key)}.'
    return None                                # an objective's dataclass checks its own values
