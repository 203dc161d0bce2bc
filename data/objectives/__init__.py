"""Objectives: a file here is an objective, its name the file's name.

Each file holds one frozen dataclass `Objective` whose fields are the hyper-parameters (config keys `objective.*`; the first,
`sequence_length`, and, where an objective has them, `batch_size` and `architecture` follow the config's). Beside them it states
    architectures  the model architectures it fits           needs  special ids beyond pad, eos and bos
    hint           what attention looks like: causal (decoders, self-attention), full, or ordered (any other integers)
    shuffled       whether epochs shuffle the rows; False where batches must follow one another (memory), with a plan in that order
    likelihood     whether the loss is the likelihood of the text, so that bits per byte mean something
    own_loss       (optional) whether it needs more than the shared loss of tokens, so that a mixture cannot hold it
    names          (optional) what the numbers in the field `task` of its examples mean
    marks          (optional) whether it uses vocabulary.MARKS, so that other members of a mixture cannot have those sentinels
and has
    plan(source, seed, epoch) -> int64[n, k], one row an example, n the same in every epoch where possible
    transform(source, row, rng) -> {field: array} as in data/example.py, from random access to the source
    original(source, row) -> int32[n], the ids before corruption
    lengths() -> {field: length} of what the model reads and says
    problems(special=None) -> [(config key, what is wrong with its value)]
and, for `train.inspect`, where they say something
    denoiser(row) -> the name of the denoiser of that row
    expected() -> {name of a rate: what the settings say}, measured by
    realised(source, row, example) -> {name of a rate: (count, out of)}, to be summed over examples
    prompt(ids, special) -> (ids that the encoder reads of a prompt, without EOS; the id that the decoder reads first), for an
                   encoder-decoder whose rows are not just text and EOS, read from BOS on
    prefix(ids, special) -> the ids that a decoder reads of a prompt behind BOS, where they see one another
    waste() -> {field: share of its places that are padding}, where examples of different lengths are mixed
"""
import difflib
import importlib
import pathlib


def names():
    """The objectives that there are."""
    return sorted(path.stem for path in pathlib.Path(__file__).parent.glob('*.py') if path.stem != '__init__')


def misnamed(objective, **choices):
    """[(config key, text)] of the fields of an Objective, {field: the names that it may have}, that have none of them."""
    wrong = []
    for field, names in choices.items():
        value = getattr(objective, field)
        if value not in names:
            near = difflib.get_close_matches(str(value), names, 1)
            text = f'expected {", ".join(names[:-1])} or {names[-1]}.' + (f' Did you mean {near[0]}?' if near else '')
            wrong.append((f'objective.{field}', text))
    return wrong


def lacking(objective, special, needs):
    """[(config key, text)] of 'mask' and 'sentinels' among `needs` that a tokenizer has none of. special: None = unknown."""
    there = {'mask': special is None or special.mask >= 0, 'sentinels': special is None or special.num_sentinels > 0}
    names = {'mask': 'mask token ([MASK], <mask>)', 'sentinels': 'sentinels (<extra_id_0>, <extra_id_1>, ...)'}
    advice = 'use another objective, or a tokenizer that has, such as one trained here (tokenizer.path = None).'
    name = type(objective).__module__.rpartition('.')[2]
    return [('tokenizer.path', f'has no {names[need]}, which {name} needs; {advice}')
            for need in needs if not there.get(need, True)]


def load(name):
    """The class `Objective` of that name; ValueError names those that exist."""
    if name not in names():
        near = difflib.get_close_matches(str(name), names(), 1)
        raise ValueError('no such objective.' + (f' Did you mean {near[0]}?' if near else '')
                         + f' There are: {", ".join(names())}')
    return importlib.import_module(f'data.objectives.{name}').Objective
