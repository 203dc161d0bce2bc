"""The report: one page without requests, of one run or several, for losses of every kind."""
import html.parser
import json

import pytest

from train import report
from train.monitoring import curves, page


def run_folder(folder, losses, text='Call me Ishmael.'):
    folder.mkdir()
    lines = [{'step': i + 1, 'train/loss': loss, 'learning_rate': 1e-3, 'grad_norm': 1.0, 'tokens_per_second': 1e4}
             for i, loss in enumerate(losses)]
    lines.append({'step': len(losses), 'eval/loss': losses[-1], 'eval/bits_per_byte': 2.5})
    (folder / 'metrics.jsonl').write_text(''.join(json.dumps(line) + '\n' for line in lines))
    (folder / 'samples.jsonl').write_text(json.dumps({'step': len(losses), 'prompt': 'It was ', 'text': text}) + '\n')
    (folder / 'config.json').write_text(json.dumps({'steps': len(losses), 'model': {'heads': 8}}))
    (folder / 'environment.json').write_text(json.dumps({'jax': '0.12', 'parameters': 1234}))
    return folder


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attributes]


def test_page_is_one_file_with_curves_config_and_samples(tmp_path):
    out = page.write([run_folder(tmp_path / 'a', [5.0, 4.0, 3.0])])
    text = out.read_text()
    parsed = Page(text)
    assert out == tmp_path / 'a' / 'report.html'
    assert parsed.tags.count('svg') == 5 and 'polyline' in parsed.tags
    assert 'Call me Ishmael.' in text and 'model.heads = 8' in text and '1,234 parameters' in text
    assert not [a for a in parsed.attributes if a[1] in ('src', 'href')] and 'script' not in parsed.tags


def test_untrusted_text_is_escaped(tmp_path):
    hostile = '<script>alert(1)</script><img src=x onerror=alert(1)>'
    text = page.write([run_folder(tmp_path / 'a', [1.0], text=hostile)]).read_text()
    assert '<script' not in text and '<img' not in text and '&lt;script&gt;' in text
    assert "default-src 'none'" in text


def test_two_runs_share_their_charts_with_a_legend(tmp_path):
    a, b = run_folder(tmp_path / 'a', [5.0, 4.0]), run_folder(tmp_path / 'b', [5.0, 3.0, 2.0])
    text = page.write([a, b], tmp_path / 'both.html').read_text()
    assert text.count('<polyline') == 2 * 6
    assert 'a · train/loss' in text and 'b · eval/loss' in text


def test_command_names_a_folder_that_holds_no_run(tmp_path, capsys):
    assert report.main([str(tmp_path)]) == 3
    assert capsys.readouterr().err == (f'report: no run in {tmp_path}: expected a folder with config.json, '
                                       'as python -m train.main --workdir=DIR writes\n')


def test_missing_and_infinite_values_leave_a_gap_not_a_crash():
    assert curves.chart({'a': [(1, None), (2, float('nan')), (3, float('inf'))]}) == ''
    assert curves.chart({'a': [(1, 1.0), (2, None), (3, 2.0)]}).count('<circle') == 2


def test_thinning_keeps_the_spike():
    points = [(i, 0.0) for i in range(10_000)]
    points[7_777] = (7_777, 9.0)
    kept = curves.thin(points)
    assert (7_777, 9.0) in kept and len(kept) <= 2 * curves.POINTS and kept == sorted(kept)


@pytest.mark.parametrize('low,high,expected', [(0, 10, [0, 2, 4, 6, 8, 10]), (0.5, 2.6, [0.5, 1.0, 1.5, 2.0, 2.5]), (3, 3, [3])])
def test_ticks_are_round(low, high, expected):
    assert curves.ticks(low, high) == pytest.approx(expected)
