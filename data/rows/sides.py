"""Examples of two sides: inputs, which the model reads, and targets, which it predicts; in an encoder-decoder or in one decoder.

An encoder-decoder reads the inputs in its encoder; its decoder reads the targets shifted right. A decoder alone reads both in one row,
inputs ++ targets shifted right, as a prefix LM (T5X's `PrefixLMFeatureConverter`): the inputs and one position more, which predicts the
first target, see one another; the loss is on the targets. Either side ends with EOS.
"""
import numpy as np

from data import example, objectives, special_tokens

ARCHITECTURES = ('encoder_decoder', 'decoder')


def lengths(architecture: str, inputs: int, targets: int) -> dict[str, int]:
    """{field: length} for sides of at most that many ids, EOS included: a decoder's row is as long as both together."""
    if architecture == 'decoder':
        return {'tokens': inputs + targets, 'targets': inputs + targets}
    return {'tokens': targets, 'targets': targets, 'encoder_tokens': inputs}


def hint(objective: objectives.Objective) -> objectives.Hint:
    """The hint of an objective of two sides: of the decoder's attention."""
    return objectives.Hint('ordered' if objective.architecture == 'decoder' else 'causal', 'padded')


def fields(inputs: np.ndarray, targets: np.ndarray, most: int, lengths: dict[str, int], special: special_tokens.Special,
           start: int | None = None) -> example.Fields:
    """The example of two sides, int32[n] and int32[m] without EOS, with fields of these lengths (see `lengths`).

    most: ids of the inputs, EOS included. start: what the decoder reads first, None = special.bos. ValueError when a side does not fit.
    """
    start, read, predicted = special.bos if start is None else start, len(inputs) + 1, len(targets) + 1
    room = lengths['targets'] - (0 if 'encoder_tokens' in lengths else most)
    if read > most or predicted > room:
        raise ValueError(f'expected at most {most} inputs and {room} targets, EOS included, got {read} and {predicted}')
    if 'encoder_tokens' in lengths:
        inputs = example.padded(inputs, lengths['encoder_tokens'], special.pad, end=special.eos)
        targets = example.padded(targets, lengths['targets'], special.pad, end=special.eos)
        return {**example.encoder({'tokens': inputs, **example.bidirectional([read], len(inputs))}),
                'tokens': example.shifted(targets, [predicted], start), 'targets': targets,
                'weights': example.weights(predicted, len(targets)), **example.causal([predicted], len(targets))}
    size, total = lengths['targets'], read + predicted
    both = example.padded(np.concatenate([inputs, [special.eos], targets]), size, special.pad, end=special.eos)
    weights = np.zeros(size, np.float32)
    weights[read:total] = 1
    return {'tokens': example.shifted(both, [total], start), 'targets': both, 'weights': weights,
            **example.prefix([total], [read + 1], size)}  # BOS and the inputs


def split(one: example.Fields) -> tuple[np.ndarray, np.ndarray]:
    """(inputs, targets) of an example of `fields`, without EOS and padding: the inverse."""
    if 'encoder_tokens' in one:
        return one['encoder_tokens'][one['encoder_segments'] > 0][:-1], one['targets'][one['weights'] > 0][:-1]
    real, predicted = one['segments'] > 0, one['weights'] > 0
    return one['targets'][real & ~predicted][:-1], one['targets'][predicted][:-1]
