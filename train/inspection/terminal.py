"""Examples on a terminal, in colour where there is one: text before and after, targets, integers, attention, realised rates."""
import numpy as np
import rich.console
import rich.table
import rich.text

from train.inspection import attention, pieces

STYLES = {'text': '', 'hidden': 'bold green', 'mask': 'bold red', 'random': 'bold magenta', 'kept': 'bold yellow',
          'sentinel': 'bold cyan', 'special': 'blue', 'given': 'dim', 'pad': 'dim'}


def console(file=None):
    return rich.console.Console(file=file, highlight=False, soft_wrap=True)


def show(screen, one, objective, tokenizer, wrong=()):
    """Prints one example."""
    special = tokenizer.special
    own, fields = objective.made_by(one.example)
    about = [f'epoch {one.epoch}', f'index {one.index}', *([one.denoiser] if one.denoiser else []),
             *(f'{name} {np.asarray(value).tolist()}' for name, value in fields.get('labels', {}).items())]
    screen.rule(rich.text.Text(' · '.join(about), style='bold'), align='left', characters='─')
    rows = [('original', one.original, pieces.original(one.original, fields, special), ())]
    for side in (['encoder_'] if 'encoder_tokens' in fields else []) + ['']:
        rows.append((side + 'tokens', fields[side + 'tokens'], pieces.read(fields, special, side), starts(fields[side + 'segments'])))
    rows.append(('targets', fields['targets'], pieces.targets(fields, special), ()))
    for name, ids, kinds, breaks in rows:
        screen.print(rich.text.Text(name, style='bold'))
        screen.print(coloured(pieces.pieces(ids, kinds, tokenizer, breaks)))
    for name, value in integers(fields):
        screen.print(rich.text.Text(f'{name:18}', style='bold') + rich.text.Text(pieces.runs(value)))
    for name, cells in attention.pictures(fields, own.two_streams).items():
        plain = attention.described(cells)
        screen.print(rich.text.Text(f'{name}: ', style='bold') + rich.text.Text(plain or 'rows see columns'))
        if not plain:
            screen.print(rich.text.Text('\n'.join(attention.braille(cells))))
    for sentence in wrong:
        screen.print(rich.text.Text(sentence, style='bold red'))
    screen.print()


def coloured(row):
    """rich Text of pieces; a run of padding is one piece."""
    out, padding = rich.text.Text(), 0
    for piece in row:
        if piece.kind == 'pad':
            padding += piece.stop - piece.start
            continue
        out.append(piece.text, STYLES[piece.kind])
    if padding:
        out.append(f' <padding × {padding}>', STYLES['pad'])
    return out


def integers(fields):
    """[(name, values)] of what is neither text nor a number of its own."""
    shown = ('weights', 'slots', 'positions', 'segments', 'types', 'sees', 'seen')
    sides = ('encoder_positions', 'encoder_segments', 'encoder_sees', 'encoder_seen')
    return [(name, fields[name]) for name in (*shown, *sides) if name in fields]


def starts(segments):
    """Positions where a segment begins."""
    return (np.flatnonzero(np.diff(np.asarray(segments))) + 1).tolist()


def summary(screen, rates):
    """Prints the rates, the fill and the denoisers."""
    if rates.rates:
        table = rich.table.Table(title=f'rates over {rates.examples} examples', title_justify='left', box=None, header_style='bold')
        for name in ('rate', 'configured', 'realised', 'standard error', 'out of'):
            table.add_column(name, justify='left' if name == 'rate' else 'right')
        for rate in rates.rates:
            table.add_row(*cells(rate), style='red' if rate.off else '')
        screen.print(table)
    for owner, name, count, size in rates.fill:
        who = '' if owner is None else f'{rates.objective.task(owner)}: '
        share = count / max(size, 1)
        screen.print(rich.text.Text(f'{who}{name}: {count:,} of {size:,} places, {share:.1%}; empty {1 - share:.1%}'))
    for name, share in rates.waste:
        screen.print(rich.text.Text(f'{name}: {share:.1%} of the places are room that only longer kinds of rows use'))
    if rates.denoisers:
        total = sum(rates.denoisers.values())
        shares = ', '.join(f'{name} {count / total:.1%}' for name, count in sorted(rates.denoisers.items()))
        screen.print(rich.text.Text(f'denoisers: {shares}'))


def cells(rate):
    """A rate's texts: name, configured, realised, standard error, out of."""
    number = lambda value: '' if value is None else f'{value:.4f}'
    return rate.name, number(rate.expected), number(rate.realised), number(rate.error), f'{rate.out_of:,.0f}'
