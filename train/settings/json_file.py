"""Reads a JSON file that anybody may have damaged, such as a workdir's config.json."""
import hashlib
import json
import pathlib

from data import json_text


def read(path: pathlib.Path) -> dict:
    """The JSON object in a file. ValueError, which says what came instead, for everything else: no text, no JSON, no file, or a file
    that was changed since `sealed` made it.

    path: pathlib.Path or epath.Path.
    """
    try:
        found = json_text.value(path.read_bytes().decode())
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from None
    if not isinstance(found, dict):
        raise ValueError('no JSON object')
    if 'sha256' in found and found != sealed({key: value for key, value in found.items() if key != 'sha256'}):
        raise ValueError('content that was changed')
    return found


def sealed(tree: dict) -> dict:
    """`tree` with the SHA-256 of itself."""
    return {**tree, 'sha256': hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()}
