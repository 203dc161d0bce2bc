"""Generation against repeated full forwards, and the sampling distribution against numpy."""
import functools

from flax import traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from model import config as model_config, transformer
from model.decoding import generate

V = 30


@functools.cache
def build(**settings):
    settings = {**dict(vocab_size=V, layers=2, dim=16, heads=4, positions='rotary', tied=False), **settings}
    model = transformer.Transformer(model_config.Config(**settings))
    shapes = jax.eval_shape(model.init, jax.random.key(0), transformer.blank(model.config))['params']
    rng = np.random.default_rng(0)

    def draw(path, leaf):                     # loud kernels, quiet biases: what comes next depends on what came before
        value = {'scale': 1.0, 'bias': 0.0}.get(path[-1].key, rng.normal(size=leaf.shape))
        return np.broadcast_to(np.float32(value), leaf.shape)

    return model.apply, {'params': jax.tree_util.tree_map_with_path(draw, shapes)}


PROMPTS = np.array([[5, 9, 3, 7, 2, 0], [4, 4, 0, 0, 0, 0], [8, 1, 6, 2, 9, 11]], np.int32)
LENGTHS = np.array([5, 2, 6])


def row(tokens, causal=True, prefix=''):
    places = np.arange(len(tokens))[None]
    sees = places if causal else np.zeros_like(places)
    fields = dict(tokens=np.array(tokens)[None], positions=places, segments=np.ones_like(places), sees=sees, seen=sees)
    return {prefix + name: value.astype(np.int32) for name, value in fields.items()}


def naive(apply, variables, prompt, count, source=None, width=12):
    """Greedy by a full forward for every token, over a padded row so that there is one shape."""
    forward = jax.jit(lambda batch: apply(variables, batch))
    tokens = list(prompt)
    for _ in range(count):
        batch = row(tokens + [0] * (width - len(tokens)))
        tokens.append(int(np.argmax(forward({**batch, **(source or {})})[0, len(tokens) - 1])))
    return tokens[len(prompt):]


@pytest.mark.parametrize('settings', [{}, dict(positions='relative', kv_heads=2, windows=(3, None))], ids=str)
def test_greedy_equals_repeated_full_forwards_for_prompts_of_any_length(settings):
    apply, variables = build(**settings)
    out = generate.generate(apply, variables, PROMPTS, LENGTHS, max_new_tokens=6, temperature=0)
    assert out.shape == (3, 6) and out.dtype == jnp.int32 and len(np.unique(out)) > 4
    for tokens, prompt, length in zip(out, PROMPTS, LENGTHS):
        assert tokens.tolist() == naive(apply, variables, prompt[:length], 6)


def test_a_prompt_alone_equals_the_prompt_in_a_batch():
    apply, variables = build()
    together = generate.generate(apply, variables, PROMPTS, LENGTHS, max_new_tokens=6, temperature=0)
    alone = generate.generate(apply, variables, PROMPTS[1:2, :2], LENGTHS[1:2], max_new_tokens=6, temperature=0)
    np.testing.assert_array_equal(alone[0], together[1])


def test_encoder_decoder():
    apply, variables = build(architecture='encoder_decoder', positions='relative')
    source = row([3, 8, 2, 9, 5], causal=False, prefix='encoder_')
    answer = functools.partial(generate.generate, apply, variables, [[0]], [1], max_new_tokens=5, temperature=0)
    assert answer(source=source)[0].tolist() == naive(apply, variables, [0], 5, source)
    other = {**source, 'encoder_tokens': source['encoder_tokens'] + 7}
    assert np.any(answer(source=source) != answer(source=other))


def test_eos_ends_a_row_and_pads_it():
    greedy = functools.partial(generate.generate, *build(), PROMPTS, LENGTHS, max_new_tokens=6, temperature=0)
    free = np.asarray(greedy())
    eos = int(free[0, 2])
    out = np.asarray(greedy(eos=eos, pad=29))
    for tokens, unstopped in zip(out, free):
        stop = list(unstopped).index(eos) + 1 if eos in unstopped else 6
        assert tokens.tolist() == unstopped[:stop].tolist() + [29] * (6 - stop)


def test_top_k_of_one_is_greedy():
    draw = functools.partial(generate.generate, *build(), PROMPTS, LENGTHS, jax.random.key(0), max_new_tokens=6)
    np.testing.assert_array_equal(draw(temperature=0), draw(temperature=1.3, top_k=1))


def test_sampling_follows_its_key():
    draw = functools.partial(generate.generate, *build(), PROMPTS, LENGTHS, max_new_tokens=8)
    first, again, other = (draw(jax.random.key(seed), temperature=2.0) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.any(np.asarray(first) != np.asarray(other))
    assert np.asarray(first).max() < V        # padded rows of the vocabulary are never drawn
    with pytest.raises(ValueError, match='temperature = 1.0 draws at random: give an rng'):
        draw()


def distribution(logits, temperature, top_k, top_p):
    """What sampling should follow, in plain numpy."""
    p = np.exp(logits / temperature - np.max(logits / temperature))
    p /= p.sum()
    order = np.argsort(-p)
    if top_k:
        p[order[top_k:]] = 0
        p /= p.sum()
    total, kept = 0.0, []
    for token in order:
        if total >= top_p:
            break
        kept.append(token)
        total += p[token]
    out = np.zeros_like(p)
    out[kept] = p[kept]
    return out / out.sum()


@pytest.mark.parametrize('temperature,top_k,top_p', [
    (1.0, 0, 1.0), (0.7, 5, 1.0), (1.0, 0, 0.6), (1.5, 8, 0.8), (1.0, 99, 1e-6)])
def test_sampling_distribution(temperature, top_k, top_p):
    logits = np.random.default_rng(0).normal(size=12).astype(np.float32) * 1.5
    n = 20_000
    drawn = generate.sample(jnp.broadcast_to(logits, (n, 12)), jax.random.key(1), temperature, top_k, top_p)
    found, expected = np.bincount(drawn, minlength=12) / n, distribution(logits, temperature, top_k, top_p)
    np.testing.assert_array_equal(found[expected == 0], 0)
    assert np.all(np.abs(found - expected) <= 5 * np.sqrt(expected * (1 - expected) / n) + 1e-12)


def test_kernels_are_cast_once_and_nothing_else():
    _, variables = build()
    cast = traverse_util.flatten_dict(generate.cast_kernels(variables, jnp.bfloat16), sep='/')
    assert all((leaf.dtype == jnp.bfloat16) == path.endswith('kernel') for path, leaf in cast.items())
