"""The page of `--html`: one file that loads nothing, light and dark. jinja2 escapes every text from the data.

Its one script highlights what a token sees; the page's Content-Security-Policy allows that script alone, by its hash.
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
    text = environment.get_template('page.html').render(
        objective=config.objective, source=source, tokenizer=tokenizer, sums=sums, examples=examples, settings=settings,
        findings=findings, notices=notices, script=markupsafe.Markup(script), digest=digest, looked=looked,
        kinds={kind: meaning for kind, meaning in pieces.KINDS.items() if kind in used},
        rates=[{'cells': terminal.cells(rate), 'off': rate.off, 'picture': markupsafe.Markup(deviation(rate))} for rate in sums.rates])
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)


def example(one, found, objective, tokenizer):
    """What the template shows of one example."""
    own, fields = objective.made_by(one.example)
    counted = int((np.asarray(fields['weights']) > 0).sum())
    names = {'original': 'original', 'encoder_tokens': 'the encoder reads', 'targets': 'it must predict',
             'discriminator': 'the discriminator reads',
             'tokens': 'the decoder reads' if 'encoder_tokens' in fields else 'the model reads'}
    return {'epoch': one.epoch, 'index': one.index, 'about': ' · '.join(look.about(one, fields, own)), 'findings': found,
            'blocks': [{'name': names[row.name], **block(row, tokenizer, fields)} for row in look.rows(one, fields, tokenizer, own)],
            'size': f'{int(look.used(fields).sum())} of {len(fields["tokens"])} tokens, {counted} targets',
            'integers': look.integers(one, fields, own),
            'pictures': [{'name': name, 'svg': markupsafe.Markup(attention.svg(cells)), 'pairs': f'{int(cells.sum()):,}',
                          'size': f'{len(cells)} × {cells.shape[1]}'}
                         for name, cells in attention.pictures(fields, own.two_streams).items()]}


def block(row, tokenizer, fields):
    """A look.Row as the template shows it: spans of text, and the integers of the attention among its tokens, if they have any."""
    apart, several = row.name == 'targets' and 'slots' in fields, row.segments.max(initial=0) > 1  # slots: no running text
    spans, before = [], 0
    for piece in row.pieces:
        hue = f' n{piece.number % 6}' if piece.kind in ('hidden', 'sentinel') else ''
        segment = int(row.segments[piece.start]) if several else 0
        spans.append({'text': piece.text.rstrip('\n') if apart else piece.text, 'kind': piece.kind + hue, 'at': piece.start,
                      'count': piece.stop - piece.start, 'segment': segment if segment != before else None,
                      'title': ' | '.join(title(i, row, tokenizer, fields) for i in range(piece.start, piece.stop))})
        before = segment
    side = row.name.removesuffix('tokens')
    rule = {key: np.asarray(fields[side + key]).tolist() for key in ('sees', 'seen', 'segments')} if len(row.segments) else None
    return {'spans': spans, 'padding': row.padding, 'rule': rule, 'apart': apart}


def title(i, row, tokenizer, fields):
    """The tooltip of token i."""
    parts, side = [f'{tokenizer.piece(row.ids[i])!r}', f'id {row.ids[i]}'], row.name.removesuffix('tokens')
    if row.name == 'targets':
        parts += [f'weight {fields["weights"][i]:g}', f'predicted at {fields["slots"][i] if "slots" in fields else i}']
    else:
        parts.append(f'token {i}')
    if len(row.segments):
        names = {'position': 'positions', 'segment': 'segments', 'type': 'types', 'sees': 'sees', 'seen': 'seen'}
        parts += [f'{name} {fields[side + field][i]}' for name, field in names.items() if side + field in fields]
    if row.name == 'tokens' and 'slots' not in fields and len(fields['targets']) == len(row.ids):
        parts.append(f'predicts {tokenizer.piece(int(fields["targets"][i]))!r} with weight {fields["weights"][i]:g}')
    return ' · '.join(parts)


def deviation(rate):
    """SVG of a realised rate, in standard errors from the configured one: the band is two, the scale six."""
    if rate.far is None:
        return ''
    off = max(-6.0, min(6.0, (rate.realised - rate.expected) / rate.error if rate.error else 0.0))
    return ('<svg class="deviation" viewBox="-65 0 130 14" width="130"><rect x="-20" y="2" width="40" height="10"/>'
            f'<line x1="0" x2="0" y1="0" y2="14"/><circle class="{"far" if rate.off else ""}" cx="{10 * off:.1f}" cy="7" r="4"/></svg>')
