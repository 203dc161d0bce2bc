"""The report: one self-contained HTML page of a run, or of several whose curves share their charts.

Curves are inline SVG, nothing is loaded from anywhere and no script runs; every text from the run is escaped. What is in a run: summary.py.
"""
from etils import epath
import jinja2

from data import atomic
from train.monitoring import curves, summary

CHARTS = {'loss': ('train/loss', 'eval/loss'), 'eval/bits_per_byte': ('eval/bits_per_byte',), 'learning rate': ('learning_rate',),
          'gradient norm': ('grad_norm',), 'tokens per second': ('tokens_per_second',)}


def write(workdirs: list[epath.PathLike], out: epath.PathLike | None = None) -> epath.Path:
    """Writes the page for one or more workdirs to `out` (default: report.html in the first) and returns its path."""
    runs = summary.runs(workdirs)
    loader = jinja2.PackageLoader('train.monitoring', '.')
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    page = environment.get_template('report.html').render(
        runs=runs, charts=list(charts(runs)), results=summary.results(runs), differences=summary.differences(runs))
    out = epath.Path(out) if out else epath.Path(workdirs[0]) / 'report.html'
    atomic.write(out, page.encode(errors='backslashreplace'))
    return out


def charts(runs: list[summary.Run]) -> list[dict]:
    """{'name', 'svg', 'legend': [(text, colour, dashed)]} of each chart. A run has one colour; its second curve in a chart is dashed."""
    extra = sorted({name for run in runs for record in run.records for name in record if name.startswith(('train/', 'eval/'))}
                   - {name for names in CHARTS.values() for name in names})
    for title, names in {**CHARTS, **{name: (name,) for name in extra}}.items():
        series, styles = {}, {}
        for number, run in enumerate(runs):
            for second, name in enumerate(names):
                points = [(record['step'], record[name]) for record in run.records if isinstance(record.get(name), (int, float))]
                if points:
                    key = ' · '.join([run.name] * (len(runs) > 1) + [name] * (len(names) > 1))
                    series[key], styles[key] = points, (curves.colour(number), bool(second))
        if svg := curves.chart(series, styles):
            yield {'name': title, 'svg': svg, 'legend': [(key, *styles[key]) for key in series] * (len(series) > 1)}
