"""Crash-safe writer of the token cache.

Three files grow by one shard at a time; then `progress.json`, replaced atomically, records how many of their bytes are valid. A builder
that continues after a kill cuts the files there. `index.json`, written last, marks the cache as complete. Checksums cover every byte of
all of them. A second builder waits for a lock on the folder, which the kernel releases when the first process ends.
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

FORMAT = 2          # of the files and of the sentence rule: raise it when either changes
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


def load(path: pathlib.Path) -> dict | None:
    """The values that `_save` wrote to a file; None without a file, {} when one bit of it is not as it was written."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    try:
        values = json.loads(data)
        del values['sha256']
        return values if data == _encoded(values) else {}
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}


def damage(folder: pathlib.Path, state: dict, key: str, whole: bool = True) -> str | None:
    """What is wrong with the files of an index (whole) or of a progress, in words; None = each byte is the one that was written."""
    if state.get('key') != key:
        return 'a wrong checksum in ' + ('index.json' if whole else 'progress.json')
    for name, size in state['files'].items():
        found = _size(folder / name)
        if found < size or whole and found > size:
            return f'{"none" if found < 0 else found} bytes of {name} instead of {size}'
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context((folder / name).open('rb')) for name in state['files']]
        if files[1].read(8) != bytes(8):  # the leading zero of the document offsets is in no shard
            return 'a wrong first offset in documents.bin'
        for number, shard in enumerate(state['shards']):
            found = [hashlib.sha256(file.read(size)).hexdigest() for file, size in zip(files, shard['sizes'])]
            if found != shard['sha256']:
                return f'a wrong checksum in shard {number}'
    return None


def write(source: sources.Source, tokenizer: Any, folder: pathlib.Path, notice: Callable, shard_bytes: int, key: str) -> None:
    """Writes or completes the cache in `folder`; its bytes do not depend on earlier builders that were killed."""
    with _locked(folder, notice):
        index = load(folder / 'index.json')
        if index is not None:
            if not (problem := damage(folder, index, key)):
                return  # another builder finished while this one waited
            notice(f'{folder}: damaged token cache ({problem}), made again')
            (folder / 'index.json').unlink()
        documents, progress = _continued(source, folder, notice, key)
        if not progress:
            for name in layout(tokenizer.vocab_size):
                (folder / name).unlink(missing_ok=True)
            progress = {'key': key, 'files': dict(zip(layout(tokenizer.vocab_size), (0, 8, 0))), 'shards': []}
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context((folder / name).open('ab')) for name in progress['files']]
            for file, size in zip(files, progress['files'].values()):
                file.truncate(size)               # a new documents.bin starts with the offset 0
                file.seek(size)
            _shards(source.name, documents, tokenizer, folder, notice, shard_bytes, progress, files)
        last = progress['shards'][-1]
        if not last['tokens']:
            raise errors.DataError(f'{source.name}: expected text that gives tokens, got none')
        _save(folder / 'index.json', {
            'format': FORMAT, 'source': source.fingerprint, 'tokenizer': tokenizer.hash, 'vocab_size': tokenizer.vocab_size,
            'bytes': last['bytes'], 'notices': source.notices, **progress})
        (folder / 'progress.json').unlink()


def _continued(source, folder, notice, key):
    """(documents still to be tokenised, progress of an earlier builder), or (all documents, None): a progress counts when its files are as
    they were written and the documents that it has read are those that the source still gives."""
    progress, documents = load(folder / 'progress.json'), iter(source)
    if progress is None:
        return documents, None
    problem, read = damage(folder, progress, key, whole=False), 0
    for shard in () if problem else progress['shards']:
        digest = hashlib.sha256()
        for text in itertools.islice(documents, shard['read'] - read):
            _add(digest, vocabulary.utf8(text))
        read = shard['read']
        if digest.hexdigest() != shard['text']:
            problem = f'{source.name} has other text than it was made of'
            break
    if problem:
        notice(f'{folder}: a token cache that was begun is made again ({problem})')
        return iter(source), None
    notice(f'{source.name}: tokenising goes on after {errors.counted(read, "document")}')
    return documents, progress


def _shards(name, documents, tokenizer, folder, notice, shard_bytes, progress, files):
    """Appends the missing shards. A shard ends with the document that fills it, wherever earlier builders were killed."""
    last = progress['shards'][-1] if progress['shards'] else {'read': 0, 'tokens': 0, 'bytes': 0}
    read, tokens, total, noticed = last['read'], last['tokens'], last['bytes'], time.monotonic()
    dtypes = list(layout(tokenizer.vocab_size).values())
    begin, sizes, digests, content = total, [0, 0, 0], [hashlib.sha256() for _ in files], hashlib.sha256()

    def commit():
        for file in files:
            file.flush()
            os.fsync(file.fileno())
        hashes = [digest.hexdigest() for digest in digests]
        progress['shards'].append({'read': read, 'tokens': tokens, 'bytes': total, 'text': content.hexdigest(), 'sizes': sizes,
                                   'sha256': hashes})
        progress['files'] = {file: size + more for (file, size), more in zip(progress['files'].items(), sizes)}
        _save(folder / 'progress.json', progress)

    for batch in _batches(documents, min(BATCH, shard_bytes)):
        for text, ids in zip(batch, tokenizer.encode_batch(batch)):
            read += 1
            check(ids, tokenizer.vocab_size, f'{name}, document {read}')
            text = vocabulary.utf8(text)
            total += len(text)
            _add(content, text)
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
                begin, sizes, digests, content = total, [0, 0, 0], [hashlib.sha256() for _ in files], hashlib.sha256()
        if time.monotonic() - noticed > 10:
            noticed = time.monotonic()
            notice(f'{name}: {total / 1e6:,.0f} MB, {tokens:,} tokens')
    if total > begin or not progress['shards']:
        commit()


def _add(digest, text):
    """Adds a document, with its length, so that a border between documents counts."""
    digest.update(len(text).to_bytes(8, 'little'))
    digest.update(text)


def _batches(documents, limit):
    """Lists of documents, about `limit` characters each."""
    batch, size = [], 0
    for text in documents:
        batch.append(text)
        size += len(text)
        if size >= limit:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _save(path, values):
    atomic.write(path, _encoded(values))


def _encoded(values):
    """JSON with the checksum of the values."""
    return json.dumps({**values, 'sha256': hashlib.sha256(json.dumps(values).encode()).hexdigest()}, indent=1).encode()


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
