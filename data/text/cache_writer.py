"""Writes a token cache so that no moment of death leaves a wrong one.

Three files grow by one shard at a time; after each, `progress.json` (written beside and renamed) says how much of them
counts. Whoever goes on cuts the files there. `index.json`, written last, makes the cache exist. A lock on the folder,
which the kernel drops with the process, keeps a second builder waiting.
"""
import contextlib
import fcntl
import hashlib
import json
import os
import time

import numpy as np

from data import errors
from data.text import sentences
from data.vocabularies import vocabulary

FORMAT = 1          # of the files and of the sentence rule: raise it when either changes
BATCH = 1 << 22     # characters tokenised at once


def layout(vocab_size):
    """{file: dtype}: ids, document offsets, sentence offsets."""
    return {'tokens.bin': np.dtype('<u2' if vocab_size <= 1 << 16 else '<i4'), 'documents.bin': np.dtype('<i8'),
            'sentences.bin': np.dtype('<i8')}


def check(ids, vocab_size, where='tokens'):
    """DataError unless all ids lie in [0, vocab_size)."""
    if len(ids) and not 0 <= ids.min() <= ids.max() < vocab_size:
        raise errors.DataError(f'{where}: expected token ids from 0 to {vocab_size - 1}, got {ids.min()} to '
                               f'{ids.max()}; the tokenizer does not fit its vocabulary size')


def damage(folder, index):
    """What is wrong with the files (sizes, then the checksum of every shard), or None."""
    for name, size in index['files'].items():
        found = (folder / name).stat().st_size if (folder / name).exists() else 'none'
        if found != size:
            return f'{found} bytes of {name} instead of {size}'
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context((folder / name).open('rb')) for name in index['files']]
        files[1].read(8)  # the leading zero of the document offsets belongs to no shard
        for number, shard in enumerate(index['shards']):
            found = [hashlib.sha256(file.read(size)).hexdigest() for file, size in zip(files, shard['sizes'])]
            if found != shard['sha256']:
                return f'a wrong checksum in shard {number}'
    return None


def write(source, tokenizer, folder, notice, shard_bytes, key):
    """Makes or completes the cache in `folder`. Same bytes whether or not earlier builders died on the way."""
    with _errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with _lock(folder, notice), _errors(folder):
        index = load(folder / 'index.json')
        if index and not (problem := damage(folder, index)):
            return  # another builder finished while this one waited
        if index:
            notice(f'{folder}: damaged token cache ({problem}), made again')
            (folder / 'index.json').unlink()
        progress = load(folder / 'progress.json') or {'shards': []}
        names = list(layout(tokenizer.vocab_size))
        sizes = [sum(shard['sizes'][i] for shard in progress['shards']) for i in range(3)]
        sizes[1] += 8
        if progress['shards'] and all((folder / name).exists() and (folder / name).stat().st_size >= size
                                      for name, size in zip(names, sizes)):
            notice(f'{source.name}: tokenising goes on after {progress["shards"][-1]["read"]:,} documents')
        else:
            progress, sizes = {'shards': []}, [0, 8, 0]
            (folder / names[1]).write_bytes(bytes(8))
        with contextlib.ExitStack() as stack:
            files = []
            for name, size in zip(names, sizes):
                files.append(stack.enter_context((folder / name).open('r+b' if (folder / name).exists() else 'w+b')))
                files[-1].truncate(size)
                files[-1].seek(size)
            _shards(source, tokenizer, folder, notice, shard_bytes, progress, files)
            sizes = {name: file.tell() for name, file in zip(names, files)}
        if not progress['shards'] or not progress['shards'][-1]['tokens']:
            raise errors.DataError(f'{source.name}: expected text that gives tokens, got none')
        save(folder / 'index.json', {
            'format': FORMAT, 'key': key, 'source': source.fingerprint, 'tokenizer': tokenizer.hash,
            'vocab_size': tokenizer.vocab_size, 'bytes': progress['shards'][-1]['bytes'], 'notices': source.notices,
            'files': sizes, **progress})
        (folder / 'progress.json').unlink()


def _shards(source, tokenizer, folder, notice, shard_bytes, progress, files):
    """Appends the shards that are missing. A shard ends with the document that fills it, wherever builders died."""
    last = progress['shards'][-1] if progress['shards'] else {'read': 0, 'tokens': 0, 'bytes': 0}
    read, tokens, total, told = last['read'], last['tokens'], last['bytes'], time.monotonic()
    dtypes = list(layout(tokenizer.vocab_size).values())
    begin, sizes, digests = total, [0, 0, 0], [hashlib.sha256() for _ in files]

    def commit():
        for file in files:
            file.flush()
            os.fsync(file.fileno())
        progress['shards'].append({'read': read, 'tokens': tokens, 'bytes': total, 'sizes': sizes,
                                   'sha256': [digest.hexdigest() for digest in digests]})
        save(folder / 'progress.json', progress)

    for batch in _batches(source, read, min(BATCH, shard_bytes)):
        for text, ids in zip(batch, tokenizer.encode_batch(batch)):
            read += 1
            check(ids, tokenizer.vocab_size, f'{source.name}, document {read}')
            text = vocabulary.utf8(text)
            total += len(text)
            if len(ids):  # white space alone gives none with some foreign models
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
        if time.monotonic() - told > 10:
            told = time.monotonic()
            notice(f'{source.name}: {total / 1e6:,.0f} MB, {tokens:,} tokens')
    if total > begin or not progress['shards']:
        commit()


def _batches(source, skip, limit):
    """Lists of documents, about `limit` characters each, after the first `skip` documents."""
    batch, size = [], 0
    for number, text in enumerate(source):
        if number < skip:
            continue
        batch.append(text)
        size += len(text)
        if size >= limit:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def save(path, values):
    """Writes JSON so that `path` holds the old or the new values, never a part."""
    beside = path.with_name(f'{path.name}.{os.getpid()}')
    with beside.open('w', encoding='utf-8') as file:
        json.dump(values, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def load(path):
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None


@contextlib.contextmanager
def _errors(folder):
    """A full disk and the like, as a message."""
    try:
        yield
    except OSError as error:
        raise errors.DataError(f'{folder}: expected to write the token cache, got {error.strerror}; '
                               'free space or set data.cache; what is written counts') from error


@contextlib.contextmanager
def _lock(folder, notice):
    with (folder / 'lock').open('a') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            notice(f'{folder}: another process is tokenising this text; waiting for it')
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            raise errors.DataError(f'{folder}: expected a folder that can be locked, got {error.strerror}; '
                                   'set data.cache') from error
        yield
