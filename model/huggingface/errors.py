"""Errors of Hugging Face folders. Each ends a command with its exit code and one message, of a bounded size whatever a folder holds."""
from typing import Iterable

LINES, LENGTH = 10, 1000                      # of a message: lines after the first, letters of a line


class Error(Exception):
    """A message: what is wrong, and a line for each case of it."""

    kind = 'huggingface'

    def __init__(self, what: str, cases: Iterable[str] = ()):
        cases = list(cases)
        more = [f'... and {len(cases) - LINES} more lines'] * (len(cases) > LINES)
        parts = [*what.split('\n'), *(f'  {case}' for case in cases[:LINES] + more)]
        super().__init__('\n'.join(part if len(part) <= LENGTH else f'{part[:LENGTH]}…' for part in parts))


class ConfigError(Error):
    """config.json has a setting that no family here supports, or no family at Hugging Face supports a model of ours."""

    exit_code = 2


class FolderError(Error):
    """Files are missing or damaged, or hold other tensors than config.json describes."""

    exit_code = 3
