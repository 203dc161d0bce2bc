"""What a property is checked with: an example of --json as arrays, and shares and means within their errors."""
import math
import re

import numpy as np


class Broken(AssertionError):
    pass


def expect(holds, what, one=None):
    """Raises with the example that breaks a property."""
    if not holds:
        raise Broken(what + (f' (example {one["index"]} of epoch {one["epoch"]})' if one else ''))


def share(count, out_of, expected, what, errors=4):
    """A share of independent draws, within `errors` standard errors."""
    if out_of:
        error = math.sqrt(expected * (1 - expected) / out_of)
        expect(abs(count / out_of - expected) <= errors * error + 1e-12,
               f'{what}: {count} of {out_of} = {count / out_of:.4f}, expected {expected:.4f} ± {errors} × {error:.4f}')


class Example:
    """An object of --json as arrays: `original`, the fields of the batch by name, special ids."""

    def __init__(self, one):
        self.json, self.special, self.original = one, one['special'], np.array(one['original'], int)
        for name, value in one['example'].items():
            setattr(self, name, value if isinstance(value, dict) else np.array(value))
        self.real, self.counted = self.segments != 0, self.weights > 0
        self.decoder_only = 'encoder_tokens' not in one['example'] and 'slots' not in one['example']

    def is_sentinel(self, ids):
        first, last = self.special['sentinels']
        marks = set(self.special['marks'].values())
        return np.array([last <= i <= first and i not in marks for i in np.asarray(ids).tolist()], bool)

    @property
    def sides(self):
        """(inputs, targets) of an objective with two sides, EOS included."""
        if 'encoder_tokens' in self.json['example']:
            return self.encoder_tokens[self.encoder_segments != 0], self.targets[self.counted]
        return self.targets[self.real & ~self.counted], self.targets[self.counted]


def balanced(differences, what, errors=4, least=30):
    """Differences of independent rows from what is expected of each: their mean is 0, within `errors` standard errors."""
    differences = np.asarray(differences, float)
    if len(differences) >= least:
        mean, error = differences.mean(), differences.std() / math.sqrt(len(differences))
        expect(abs(mean) <= errors * error + 1e-9,
               f'{what}: off by {mean:.4f} in the mean of {len(differences)}, expected 0 ± {errors} × {error:.4f}')


def alike(measured, drawn, what):
    """Measurements of each row have the mean of those on the same row under the law of the paper.

    measured: {name: number} of each row. drawn: for each row a list of the same, of draws by the law.
    """
    for name in measured[0] if measured else ():
        balanced([row[name] - np.mean([one[name] for one in draws]) for row, draws in zip(measured, drawn)], f'{what}: {name}')


RARE = 3.2e-5                                 # how often a normal variable is 4 standard deviations below its mean, or lower


def at_most(count, chances):
    """P(`count` or fewer) of independent events with these chances."""
    law = np.ones(1)
    for chance in chances:
        law = np.convolve(law, [1 - chance, chance])
    return float(law[:count + 1].sum())


def is_bytes(x):
    """Whether ids are bytes + 3, so that the words and sentences of a row can be told."""
    return x.special['vocab_size'] == 517


def random_ids(special):
    """How many ids stand for text: all but pad, EOS, [MASK], [CLS], [SEP] and the sentinels."""
    return special['vocab_size'] - 5 - (special['sentinels'][0] - special['sentinels'][1] + 1)


def text_of(ids):
    """bytes of the ids of a vocabulary of bytes, special ones as NUL."""
    return bytes(i - 3 if 3 <= i < 259 else 0 for i in np.asarray(ids).tolist())


# First bytes of characters that begin a word: Latin-1 signs, punctuation, Chinese and Japanese, full-width forms, emoji.
LEADS = {0xC2, *range(0xE2, 0xEA), 0xEE, 0xEF, *range(0xF0, 0xF5)}


def word_starts(ids):
    """bool[n]: what begins a word: whatever is no letter or digit, special ids too; letters go on with what is before them."""
    return np.array([byte in LEADS or byte < 128 and not chr(byte).isalnum() for byte in text_of(ids)], bool)


# A sentence ends with a line, or with . ! ? and closing quotes before white space, not after Mr. and its like; or with 。！？
_CLOSING = rb'(?:["\')\]*_]|\xe2\x80[\x99\x9d]|\xc2\xbb|\xe3\x80[\x8d\x8f]|\xef\xbc\x89)*'
_SENTENCE = re.compile(rb'(?:\n|(?:[.!?]|\xe2\x80\xa6)+(?<!\bMr\.)(?<!\bMrs\.)(?<!\bMs\.)(?<!\bDr\.)(?<!\bSt\.)(?<!\b[A-Z]\.)' + _CLOSING
                       + rb'(?=[ \t\r\n])|(?:\xe3\x80\x82|\xef\xbc[\x81\x9f])+' + _CLOSING + rb')(?:[ \t\r]*\n)*')


def sentence_ends(ids):
    """Places behind the sentences that are seen to end before the text goes on."""
    text = text_of(ids)
    return [match.end() for match in _SENTENCE.finditer(text) if match.end() < len(text.rstrip())]
