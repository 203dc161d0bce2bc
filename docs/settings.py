"""`python docs/settings.py`: writes docs/settings.md, the table of every setting, from the dataclasses that state them."""
import dataclasses

from data import objectives, ranges
from train.settings import command_line, reads, schema, values

PAGE = command_line.ROOT / 'docs' / 'settings.md'
HEAD = """\
# Settings

Every `--config.KEY=VALUE`, written from the code by `python docs/settings.py`. A config file states some of them; flags win over
the file. "Only with" names the choice that a setting belongs to: given beside another one, it is refused, because nothing would read it; a
setting that may change on resume (`sample.*`, `eval_batches`) is ignored with a notice.
"""


def page() -> str:
    """The text of docs/settings.md."""
    lines = [HEAD, *table(schema.kinds(), schema.Config())]
    for name in objectives.names():
        kind = objectives.load(name)
        config = dataclasses.replace(schema.Config(), objective=kind())
        kinds = {key: stated for key, stated in schema.settings({'objective.': kind}).items() if key not in schema.settings({})}
        lines += table(kinds, config, f' with objective.name = {name}')
    return '\n'.join(lines) + '\n'


def table(kinds, config, title=''):
    """Lines of Markdown: a heading for each group, a row for each setting of {key: annotation}."""
    only, default, group = {}, schema.values(config), None
    for keys, choice, _, expected in reads.rows(config, schema.walk(config.objective)):
        only.update({key: f' Only with {choice} = {expected}.' for key in keys.split() if key not in only})
    for key, kind in kinds.items():
        if key.rpartition('.')[0] != group:
            group = key.rpartition('.')[0]
            yield f'\n## {group or "The run"}{title}\n\n| key | type | default | meaning |\n|---|---|---|---|'
        rule, meaning = ranges.stated(kind)
        rule = f', {rule}' if isinstance(rule, str) else f': {", ".join(map(str, rule))}' if rule else ''
        meaning = f'{meaning}.{only.get(key, "")}'
        cells = f'`{key}`', values.describe(kind) + rule, f'`{values.to_json(default[key])!r}`', meaning
        yield '| ' + ' | '.join(cell.replace('|', '\\|') for cell in cells) + ' |'


if __name__ == '__main__':
    PAGE.write_text(page(), encoding='utf-8')
