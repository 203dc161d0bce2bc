"""What values must be beside one another: heads and dim, warm-up and steps, ... What one must be alone is in `train/settings/ranges.py`.

Every check yields (key, text): the text says what was expected and what to change; `train/settings/parse.py` adds the value and
who set it. `CHECKS` pairs each function with the keys that it reads, so that a value already reported is not reported
twice. No JAX: these run before it is imported. The mesh has its own file, `train/settings/fits.py`.
"""
import os
import re

from model import positions as schemes
from train.settings import errors, members, schema


def near(value, numbers):
    """'Near: 4, 8.': the closest of the numbers below and above a value."""
    below, above = [n for n in numbers if n < value], [n for n in numbers if n > value]
    return 'Near: ' + ', '.join(str(n) for n in [*below[-1:], *above[:1]]) + '.'


def divisors(number):
    return [d for d in range(1, number + 1) if number % d == 0]


def length(config):
    if bool(config.steps) == bool(config.epochs):
        key = 'epochs' if config.epochs else 'steps'
        both = f'steps = {config.steps} is set too, expected one of them; unset the other, such as --config.steps=None.'
        yield key, both if config.epochs else 'expected steps or epochs; set one, such as --config.steps=1000.'


def heads(config):
    model = config.model
    if not model.head_dim and model.dim % model.heads:
        yield 'model.heads', (f'model.dim = {model.dim} is not divisible by {model.heads}. '
                              f'{near(model.heads, divisors(model.dim))}')
    if model.kv_heads and model.heads % model.kv_heads:
        yield 'model.kv_heads', (f'model.heads = {model.heads} is not divisible by {model.kv_heads}. '
                                 f'{near(model.kv_heads, divisors(model.heads))}')


def windows(config):
    model = config.model
    if model.windows is None:
        return
    layers = max(model.depth('encoder'), model.depth('decoder'))
    if not 1 <= len(model.windows) <= layers:
        got = len(model.windows)
        yield 'model.windows', f'expected one entry a layer, or fewer that repeat: 1 to {layers}, got {got}.'
    if any(w is not None and w < 1 for w in model.windows):
        yield 'model.windows', 'expected numbers of at least 1, or None for a layer without a window.'


def positions(config):
    yield from schemes.of(config.model).problems()
    if config.model.limit and longest(config) > config.model.limit:
        yield 'model.max_length', f'expected at least {longest(config)} for sequence_length = {config.sequence_length}.'


def types(config):
    """An objective tells pairs of sentences apart by types; ids past the end of a table have no embedding."""
    for prefix, part in members.parts(config.objective):
        if 0 < config.model.types < part.types:
            yield 'model.types', (f'{prefix}name = {part.name} tells {part.types} types apart; '
                                  f'expected at least {part.types}, or 0 for none.')


def of_positions(config):
    """Settings that belong to one kind of positions."""
    model = config.model
    if model.position_offset and model.positions != 'learned':
        yield 'model.position_offset', (f'they are rows of the learned table, model.positions = {model.positions} have none; '
                                        'expected 0.')
    if model.rotary_scaling is not None and model.positions != 'rotary':
        yield 'model.rotary_scaling', f'model.positions = {model.positions} have no frequencies; expected None.'


def query_layer(config):
    model = config.model
    if not model.query_layer:
        return
    for name, expected in (('architecture', 'decoder'), ('positions', 'learned'), ('norm_position', 'pre')):
        if getattr(model, name) != expected:
            yield f'model.{name}', f'model.query_layer = True needs {expected}: the layer that asks with a table of positions ' \
                                   'ends a pre-norm decoder.'
    if model.layers < 2:
        yield 'model.layers', 'model.query_layer = True is the last of them; expected at least 2.'


def longest(config):
    """The most tokens that a stack of the model reads in a row."""
    return max([config.sequence_length, *lengths(config).values()])


def lengths(config):
    """{'tokens': ..., 'encoder_tokens': ...} of the batch; {} for an objective whose settings are wrong."""
    if config.objective is None or config.objective.problems():
        return {}
    return {name: size for name, size in config.objective.lengths().items() if name in ('tokens', 'encoder_tokens')}


def vocabulary(config):
    size, settings = config.model.vocab_size, config.tokenizer
    if size and not settings.path and settings.kind != 'bytes' and size < settings.vocab_size:
        yield 'model.vocab_size', f'expected at least tokenizer.vocab_size = {settings.vocab_size}; None takes that.'


def objective(config):
    if config.objective is not None:
        yield from config.objective.problems()
    if config.objective is not None and config.model.architecture not in config.objective.architectures:
        name = schema.objective_name(config.objective)
        yield 'model.architecture', f'objective.name = {name} needs {errors.one_of(config.objective.architectures)}.'


def streams(config):
    """Positions of a row count from the start of its text: absolute ones cannot tell a memory or a text read backwards."""
    scheme = config.model.positions
    if schemes.of(config.model).absolute:
        for prefix, part in members.parts(config.objective):
            if part.memory_length:
                yield f'{prefix}memory_length', (f'model.positions = {scheme} are absolute, what is remembered lies before a row; '
                                                 'expected 0, or model.positions = xl.')
            if part.backwards:
                yield f'{prefix}{part.backwards}', (f'model.positions = {scheme} are absolute, rows that are read backwards have negative '
                                              'ones; expected forward, or model.positions = xl.')
    if config.model.relative_segments and scheme != 'xl':
        yield 'model.relative_segments', f'they are a term of xl scores, model.positions = {scheme} have none; expected False.'


