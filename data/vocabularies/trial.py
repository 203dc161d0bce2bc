"""Runs the steps of a foreign tokenizer on texts that make regular expressions explode: python -P trial.py < steps.json.

A process of its own, which the kernel ends when it takes too much time or memory; expressions.py starts it. It imports nothing of ours.
"""
import json
import re
import resource
import signal
import sys

SECONDS, BYTES, CHARACTERS = 2, 2 << 30, 500
LONG = 30_000                                 # characters of a long run: the slowest linear expression takes 0.04 s, (?=(a+))\1*b 2.1
UNITS = ('a', 'A', 'aA', 'a1', '1', ' ', '\n', ' \n', '\t', 'ab ', "'", '.', '_-', '\u00e9', '\u4e09', '\u0e01', '\u0e31', '\u0301',
         '\U0001f600')


def texts(patterns: list[str]) -> list[str]:
    """Runs of characters, of words of the regular expressions and of their signs, each before an end that breaks a match. The last end
    has the letters of the expressions, because a text without what each match must contain is passed over at once."""
    whole = ' '.join(patterns)[:1000]
    units = dict.fromkeys((*UNITS, *re.findall(r'\w+', whole)[:50], *whole[:200]))
    return [unit * (CHARACTERS // len(unit)) + end for unit in units if len(unit) <= CHARACTERS for end in ('!', 'b', '', '\1' + whole)]


def runs() -> list[str]:
    """Long ones: time that grows with the square of the length is not seen in short ones."""
    return [unit * (LONG // len(unit)) + end for unit in UNITS for end in ('b', '')]


def main() -> None:
    """Ends with status 0 where the steps read every text, or are none that the package runs, which is told elsewhere."""
    try:
        resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    except (OSError, ValueError):
        pass                                  # a system without this limit
    import tokenizers
    request = json.load(sys.stdin)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)  # processor time: a busy machine makes no difference
    try:
        engine = tokenizers.Tokenizer.from_str(json.dumps(request['pipeline']))
    except Exception:                         # the package has no class of its own for this
        return
    for text in texts(request['patterns']) + request['texts'] + runs():
        engine.encode(text)


if __name__ == '__main__':
    main()
