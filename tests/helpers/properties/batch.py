"""What holds for every objective: the batch contract, places and attention, the two sides of an encoder-decoder."""
import numpy as np

from tests.helpers.properties.given import expect

NEVER = 2**30


def contract(one, x):
    """The batch contract."""
    expect(set(one) == {'objective', 'denoiser', 'index', 'epoch', 'original', 'example', 'text', 'special'}, 'keys of the object', one)
    expect({'original', 'tokens', 'targets'} <= set(one['text']), 'texts', one)
    expect({'pad', 'mask', 'cls', 'sep', 'eos', 'sentinels', 'vocab_size'} <= set(one['special']), 'special ids', one)
    vocab = x.special['vocab_size']
    expect(x.special['sentinels'][0] == vocab - 1, 'sentinels start at the top of the vocabulary', one)
    for ids in (x.original, x.tokens, x.targets):
        expect(len(ids) == 0 or 0 <= ids.min() <= ids.max() < vocab, 'ids lie in the vocabulary', one)
    expect(x.weights.shape == x.targets.shape and (x.weights >= 0).all(), 'one weight a target, none negative', one)
    for side in ('', 'encoder_') if 'encoder_tokens' in one['example'] else ('',):
        tokens, segments, sees, seen = (np.array(one['example'][side + name]) for name in ('tokens', 'segments', 'sees', 'seen'))
        pad = segments == 0
        expect((sees[pad] == -1).all() and (seen[pad] == NEVER).all(), 'padding sees nothing and nothing sees it', one)
        expect((tokens[pad] == x.special['pad']).all(), 'padding holds pad', one)
        expect((np.diff(pad.astype(int)) >= 0).all(), 'padding is at the end', one)
        steps = np.diff(segments[~pad], prepend=0)
        expect(((steps == 0) | (steps == 1)).all(), 'segments count from 1', one)
    where = x.slots if 'slots' in one['example'] else np.arange(len(x.targets))
    expect(x.real[where[x.counted]].all(), 'no weight at padding', one)


def restarting(one, x, side=''):
    """Positions count from 0 in each segment."""
    segments, positions = (np.array(one['example'][side + name]) for name in ('segments', 'positions'))
    for segment in range(1, segments.max(initial=0) + 1):
        found = positions[segments == segment]
        expect((found == np.arange(len(found))).all(), f'{side}positions restart at 0 in each segment', one)


def causal(one, x):
    """Attention is causal within segments."""
    expect((x.sees[x.real] == x.positions[x.real]).all() and (x.seen[x.real] == x.positions[x.real]).all(), 'sees = seen = position', one)


def full(one, x, side=''):
    real, sees, seen = (np.array(one['example'][side + name]) for name in ('segments', 'sees', 'seen'))
    expect((sees[real != 0] >= seen[real != 0].max(initial=0)).all(), f'the {side or "model "}attention is bidirectional', one)


def shifted(one, x, start):
    """What a decoder reads is its targets moved one to the right, `start` at the first token of each segment."""
    begins = np.flatnonzero(x.real & (np.diff(x.segments, prepend=0) != 0))
    expect((x.tokens[begins] == start).all(), f'each segment starts with {start}', one)
    inner = np.setdiff1d(np.flatnonzero(x.real), begins)
    expect((x.tokens[inner] == x.targets[inner - 1]).all(), 'the decoder reads its targets one later', one)


def two_sides(one, x, start):
    """An encoder-decoder, or a decoder that reads both sides as a prefix LM; both sides end with EOS. (inputs, targets) without it."""
    inputs, targets = x.sides
    expect(inputs[-1] == x.special['eos'] and targets[-1] == x.special['eos'], 'both sides end with EOS', one)
    restarting(one, x)
    shifted(one, x, start)
    if x.decoder_only:
        prefix(one, x, len(inputs) + 1)
    else:
        causal(one, x)
        full(one, x, 'encoder_')
        restarting(one, x, 'encoder_')
    return inputs[:-1], targets[:-1]


def prefix(one, x, positions):
    """One segment whose first input positions, BOS included, see one another; no weight before the last of them."""
    reach = np.maximum(x.positions, positions - 1)[x.real]
    expect((x.sees[x.real] == reach).all() and (x.seen[x.real] == reach).all(), 'sees = seen = max(position, inputs)', one)
    expect((x.counted[x.real] == (np.arange(x.real.sum()) >= positions - 1)).all(), 'the loss is on the targets alone', one)
