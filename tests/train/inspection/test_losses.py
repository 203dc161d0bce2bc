"""The inspector traces a loss of the objective's own with what the loop calls: what it lacks is found before the first step."""
import flax.linen as nn
import pytest

from data import corpus, pipeline
from train import inspect, objectives
from train.inspection import losses
from train.objectives import loss, permuted_lm, token
from train.settings import parse

TEXT = '--config.data.train=bundled:verses'
OWN = ('masked_lm', 'permuted_lm', 'replaced_token_detection', 'alternation')


@pytest.fixture(scope='module')
def cache(tmp_path_factory):
    return f'--config.data.cache={tmp_path_factory.mktemp("cache")}'


def found(cache, variant, *flags):
    config = parse.parse([f'--config=configs/tiny.py:{variant}', cache, *flags], inspect.parser(), devices=False).config
    text = corpus.open(config.data, config.tokenizer, lambda notice: None)
    config = parse.with_vocabulary(config, text.tokenizer)
    return losses.findings(config, pipeline.make(config.objective, text.train, 0, 0, 0))


@pytest.mark.parametrize('variant', OWN)
def test_the_losses_here_have_all(variant, cache):
    assert objectives.own(variant) and found(cache, variant) == []


class NoSay(nn.Module):
    """A loss without the base class, that trains but cannot make samples."""
    backbone: nn.Module

    scales = {'tokens': 1.0}
    initial_carry = token.TokenLoss.initial_carry
    weights = token.TokenLoss.weights

    def setup(self):
        self.inner = permuted_lm.PermutedLoss(self.backbone)

    def __call__(self, batch, carry=None, rows=None):
        return self.inner(batch, None, rows)


class OtherTerms(permuted_lm.PermutedLoss):
    def weights(self, batch):
        return {'targets': super().weights(batch)['tokens']}


class OneName(permuted_lm.PermutedLoss):
    def __call__(self, batch, carry=None, rows=None):
        out = super().__call__(batch, carry, rows)
        return out._replace(metrics={'tokens': out.metrics['accuracy']})


class NoCarry(permuted_lm.PermutedLoss):
    def __call__(self, batch, carry=None, rows=None):
        return super().__call__(batch, carry, rows)._replace(carry=None)


class WholeRows(permuted_lm.PermutedLoss):
    def say(self, batch):
        return batch['tokens']


@pytest.mark.parametrize('kind, message', [
    (NoSay, 'samples, say(batch): AttributeError'), (OtherTerms, "the train step: KeyError: 'tokens'"),
    (OneName, 'terms and metrics of one name: tokens'), (NoCarry, 'returns a carry of other shapes'),
    (WholeRows, 'say(batch): expected int32'), (token.TokenLoss, 'there is no loss of its own, but own_loss = True')])
def test_what_it_lacks_is_found(kind, message, cache, monkeypatch):
    def build(config):
        if kind in (NoSay, token.TokenLoss):
            return kind(loss.backbone(config))
        return kind(loss.backbone(config), memory=config.objective.memory_length, reuse=config.objective.reused)

    monkeypatch.setattr(permuted_lm, 'build', build)
    sentences = found(cache, 'permuted_lm')
    assert any(message in sentence for sentence in sentences), sentences
    assert all(sentence.startswith('train/objectives/permuted_lm.py: ') for sentence in sentences)


def test_the_command_leaves_with_7(cache, monkeypatch, capsys):
    monkeypatch.setattr(permuted_lm, 'build', lambda config: NoSay(loss.backbone(config)))
    assert inspect.main(['--config=configs/tiny.py:permuted_lm', cache, '--num_examples=1', '--json']) == 7
    assert 'say(batch): AttributeError' in capsys.readouterr().err
