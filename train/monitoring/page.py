"""The report: one self-contained HTML page of a run, or of several whose curves share their charts.

Curves are inline SVG, nothing is loaded from anywhere and no script runs; every text from the run is escaped.
"""
import itertools
import json

from etils import epath
import jinja2

from data import atomic
from train.monitoring import curves, metrics
from train.settings import config_file, errors, json_file

CHARTS = {'loss': ('train/loss', 'eval/loss'), 'eval/bits_per_byte': ('eval/bits_per_byte',), 'learning rate': ('learning_rate',),
          'gradient norm': ('grad_norm',), 'tokens per second': ('tokens_per_second',)}
COLUMNS = ('train/loss', 'eval/loss', 'eval/bits_per_byte', 'tokens_per_second', 'seconds')


def write(workdirs: list[epath.PathLike], out: epath.PathLike | None = None) -> epath.Path:
    """Writes the page for one or more workdirs to `out` (default: report.html in the first) and returns its path."""
    runs = [_run(epath.Path(d)) for d in workdirs]
    extra = sorted({name for run in runs for record in run['records'] for name in record if name.startswith(('train/', 'eval/'))}
                   - {name for names in CHARTS.values() for name in names})
    charts = []
    for title, names in {**CHARTS, **{name: (name,) for name in extra}}.items():
        series = {' · '.join([run['name']] * (len(runs) > 1) + [name] * (len(names) > 1)):
                  [(r['step'], r[name]) for r in run['records'] if isinstance(r.get(name), (int, float))] for name in names for run in runs}
        series = {key: points for key, points in series.items() if points}
        if svg := curves.chart(series):
            charts.append({'name': title, 'svg': svg, 'legend': list(zip(series, itertools.cycle(curves.COLOURS))) * (len(series) > 1)})
    loader = jinja2.PackageLoader('train.monitoring', '.')
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    columns = [name for name in COLUMNS if any(name in run['last'] for run in runs)]
    page = environment.get_template('report.html').render(runs=runs, charts=charts, columns=columns)
    out = epath.Path(out) if out else epath.Path(workdirs[0]) / 'report.html'
    atomic.write(out, page.encode())
    return out


def _run(folder):
    notes = []
    records, environment = metrics.read(folder, notice=notes.append), _environment(folder / 'environment.json')
    config = [(key, json.dumps(value, ensure_ascii=False)) for key, value in config_file.leaves(_config(folder / 'config.json'))]
    last = {name: value for record in records for name, value in record.items() if isinstance(value, (int, float))}
    return {'name': folder.name or str(folder), 'records': records, 'step': last.get('step', 0),
            'last': {name: f'{value:,.4f}' if abs(value) < 1000 else f'{value:,.0f}' for name, value in last.items()},
            'samples': [{'prompt': '', 'text': '', **sample} for sample in metrics.read(folder, 'samples.jsonl', notes.append)],
            'config': config, 'parameters': environment.pop('parameters', None), 'environment': environment, 'notes': notes}


def _environment(path):
    """What environment.json holds; of a damaged one, what is wrong with it: that is no reason to show no curves."""
    try:
        return {key: value for key, value in json_file.read(path).items() if key != 'sha256'}
    except ValueError as error:
        return {'environment.json': f'cannot be read: {error}'}


def _config(path):
    try:
        return json_file.read(path)
    except ValueError as error:
        raise errors.Error([errors.Problem(str(path), f'expected JSON, got {error}.')], 'report', 'nothing was written') from None