def schedule(config):
    optimizer, steps = config.optimizer, config.steps
    if optimizer.name == 'adam' and optimizer.weight_decay:
        yield 'optimizer.weight_decay', ('adam has no decoupled weight decay; use optimizer.name = adamw, '
                                         'or optimizer.l2 for a penalty in the gradient.')
    if not steps:
        return
    if optimizer.warmup > steps:
        yield 'optimizer.warmup', f'expected at most steps = {steps}.'
    elif optimizer.schedule == 'wsd' and optimizer.decay and optimizer.warmup + optimizer.decay > steps:
        yield 'optimizer.decay', (f'optimizer.warmup + optimizer.decay = {optimizer.warmup} + {optimizer.decay} steps, '
                                  f'more than steps = {steps}; expected at most {steps - optimizer.warmup}.')
    elif optimizer.schedule == 'cosine' and optimizer.decay and optimizer.decay <= optimizer.warmup:
        yield 'optimizer.decay', f'expected more than optimizer.warmup = {optimizer.warmup}: the step at which the cosine ends.'
    elif optimizer.schedule == 'cyclic' and optimizer.cycle and optimizer.cycle > steps:
        yield 'optimizer.cycle', f'expected at most steps = {steps}.'


def evaluation(config):
    metrics = {'checkpoint.best': config.checkpoint.best, 'early_stopping.metric': config.early_stopping.metric}
    for key, metric in ((key, metric) for key, metric in metrics.items() if metric is not None):
        if not metric.startswith('eval/'):
            yield key, 'expected a metric of the evaluation, such as eval/loss.'
        if not config.eval_every:
            yield key, 'expected evaluations on the way, got eval_every = 0; set it, such as --config.eval_every=100.'
    if config.eval_every and not config.data.eval and not config.data.eval_fraction:
        yield 'eval_every', 'nothing to evaluate on: set data.eval, or data.eval_fraction above 0.'


def patterns(config):
    for key, regexes in (('optimizer.no_decay', config.optimizer.no_decay), ('init.paths', config.init.paths),
                         ('optimizer.multipliers', [r for r, _ in config.optimizer.multipliers]),
                         ('mesh.rules', [r for r, _ in config.mesh.rules])):
        for regex in regexes:
            try:
                re.compile(regex)
            except re.error as error:
                yield key, f'expected regular expressions, got {regex!r}: {error}.'
    for regex, replacement in config.init.rename:
        try:
            re.sub(regex, replacement, '')
        except re.error as error:
            yield 'init.rename', f'expected (regular expression, replacement) pairs, got {(regex, replacement)!r}: {error}.'
    if any(factor < 0 for _, factor in config.optimizer.multipliers):
        yield 'optimizer.multipliers', 'expected factors of at least 0.'


def rules(config):
    """(key, text) for the axes that mesh.rules names and no mesh has."""
    for pattern, spec in config.mesh.rules:
        for name in (spec if isinstance(spec, tuple) else (spec,)):
            for axis in (name if isinstance(name, tuple) else (name,)):
                if axis is not None and axis not in schema.AXES:
                    near = errors.did_you_mean(str(axis), schema.AXES)
                    text = f'{pattern!r} names the axis {axis!r}; expected None, {errors.one_of(schema.AXES)}.{near}'
                    yield 'mesh.rules', text


def start(config):
    folder = config.init.from_
    if folder and '://' not in folder and not os.path.exists(os.path.expanduser(folder)):
        yield 'init.from', 'no such folder; expected the workdir or the checkpoint of another run.'


CHECKS = (                                    # (regex of the keys that a check reads, the check)
    (r'steps|epochs', length),
    (r'model\.(dim|heads|kv_heads|head_dim|positions)', heads),
    (r'model\.(windows|layers|decoder_layers|architecture)', windows),
    (r'model\.(positions|max_length|dim|heads|head_dim|rotary_scaling|relative_\w+)|sequence_length|objective\..*', positions),
    (r'model\.types|objective\..*', types),
    (r'model\.(positions|position_offset|rotary_scaling)', of_positions),
    (r'model\.(query_layer|architecture|positions|norm_position|layers)', query_layer),
    (r'model\.vocab_size|tokenizer\.\w+', vocabulary),
    (r'objective\..*|model\.architecture|sequence_length', objective),
    (r'model\.(positions|relative_segments|dim)|objective\..*', streams),
    (r'steps|optimizer\.(name|weight_decay|warmup|decay|cycle|schedule)', schedule),
    (r'checkpoint\.best|early_stopping\.metric|eval_every|data\.eval\w*', evaluation),
    (r'optimizer\.(no_decay|multipliers)|init\.(paths|rename)|mesh\.rules', patterns),
    (r'init\.from', start),
    (r'mesh\.rules', rules),
)


def together(config, bad=()):
    """(key, text) for every disagreement between values; checks that read a key in `bad` are left out."""
    for pattern, check in CHECKS:
        if not any(re.fullmatch(pattern, key) for key in bad):
            yield from check(config)
