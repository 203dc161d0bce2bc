"""Published parameter counts, and operations against XLA's own count of an unrolled model."""
import jax
import jax.numpy as jnp
import pytest

from model import config as model_config, flops, transformer
from train import objectives
from train.settings import parse

GPT2 = dict(vocab_size=50257, max_length=1024)
BERT = dict(architecture='encoder', vocab_size=30522, max_length=512, norm_position='post', types=2)
T5 = dict(architecture='encoder_decoder', vocab_size=32128, positions='relative', norm='rmsnorm', bias=False,
          activation='relu')
LLAMA = dict(norm='rmsnorm', positions='rotary', gated=True, tied=False, bias=False, activation='silu')


@pytest.mark.parametrize('settings,count', [
    (dict(GPT2, layers=12, dim=768, heads=12), 124_439_808),
    (dict(GPT2, layers=48, dim=1600, heads=25), 1_557_611_200),
    # bert-base-uncased is 109,482,240 with its pooler of 768 * 768 + 768; with the masked-LM head instead, 109,514,298.
    (dict(BERT, layers=12, dim=768, heads=12), 109_482_240 - 590_592),
    (dict(BERT, layers=12, dim=768, heads=12, head='transform'), 109_514_298),
    (dict(T5, layers=6, dim=512, heads=8, mlp_dim=2048), 60_506_624),
    (dict(T5, layers=12, dim=768, heads=12, mlp_dim=3072), 222_903_552),
    # T5 1.1 base: gated, its own head.
    (dict(T5, layers=12, dim=768, heads=12, mlp_dim=2048, gated=True, tied=False), 247_577_856),
    # Llama 3 8B.
    (dict(LLAMA, vocab_size=128256, layers=32, dim=4096, heads=32, kv_heads=8, mlp_dim=14336), 8_030_261_248),
])
def test_published_parameter_counts(settings, count):
    assert flops.parameters(model_config.Config(**settings)) == count


def test_padding_is_not_counted():
    config = dict(max_length=8, dim=16, heads=2, head='transform', tied=False)
    small, large = (flops.parameters(model_config.Config(vocab_size=V, **config)) for V in (100, 120))
    assert large - small == 20 * (16 + 16 + 1)


@pytest.mark.parametrize('settings,lengths', [
    (dict(LLAMA, layers=2, heads=8, kv_heads=2), {'tokens': 128}),
    (dict(BERT, layers=2, heads=8, head='transform', activation='relu'), {'tokens': 128, 'slots': 16}),
    (dict(T5, layers=1, heads=8, decoder_layers=2, positions='none'), {'tokens': 32, 'encoder_tokens': 128}),
    (dict(BERT, layers=2, heads=8, head='transform', activation='relu', embed_dim=128, share_layers=True), {'tokens': 128}),
    (dict(BERT, layers=2, heads=8, positions='xl', relative_segments=True, activation='relu', dropout=0.0), {'tokens': 128}),
    (dict(GPT2, layers=3, heads=8, activation='relu', query_layer=True), {'tokens': 128}),
    (dict(layers=2, heads=8, activation='relu', positions='alibi', embed_norm=True), {'tokens': 128}),
], ids=['decoder', 'encoder', 'encoder_decoder', 'shared', 'xl', 'query_layer', 'alibi'])
def test_operations_equal_those_that_xla_counts(settings, lengths):
    config = model_config.Config(**{**settings, 'vocab_size': 1024, 'dim': 256, 'unroll': 2})
    model = transformer.Transformer(config)
    batch = transformer.blank(config, 2, lengths['tokens'])
    if 'encoder_tokens' in lengths:
        source = transformer.blank(config, 2, lengths['encoder_tokens'])
        batch = {**batch, **{name: value for name, value in source.items() if name.startswith('encoder_')}}
    if 'slots' in lengths:
        batch['slots'] = batch['tokens'][:, :lengths['slots']]
    params = jax.eval_shape(model.init, jax.random.key(0), batch)
    counted = jax.jit(model.apply).lower(params, batch).compile().cost_analysis()['flops']
    expected = flops.forward_flops(config, 2, lengths)
    assert expected < counted < 1.06 * expected  # XLA also counts norms, softmax and activations
    assert flops.train_flops(config, 2, lengths) == 3 * expected


@pytest.mark.parametrize('name', ['electra', 'xlnet'])
def test_operations_of_other_networks_equal_those_that_xla_counts(name):
    """A generator beside the backbone; two streams with memory."""
    resolved = parse.parse([
        f'--config=configs/pretrain_{name}.py:tiny', '--workdir=x', '--config.batch_size=2', '--config.model.dim=256',
        '--config.model.unroll=2', '--config.model.activation=relu', '--config.model.dropout=0',
        '--config.model.vocab_size=1024'], devices=False).config
    module, batch = objectives.build(resolved), transformer.blank(resolved.model, 2, 64)
    slots = batch['tokens'][:, :resolved.objective.lengths()['slots']]
    batch |= {'slots': slots, 'targets': slots, 'weights': jnp.ones(slots.shape)}
    rngs = {name: jax.random.key(0) for name in ('params', 'sample', 'dropout')}
    carry = module.initial_carry(2)
    params = jax.eval_shape(module.init, rngs, batch, carry)

    def loss(params, batch, carry):
        return module.apply(params, batch, carry, jnp.arange(2), rngs=rngs).terms

    counted = jax.jit(loss).lower(params, batch, carry).compile().cost_analysis()['flops']
    assert objectives.train_flops(resolved) / 3 < counted < 1.1 * objectives.train_flops(resolved) / 3


def test_the_rule_of_six():
    """6 N operations a token, N the parameters in products, when attention is short (Kaplan et al. 2020)."""
    config = model_config.Config(**GPT2, layers=12, dim=768, heads=12, positions='rotary')
    a_token = flops.train_flops(config, 4, {'tokens': 32}) / (4 * 32)
    assert a_token == pytest.approx(6 * flops.parameters(config), rel=0.02)
