"""Few cases that contain every pair of choices: a pairwise covering of a table of options."""
import itertools


def pairs(options: dict[str, tuple]) -> list[dict]:
    """Cases, {option: choice} each, so that any two choices of two options are together in one. Greedy, in a fixed order."""
    names = list(options)
    cases = list(itertools.product(*options.values()))
    missing = {pair for case in cases for pair in itertools.combinations(enumerate(case), 2)}
    found = []
    while missing:
        best = max(cases, key=lambda case: len(missing.intersection(itertools.combinations(enumerate(case), 2))))
        missing.difference_update(itertools.combinations(enumerate(best), 2))
        found.append(dict(zip(names, best)))
    return found


def every(options: dict[str, tuple]) -> list[dict]:
    """All cases."""
    return [dict(zip(options, case)) for case in itertools.product(*options.values())]
