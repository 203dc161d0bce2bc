"""What is wrong with a command or a config, all problems at once: one numbered line a problem, with the fix.

A problem is a subject (the setting and its value, or the flag), a sentence (expected, got, what to change) and an
origin (the file or flag that set the value). `closest` finds what a misspelt key was meant to be: how many letters of its last
name differ (difflib), plus a price for another group.
"""
import dataclasses
import difflib
from typing import Any, Iterable

from data import errors as data_errors

FOREIGN = {                                   # names of other codebases that are not like ours, and ours
    'lr': 'learning_rate', 'wd': 'weight_decay', 'hidden_size': 'dim', 'd_model': 'dim', 'n_embd': 'dim', 'width': 'dim',
    'depth': 'layers', 'd_ff': 'mlp_dim', 'intermediate_size': 'mlp_dim', 'embedding_size': 'embed_dim', 'dim_feedforward': 'mlp_dim',
    'swiglu': 'gated', 'block_size': 'sequence_length', 'seq_len': 'sequence_length', 'max_seq_length': 'sequence_length',
    'context_length': 'sequence_length', 'max_iters': 'steps', 'warmup_steps': 'warmup', 'decay_steps': 'decay', 'clip_norm': 'clip',
    'max_grad_norm': 'clip', 'beta1': 'b1', 'beta2': 'b2', 'eps': 'epsilon', 'betas': 'b1', 'gradient_accumulation_steps': 'accumulation',
    'grad_accum': 'accumulation', 'precision': 'dtype', 'batch': 'batch_size', 'optimizer': 'optimizer.name',
    'eval_interval': 'eval_every', 'log_interval': 'log_every', 'save_every': 'checkpoint.every', 'dataset': 'data.train',
    'num_key_value_heads': 'kv_heads', 'tie_embeddings': 'tied', 'weight_tying': 'tied',
}


@dataclasses.dataclass(frozen=True)
class Problem:
    subject: str                              # 'model.heads = 6' or '--config.optimizer.learning_rat'
    text: str                                 # expected, got, what to change
    origin: str = ''                          # 'set in configs/tiny.py'


class Error(Exception):
    """The user has to change something. `str(error)`: a heading, the problems in columns, what happened; `code`: the exit status."""

    code = 2

    def __init__(self, problems, kind='config', end='nothing was run'):
        self.problems = tuple(problems)
        subjects = [data_errors.printable(p.subject) for p in self.problems]
        width = max([len(s) for s in subjects if len(s) <= 60] or [0])
        digits = len(str(len(subjects)))
        lines = [f'{kind}: {len(subjects)} problem' + ('s' if len(subjects) > 1 else '')]
        for i, (subject, p) in enumerate(zip(subjects, self.problems), 1):
            origin = f'   ({p.origin})' if p.origin else ''
            lines.append(f'  {i:{digits}}. {subject:{width}}   {data_errors.printable(p.text + origin)}'.rstrip())
        super().__init__('\n'.join(lines + [end] * bool(end)))


def shown(value: Any, limit: int = 60) -> str:
    """A value as a message shows it: its literal, cut when long."""
    text = repr(value)
    return text if len(text) <= limit else text[:limit - 1] + '…'


def one_of(names: Iterable[str]) -> str:
    """'a', 'a or b', 'a, b or c'."""
    return ' or '.join(filter(None, [', '.join([*names][:-1]), [*names][-1]]))


def distance(key: str, other: str) -> float:
    """How far a dotted key is from another: infinity when nobody would confuse them."""
    (group, _, name), (other_group, _, other_name) = key.rpartition('.'), other.rpartition('.')
    if FOREIGN.get(name) in (other_name, other):
        return 0.02
    cost, (words, other_words) = unlike(name, other_name), (set(text.split('_')) for text in (name, other_name))
    if sorted(name) == sorted(other_name):     # letters are swapped
        cost = min(cost, 0.1)
    elif cost > 0.3:
        cost = 0.25 if words <= other_words or other_words <= words else float('inf')
    return cost + (0 if group == other_group else 0.1 + 0.2 * bool(group) * unlike(group, other_group))


def unlike(a: str, b: str) -> float:
    """0 for equal strings to 1 for strings that share no letter."""
    return 1 - difflib.SequenceMatcher(None, a, b).ratio()


def closest(key: str, known: Iterable[str], most: int = 3) -> list[str]:
    """The known keys that `key` may stand for, best first; [] when none is near."""
    key = key.lower().replace('-', '_')
    costs = sorted((distance(key, other), i, other) for i, other in enumerate(known))
    return [other for cost, _, other in costs if cost == costs[0][0] < float('inf')][:most]


def did_you_mean(key: str, known: Iterable[str], template: str = '{}') -> str:
    """' Did you mean a or b?', or '' when nothing is near."""
    near = [template.format(other) for other in closest(key, known)]
    return f' Did you mean {" or ".join(near)}?' if near else ''
