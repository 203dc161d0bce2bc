"""Bad data is one kind of error: a message for the user, no traceback, exit code 3.

The message says where (file and line when there is one), what was expected, what was found and what to change:
`FILE:LINE: expected ..., got ...; ...`.
"""


class DataError(Exception):
    """Something is wrong with the user's data; `str(error)` is the whole message."""

    exit_code, kind = 3, 'data'
