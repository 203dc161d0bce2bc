"""Words, n-grams and spans of a row drawn by the published algorithms, token by token: what masked LMs should have chosen."""
import numpy as np


def of_row(starts, special):
    """[(begin, end)] of the words of a row, and for each whether it follows the word before it without a gap."""
    words, follows = [], []
    for place, (start, no_text) in enumerate(zip(starts, special)):
        if no_text:
            continue
        if start or place == 0 or special[place - 1]:
            follows.append(bool(words) and words[-1][1] == place)
            words.append((place, place + 1))
        else:
            words[-1] = words[-1][0], place + 1
    return words, follows


def harmonic(longest):
    """p(n) proportional to 1 / n, n from 1 to `longest`."""
    weights = 1 / np.arange(1, longest + 1)
    return weights / weights.sum()


def geometric(p, longest):
    """p(n) of a geometric law that is drawn again above `longest`."""
    weights = (1 - p)**np.arange(longest)
    return weights / weights.sum()


def ngrams(words, follows, budget, lengths, rng):
    """Chosen words (indices): ALBERT's n-grams; with p(1) = 1 BERT's whole words.

    Words in random order begin n-grams; one that exceeds the budget is shortened; one that meets a chosen word is dropped.
    """
    chosen = set()
    sizes = rng.choice(len(lengths), len(words), p=lengths) + 1
    for first in rng.permutation(len(words)).tolist():
        last = first + 1
        while last < len(words) and last < first + sizes[first] and follows[last]:
            last += 1
        while last > first and words[last - 1][1] - words[first][0] > budget:
            last -= 1
        if last > first and chosen.isdisjoint(range(first, last)):
            chosen.update(range(first, last))
            budget -= words[last - 1][1] - words[first][0]
    return chosen


def spans(words, follows, budget, lengths, rng):
    """Chosen words: SpanBERT's spans from the word of a random token on, over chosen ones, up to a word that does not fit."""
    chosen, tokens = set(), [i for i, (begin, end) in enumerate(words) for _ in range(begin, end)]
    sizes = rng.choice(len(lengths), len(words), p=lengths) + 1
    for first in (tokens[i] for i in rng.permutation(len(tokens))):
        if first in chosen or words[first][1] - words[first][0] > budget:
            continue
        for word in range(first, min(first + sizes[first], len(words))):
            if word > first and not follows[word]:
                break
            if word not in chosen:
                size = words[word][1] - words[word][0]
                if size > budget:
                    break
                chosen.add(word)
                budget -= size
    return chosen


def measured(chosen, words, follows):
    """What is compared: words chosen, runs of them, words of the longest run."""
    runs, longest, run = 0, 0, 0
    for word in range(len(words)):
        run = 0 if word not in chosen else run + 1 if follows[word] else 1
        runs, longest = runs + (run == 1), max(longest, run)
    return {'chosen words': len(chosen), 'runs of words': runs, 'words of the longest run': longest}
