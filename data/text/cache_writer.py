"""Crash-safe writer of the token cache.

Three files grow by one shard at a time; then `progress.json`, replaced atomically, records how many of their bytes are valid. A builder
that continues after a kill cuts the files there. `index.json`, written last, marks the cache as complete. A second builder waits for a
lock on the folder, which the kernel releases when the first process ends.
"""
import contextlib
import fcntl
import hashlib
import itertools
import json
import os
import pathlib
import time
from typing import Any, Callable

import numpy as np

from data import atomic, errors
from data.text import sentences, sources
from data.vocabularies import vocabulary

FORMAT = 1          # of the files and of the sentence rule: raise it when either changes
BATCH = 1 << 22     # characters tokenised at once: bounds the memory, for some tokenizers 100 bytes a character


def layout(vocab_size: int) -> dict[str, np.dtype]:
    """{file: dtype}: ids, document offsets, sentence offsets."""
    return {'tokens.bin': np.dtype('<u2' if vocab_size <= 1 << 16 else '<i4'), 'documents.bin': np.dtype('<i8'),
            'sentences.bin': np.dtype('<i8')}


def check(ids: np.ndarray, vocab_size: int, where: str = 'tokens') -> None:
    """DataError unless all ids are in [0, vocab_size)."""
    if len(ids) and not 0 <= ids.min() <= ids.max() < vocab_size:
        raise errors.DataError(f'{where}: expected token ids from 0 to {vocab_size - 1}, got {ids.min()} to {ids.max()}; '
                               'the tokenizer does not fit its vocabulary size')


def load(path: pathlib.Path, key: str) -> dict | None:
    """The JSON object of a file; None without the file or without `key` in it."""
    try:
        values = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) and key in values else None


def damage(folder: pathlib.Path, index: dict) -> str | None:
    """The first file of the wrong size or shard with a wrong checksum, in words; None = no damage."""
    for name, size in index['files'].items():
        if (found := _size(folder / name)) != size:
            return f'{"none" if found < 0 else found} bytes of {name} instead of {size}'
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context((folder / name).open('rb')) for name in index['files']]
        files[1].read(8)  # the leading zero of the document offsets is in no shard
        for number, shard in enumerate(index['shards']):
            found = [hashlib.sha256(file.read(size)).hexdigest() for file, size in zip(files, shard['sizes'])]
            if found != shard['sha256']:
                return f'a wrong checksum in shard {number}'
    return None


def write(source: sources.Source, tokenizer: Any, folder: pathlib.Path, notice: Callable, shard_bytes: int, key: str) -> None:
    """Writes or completes the cache in `folder`; its bytes do not depend on earlier builders that were killed."""
    with _locked(folder, notice):
        index = load(folder / 'index.json', 'files')
        if index and not (problem := damage(folder, index)):
            return  # another builder finished while this one waited
        if index:
            notice(f'{folder}: damaged token cache ({problem}), made again')
            (folder / 'index.json').unlink()
        progress = load(folder / 'progress.json', 'shards') or {'shards': []}
        paths = [folder / name for name in layout(tokenizer.vocab_size)]
        sizes = [first + sum(shard['sizes'][i] for shard in progress['shards']) for i, first in enumerate((0, 8, 0))]
        if progress['shards'] and all(_size(path) >= size for path, size in zip(paths, sizes)):
            notice(f'{source.name}: tokenising goes on after {progress["shards"][-1]["read"]:,} documents')
        else:
            progress, sizes = {'shards': []}, [0, 8, 0]
            for path in paths:
                path.unlink(missing_ok=True)
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(path.open('ab')) for path in paths]
            for file, size in zip(files, sizes):
                file.truncate(size)               # a new documents.bin starts with the offset 0
                file.seek(size)
            _shards(source, tokenizer, folder, notice, shard_bytes, progress, files)
            sizes = {path.name: file.tell() for path, file in zip(paths, files)}
        last = progress['shards'][-1]
        if not last['tokens']:
            raise errors.DataError(f'{source.name}: expected text that gives tokens, got none')
        _save(folder / 'index.json', {
            'format': FORMAT, 'key': key, 'source': source.fingerprint, 'tokenizer': tokenizer.hash, 'vocab_size': tokenizer.vocab_size,
            'bytes': last['bytes'], 'notices': source.notices, 'files': sizes, **progress})
        (folder / 'progress.json').unlink()


def _shards(source, tokenizer, folder, notice, shard_bytes, progress, files):
    """Appends the missing shards. A shard ends with the document that fills it, wherever earlier builders were killed."""
    last = progress['shards'][-1] if progress['shards'] else {'read': 0, 'tokens': 0, 'bytes': 0}
    read, tokens, total, noticed = last['read'], last['tokens'], last['bytes'], time.monotonic()
    dtypes = list(layout(tokenizer.vocab_size).values())
    begin, sizes, digests = total, [0, 0, 0], [hashlib.sha256() for _ in files]

    def commit():
        for file in files:
            file.flush()
            os.fsync(file.fileno())
        hashes = [digest.hexdigest() for digest in digests]
        progress['shards'].append({'read': read, 'tokens': tokens, 'bytes': total, 'sizes': sizes, 'sha256': hashes})
        _save(folder / 'progress.json', progress)

    for batch in _batches(source, read, min(BATCH, shard_bytes)):
        for text, ids in zip(batch, tokenizer.encode_batch(batch)):
            read += 1
            check(ids, tokenizer.vocab_size, f'{source.name}, document {read}')
            text = vocabulary.utf8(text)
            total += len(text)
            if len(ids):  # some published models give none for white space
                starts = tokens + sentences.token_starts(text, ids, tokenizer.token_bytes)
                tokens += len(ids)
                for i, array in enumerate((ids, np.array([tokens]), starts)):
                    array = np.ascontiguousarray(array, dtypes[i])
                    files[i].write(array.data)
                    digests[i].update(array.data)
                    sizes[i] += array.nbytes
            if total - begin >= shard_bytes:
                commit()
                begin, sizes, digests = total, [0, 0, 0], [hashlib.sha256() for _ in files]
        if time.monotonic() - noticed > 10:
            noticed = time.monotonic()
            notice(f'{source.name}: {total / 1e6:,.0f} MB, {tokens:,} tokens')
    if total > begin or not progress['shards']:
        commit()


def _batches(source, skip, limit):
    """Lists of documents, about `limit` characters each, after the first `skip` documents."""
    batch, size = [], 0
    for text in itertools.islice(source, skip, None):
        batch.append(text)
        size += len(text)
        if size >= limit:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _save(path, values):
    atomic.write(path, json.dumps(values, indent=1).encode())


def _size(path):
    return path.stat().st_size if path.exists() else -1


@contextlib.contextmanager
def _locked(folder, notice):
    """Holds the folder's lock; a full disk and the like become a DataError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / 'lock').open('a') as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                notice(f'{folder}: another process is tokenising this text; waiting for it')
                fcntl.flock(file, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise errors.DataError(f'{folder}: expected to write the token cache, got {error.strerror}; '
                               'free space or set data.cache; what is written counts') from error
