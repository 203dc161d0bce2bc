"""The error for bad data: a message for the user, no traceback, exit code 3.

The message gives file and line where there are any, what was expected, what was found and what to change: `FILE:LINE: expected ..., got
...; ...`.
"""


def printable(text: str) -> str:
    """The text without control characters: a name of a file in a message never moves the terminal's cursor."""
    return ''.join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def counted(number: int, noun: str) -> str:
    """'1 byte', '2,000 bytes'."""
    return f'{number:,} {noun}{"s" * (number != 1)}'


class DataError(Exception):
    """Something is wrong with the user's data; `str(error)` is the whole message."""

    exit_code, kind = 3, 'data'
