"""The page of `--html`: one file, nothing loaded from anywhere, light and dark. Every text from the data is escaped by jinja2.

Its one script lights up what a token sees; the page's Content-Security-Policy allows that script alone, by its hash.
"""
import base64
import hashlib
import json

import jinja2
import markupsafe
import numpy as np

from train.inspection import attention, look, pieces, terminal
from train.settings import config_file, parse

SETTINGS = ('seed', 'batch_size', 'sequence_length', 'model.architecture', 'data.train', 'data.eval', 'data.eval_fraction',
            'tokenizer.kind', 'tokenizer.path')


def write(path, config, source, tokenizer, sums, shown, findings=(), notices=(), examples=None):
    """Writes the page. sums: rates.Rates over all examples; shown: [(look.Look, findings)] in full; examples: in an epoch.

    findings: sentences on what is wrong with any example, shown or not.
    """
    environment = jinja2.Environment(loader=jinja2.PackageLoader('train.inspection', '.'), autoescape=True,
                                     undefined=jinja2.StrictUndefined)
    script = environment.loader.get_source(environment, 'page.js')[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    settings = [(key, json.dumps(value, ensure_ascii=False)) for key, value in config_file.leaves(parse.to_dict(config))
                if value is not None and (key in SETTINGS or key.startswith('objective.'))]
    looked = [example(one, found, config.objective, tokenizer) for one, found in shown]
    used = {span['kind'].split()[0] for one in looked for row in one['blocks'] for span in row['spans']}
    kinds = {kind: meaning for kind, meaning in pieces.KINDS.items() if kind in used}
    text = environment.get_template('page.html').render(
        title=config.objective.name, script=markupsafe.Markup(script), digest=digest, kinds=kinds,
        notices=notices, hint=' '.join(config.objective.hint),
        lead=f'{sums.examples:,} examples' + (f' of {examples:,} in an epoch' if examples else '')
        + f' · {source.num_tokens:,} tokens of text · vocabulary {tokenizer.vocab_size:,}',
        settings=settings, findings=findings,
        rates=[{'cells': terminal.cells(rate), 'off': rate.off, 'picture': markupsafe.Markup(deviation(rate))}
               for rate in sums.rates],
        denoisers=[(who, f'{count:,}', f'{count / sums.examples:.1%}') for who, count in sorted(sums.denoisers.items())],
        fill=[('all' if owner is None else config.objective.task(owner), what, f'{count:,}', f'{size:,}',
               f'{count / max(size, 1):.1%}', f'{1 - count / max(size, 1):.1%}') for owner, what, count, size in sums.fill],
        waste=[(field, f'{share:.1%}') for field, share in sums.waste],
        looked=looked)
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)


def example(one, found, objective, tokenizer):
    """What the template shows of one example."""
    special = tokenizer.special
    own, fields = objective.made_by(one.example)
    named = [f'{name} {np.asarray(value).tolist()}' for name, value in fields.get('labels', {}).items()]
    about = [*([one.denoiser] if one.denoiser else []), *named]
    counted = int((np.asarray(fields['weights']) > 0).sum())
    blocks = [block('original', one.original, pieces.original(one.original, fields, special), tokenizer)]
    for side in ('encoder_', '') if 'encoder_tokens' in fields else ('',):
        name = {'encoder_': 'the encoder reads', '': 'the decoder reads' if 'encoder_tokens' in fields else 'the model reads'}[side]
        blocks.append(block(name, fields[side + 'tokens'], pieces.read(fields, special, side), tokenizer, fields, side))
    blocks.append(block('it must say', fields['targets'], pieces.targets(fields, special), tokenizer, fields, None))
    return {'epoch': one.epoch, 'index': one.index, 'about': ' · '.join(about), 'findings': found, 'blocks': blocks,
            'size': f'{int(look.used(fields).sum())} of {len(fields["tokens"])} tokens, {counted} targets',
            'integers': [(name, pieces.runs(values)) for name, values in terminal.integers(fields)],
            'pictures': [{'name': name, 'svg': markupsafe.Markup(attention.svg(cells)), 'pairs': f'{int(cells.sum()):,}',
                          'size': f'{len(cells)} × {cells.shape[1]}'}
                         for name, cells in attention.pictures(fields, own.two_streams).items()]}


def block(name, ids, kinds, tokenizer, fields=None, side=''):
    """One row of tokens; side None: the targets, which have no attention of their own."""
    ids = np.asarray(ids).tolist()
    segments = np.asarray(fields[side + 'segments']) if fields and side is not None else np.zeros(0, int)
    apart = side is None and 'slots' in fields  # said here and there: no text
    several, begins = segments.max(initial=0) > 1, terminal.starts(segments)
    spans, padding = [], 0
    for piece in pieces.pieces(ids, kinds, tokenizer, begins):
        if piece.kind == 'pad':
            padding += piece.stop - piece.start
            continue
        hue = f' n{piece.number % 6}' if piece.kind in ('hidden', 'sentinel') else ''
        text = piece.text.rstrip('\n') if apart else piece.text
        spans.append({'text': text, 'kind': piece.kind + hue, 'at': piece.start, 'count': piece.stop - piece.start,
                      'segment': int(segments[piece.start]) if several and (piece.start in begins or not piece.start) else None,
                      'title': ' | '.join(title(i, ids, tokenizer, fields, side) for i in range(piece.start, piece.stop))})
    rule = {key: np.asarray(fields[side + key]).tolist() for key in ('sees', 'seen', 'segments')} if len(segments) else None
    return {'name': name, 'spans': spans, 'padding': padding, 'rule': rule, 'apart': apart}


def title(i, ids, tokenizer, fields, side):
    """What the pointer tells about token i."""
    parts = [f'{tokenizer.piece(ids[i])!r}', f'id {ids[i]}']
    if fields is None:
        return ' · '.join([*parts, f'token {i}'])
    at = int(fields['slots'][i]) if side is None and 'slots' in fields else i
    if side is None:
        return ' · '.join([*parts, f'weight {fields["weights"][i]:g}', f'said at {at}'])
    names = ('positions', 'segments', 'types', 'sees', 'seen') if not side else ('positions', 'segments', 'sees', 'seen')
    parts += [f'token {i}', *(f'{name.rstrip("s") if name in ("positions", "segments", "types") else name} {fields[side + name][i]}'
                              for name in names if side + name in fields)]
    if not side and 'slots' not in fields and len(fields['targets']) == len(ids):
        parts.append(f'says {tokenizer.piece(int(fields["targets"][i]))!r} with weight {fields["weights"][i]:g}')
    return ' · '.join(parts)


def deviation(rate):
    """SVG of a realised rate, in standard errors from the configured one: the band is two, the scale six."""
    if rate.far is None:
        return ''
    off = max(-6.0, min(6.0, (rate.realised - rate.expected) / rate.error if rate.error else 0.0))
    return ('<svg class="deviation" viewBox="-65 0 130 14" width="130"><rect x="-20" y="2" width="40" height="10"/>'
            f'<line x1="0" x2="0" y1="0" y2="14"/><circle class="{"far" if rate.off else ""}" cx="{10 * off:.1f}" cy="7" r="4"/></svg>')
