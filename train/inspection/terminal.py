"""Examples on a terminal, in colour where it has some: text before and after, targets, integers, attention, realised rates."""
from collections.abc import Sequence
from typing import IO

import rich.console
import rich.table
import rich.text

from data import objectives
from train.inspection import attention, look as looks, rates as sums

STYLES = {'text': '', 'hidden': 'bold green', 'mask': 'bold red', 'random': 'bold magenta', 'kept': 'bold yellow', 'drawn': 'bold magenta',
          'sentinel': 'bold cyan', 'special': 'blue', 'given': 'dim', 'pad': 'dim'}


def console(file: IO | None = None) -> rich.console.Console:
    return rich.console.Console(file=file, highlight=False, soft_wrap=True)


def show(screen: rich.console.Console, one: looks.Look, objective: objectives.Objective, tokenizer, wrong: Sequence[str] = ()) -> None:
    """Prints one example."""
    own, fields = objective.made_by(one.example)
    about = [f'epoch {one.epoch}', f'index {one.index}', *looks.about(one, fields, own)]
    screen.rule(rich.text.Text(' · '.join(about), style='bold'), align='left', characters='─')
    for row in looks.rows(one, fields, tokenizer, own):
        screen.print(rich.text.Text(row.name, style='bold'))
        padding = [(f' <padding × {row.padding}>', STYLES['pad'])] * bool(row.padding)
        screen.print(rich.text.Text.assemble(*((piece.text, STYLES[piece.kind]) for piece in row.pieces), *padding))
    for name, text in looks.integers(one, fields, own):
        screen.print(rich.text.Text(f'{name:18}', style='bold') + rich.text.Text(text))
    for name, cells in attention.pictures(fields, own.two_streams).items():
        plain = attention.described(cells)
        screen.print(rich.text.Text(f'{name}: ', style='bold') + rich.text.Text(plain or 'rows see columns'))
        if not plain:
            screen.print(rich.text.Text('\n'.join(attention.braille(cells))))
    for sentence in wrong:
        screen.print(rich.text.Text(sentence, style='bold red'))
    screen.print()


def summary(screen: rich.console.Console, rates: sums.Rates) -> None:
    """Prints the rates, the fill and the denoisers."""
    if rates.rates:
        table = rich.table.Table(title=f'rates over {rates.examples} examples', title_justify='left', box=None, header_style='bold')
        for name in ('rate', 'configured', 'realised', 'standard error', 'out of'):
            table.add_column(name, justify='left' if name == 'rate' else 'right')
        for rate in rates.rates:
            table.add_row(*cells(rate), style='red' if rate.off else '')
        screen.print(table)
    for name, why in rates.objective.reasons().items():
        screen.print(rich.text.Text(f'{name}: configured is {why}'))
    for owner, name, count, size in rates.fill:
        share, who = count / max(size, 1), f'{owner}: ' if owner else ''
        screen.print(rich.text.Text(f'{who}{name}: {count:,} of {size:,} positions, {share:.1%}; empty {1 - share:.1%}'))
    for name, share in rates.objective.waste().items():
        screen.print(rich.text.Text(f'{name}: {share:.1%} of the positions are used by longer kinds of rows alone'))
    if rates.denoisers:
        shares = (f'{name} {count / rates.examples:.1%}' for name, count in sorted(rates.denoisers.items()))
        screen.print(rich.text.Text(f'denoisers: {", ".join(shares)}'))


def cells(rate: sums.Rate) -> tuple:
    """A rate's texts: name, configured, realised, standard error, out of."""
    number = lambda value: '' if value is None else f'{value:.4f}'
    return rate.name, number(rate.expected), number(rate.realised), number(rate.error), f'{rate.out_of:,.0f}'
