"""Who sees whom in an example: the attention rule in numpy (`model/attention/rule.py` is the same in JAX), as pictures.

A picture is bool[queries, keys]. Encoder-decoders have three; permuted LM has two streams, one query a slot appended to its
content: a query has its target's place and reads the rank before it.
"""
import base64
import struct
import zlib

import numpy as np

from train.monitoring import curves

COLOUR = (59, 130, 246)                       # of a cell that is seen; visible on white and on black
SIZE, LEFT, TOP, RIGHT, BOTTOM = 300, 44, 18, 6, 6


def allowed(sees, seen, query_segments, key_segments):
    """bool[T, S]: query t attends to key s."""
    query, key = np.asarray(query_segments)[:, None], np.asarray(key_segments)[None]
    return (np.asarray(seen)[None] <= np.asarray(sees)[:, None]) & ((query == key) | (key == -1)) & (query != 0) & (key != 0)


def pictures(fields: dict, two_streams: bool = False) -> dict[str, np.ndarray]:
    """{name of the attention: bool[queries, keys]} of an example."""
    sees, seen, segments = (np.asarray(fields[name]) for name in ('sees', 'seen', 'segments'))
    own = {'self-attention': allowed(sees, seen, segments, segments)}
    if two_streams:
        slots, counted = np.asarray(fields['slots']), np.asarray(fields['weights']) > 0
        query = allowed(seen[slots] - 1, seen, segments[slots], segments)
        return {'content stream': own['self-attention'], 'query stream (a row is a slot)': query & counted[:, None]}
    if 'encoder_tokens' not in fields:
        return own
    far_sees, far_seen, far = (np.asarray(fields['encoder_' + name]) for name in ('sees', 'seen', 'segments'))
    zeros = (np.zeros_like(segments), np.zeros_like(far))
    return {'encoder': allowed(far_sees, far_seen, far, far), 'decoder': own['self-attention'],
            'cross-attention': allowed(*zeros, segments, far)}


def described(cells):
    """The picture in words where a few do, else ''."""
    queries, keys = cells.any(1), cells.any(0)
    if not cells.any():
        return 'nothing is seen'
    T, S = int(queries.sum()), int(keys.sum())
    real = cells[queries][:, keys]
    if real.all():
        return f'{T} × {S}, every token sees every token'
    if T == S and (real == np.tri(T, dtype=bool)).all():
        return f'{T} × {S}, every token sees itself and those before it'
    return ''


def png(cells):
    """bool[H, W] as the bytes of a PNG of one bit a pixel, transparent where false (ISO/IEC 15948)."""
    height, width = cells.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), np.packbits(cells, axis=1)], axis=1)
    parts = ((b'IHDR', struct.pack('>IIBBBBB', width, height, 1, 3, 0, 0, 0)), (b'PLTE', bytes([0, 0, 0, *COLOUR])),
             (b'tRNS', b'\0\xff'), (b'IDAT', zlib.compress(rows.tobytes(), 9)), (b'IEND', b''))
    return b'\x89PNG\r\n\x1a\n' + b''.join(
        struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data)) for name, data in parts)


def svg(cells):
    """The picture as inline SVG with ticks: rows are queries, columns are keys."""
    height, width = cells.shape
    scale = SIZE / max(height, width)
    w, h = width * scale, height * scale
    parts = [f'<svg viewBox="0 0 {LEFT + w + RIGHT:.0f} {TOP + h + BOTTOM:.0f}" width="{LEFT + w + RIGHT:.0f}" role="img" '
             f'aria-label="{height} queries, {width} keys, {int(cells.sum())} pairs">',
             f'<image x="{LEFT}" y="{TOP}" width="{w:.2f}" height="{h:.2f}" preserveAspectRatio="none" '
             f'href="data:image/png;base64,{base64.b64encode(png(cells)).decode()}"/>',
             f'<rect class="frame" x="{LEFT}" y="{TOP}" width="{w:.2f}" height="{h:.2f}"/>']
    for x in curves.ticks(0, width - 1, 4):
        parts.append(f'<text x="{LEFT + (x + 0.5) * scale:.1f}" y="{TOP - 5}" text-anchor="middle">{x:g}</text>')
    for y in curves.ticks(0, height - 1, 4):
        parts.append(f'<text x="{LEFT - 5}" y="{TOP + (y + 0.5) * scale + 4:.1f}" text-anchor="end">{y:g}</text>')
    return ''.join(parts) + '</svg>'


def braille(cells, most=96):
    """The picture in Braille patterns for a terminal, 2 x 4 cells a character; larger ones are thinned to `most` cells."""
    step = -(-max(cells.shape) // most)
    cells = cells[::step, ::step]
    height, width = (-(-size // unit) * unit for size, unit in zip(cells.shape, (4, 2)))
    full = np.zeros((height, width), np.int64)
    full[:cells.shape[0], :cells.shape[1]] = cells
    bits = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
    codes = (full.reshape(height // 4, 4, width // 2, 2) * bits[None, :, None]).sum((1, 3))
    return [''.join(chr(0x2800 + code) for code in row) for row in codes.tolist()]
