"""The report: one page without requests, of one run or several, for losses of every kind."""
import html.parser
import json

import pytest

from train import report
from train.monitoring import curves, loss_terms, page, summary
from train.settings import parse


def run_folder(folder, losses, text='Call me Ishmael.'):
    folder.mkdir(parents=True)
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


def real_run(folder, losses, *flags):
    """A run whose config.json is one that train.main writes."""
    run_folder(folder, losses)
    config = parse.parse(['--config=configs/tiny.py', '--workdir=runs/x', *flags], devices=False).config
    (folder / 'config.json').write_text(json.dumps(parse.to_dict(config)))
    return folder


def test_a_comparison_shows_what_differs_what_it_cost_and_which_run_is_unfinished(tmp_path):
    folders = [real_run(tmp_path / 'x' / 'a', [5.0, 4.0], '--config.steps=2'),
               real_run(tmp_path / 'y' / 'a', [5.0, 3.0, 2.0], '--config.steps=9', '--config.optimizer.learning_rate=3e-4')]
    runs = summary.runs(folders)
    assert [run.name for run in runs] == [str(folder) for folder in folders]  # equal names would hide which is which
    assert [run.status for run in runs] == ['step 2', 'step 3 of 9, unfinished']
    assert summary.differences(runs) == [['steps', '2', '9'], ['optimizer.learning_rate', '0.001', '0.0003']]
    head, first, second = summary.results(runs)
    assert head[:4] == ['run', 'state', 'parameters', 'tokens']
    assert first[2:4] == ['1,234', f'{2 * 8 * 64:,}'] and second[2:4] == ['1,234', f'{3 * 8 * 64:,}']
    text = page.write(folders, tmp_path / 'both.html').read_text()
    assert 'unfinished' in text and 'optimizer.learning_rate</td><td>0.001</td><td>0.0003' in text


def test_a_single_page_begins_with_the_settings_that_are_not_defaults(tmp_path):
    run, = summary.runs([real_run(tmp_path / 'a', [5.0], '--config.model.dropout=0.25')])
    assert run.changed['model.dropout'] == '0.25' and run.changed['batch_size'] == '8' and 'model.norm_epsilon' not in run.changed
    text = page.write([tmp_path / 'a']).read_text()
    assert text.index('model.dropout = 0.25') < text.index('model.norm_epsilon = 1e-05')


def test_time_is_that_of_all_processes(tmp_path):
    lines = [{'step': step, 'seconds': seconds} for step, seconds in enumerate([10.0, 20.0, 5.0, 7.5, 6.0], 1)]
    (run_folder(tmp_path / 'a', [1.0]) / 'metrics.jsonl').write_text(''.join(json.dumps(line) + '\n' for line in lines))
    assert summary.runs([tmp_path / 'a'])[0].seconds == 20.0 + 7.5 + 6.0


def test_no_two_curves_have_one_colour(tmp_path):
    assert len({curves.colour(number) for number in range(1000)}) == 1000
    folders = [run_folder(tmp_path / str(i), [5.0, 4.0]) for i in range(12)]
    legend = page.charts(summary.runs(folders)).__next__()['legend']
    assert len(legend) == 24 and len({colour for _, colour, _ in legend}) == 12
    assert [dashed for _, _, dashed in legend] == [False, True] * 12


def test_each_term_of_a_loss_and_its_perplexity(tmp_path):
    electra = loss_terms.Terms({'generator': 1.0, 'discriminator': 50.0}, 'generator')
    line = {'train/loss': 42.2, 'train/generator': 6.7, 'train/discriminator': 0.71}
    assert electra.equation(line, 'train') == 'generator 6.7000 + 50 × discriminator 0.7100'
    assert electra.perplexity(line, 'train') == pytest.approx(812.4, abs=0.1) and electra.equation(line, 'eval') == ''
    run, = summary.runs([run_folder(tmp_path / 'a', [1.0])])
    run.terms, run.last = electra, line
    assert run.equations == 'train/loss = generator 6.7000 + 50 × discriminator 0.7100'
    causal = loss_terms.Terms({'tokens': 1.0}, 'tokens')
    assert causal.equation({'train/loss': 2.0}, 'train') == ''
    assert causal.perplexity({'train/loss': 2.0}, 'train') == pytest.approx(7.389, abs=1e-3)
    assert causal.perplexity({'train/loss': 2.0, 'train/nll': 0.0}, 'train') == 1.0  # smoothing is no part of it
    assert loss_terms.Terms({'discriminator': 50.0}).perplexity({'train/loss': 2.0}, 'train') is None


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
