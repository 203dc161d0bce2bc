"""Cases of the attention rule, small enough to be looked at, the rule as a loop over pairs, and attention by hand."""
import jax.numpy as jnp
import numpy as np

from model.attention import rule as rules

T = 8
PLACES = np.arange(T)
NEVER = rules.NEVER
ORDER = np.array([3, 0, 7, 1, 6, 2, 5, 4])
PACKED = np.array([1, 1, 1, 2, 2, 2, 2, 0])
RESTART = np.array([0, 1, 2, 0, 1, 2, 3, 0])
PREFIX = np.maximum(PLACES, 3 - 1)


def make(sees, seen, query_segments=1, key_segments=1, query_positions=PLACES, key_positions=PLACES):
    """A rule of one row from numbers or vectors."""
    return rules.Rule(*(jnp.asarray(np.broadcast_to(x, (T,))[None], jnp.int32)
                        for x in (sees, seen, query_segments, key_segments, query_positions, key_positions)))


MATRIX = {                                    # (rule, window)
    'bidirectional': (make(0, 0), None),
    'causal': (make(PLACES, PLACES), None),
    'prefix': (make(PREFIX, PREFIX), None),
    'permuted content': (make(ORDER, ORDER), None),
    'permuted query': (make(ORDER - 1, ORDER), None),
    'never seen': (make(ORDER - 1, np.where(PLACES % 3 == 0, NEVER, ORDER)), None),
    'packed causal': (make(RESTART, RESTART, PACKED, PACKED, RESTART, RESTART), None),
    'packed bidirectional': (make(0, 0, PACKED, PACKED, RESTART, RESTART), None),
    'padding by integers': (make([0, 1, 2, 3, -1, -1, -1, -1], [0, 1, 2, 3, NEVER, NEVER, NEVER, NEVER]), None),
    'cross': (rules.cross(jnp.asarray(PACKED)[None], jnp.asarray([[1, 2, 2, 2, 2, 0, 0, 3]])), None),
    'prefix tokens': (make(RESTART, np.where(PLACES < 2, -1, RESTART), PACKED, np.where(PLACES < 2, -1, PACKED)), None),
    'window': (make(0, 0), 3),
    'causal window': (make(PLACES, PLACES), 3),
    'packed causal window': (make(RESTART, RESTART, PACKED, PACKED, RESTART, RESTART), 2),
}


def sees(rule, window, b, q, k):
    """The definition, for one pair."""
    query_segment, key_segment = int(rule.query_segments[b, q]), int(rule.key_segments[b, k])
    if query_segment == 0 or key_segment == 0:
        return False
    if key_segment not in (query_segment, -1):
        return False
    if window is not None and abs(int(rule.query_positions[b, q]) - int(rule.key_positions[b, k])) >= window:
        return False
    return int(rule.seen[b, k]) <= int(rule.sees[b, q])


def mask(rule, window=None):
    """bool[B, T, S], pair by pair."""
    (rows, queries), keys = rule.sees.shape, rule.seen.shape[1]
    return np.array([[[sees(rule, window, b, q, k) for k in range(keys)] for q in range(queries)] for b in range(rows)])


def attend(query, key, value, allowed, scale, bias=0.0, soft_cap=None):
    """Attention by hand, in float64 and over the visible keys alone: (output, pull), pull(g) -> gradients of query, key, value, bias.

    As `plain.attend`, with allowed bool[B, T, S] and bias float[B, N, T, S].
    """
    query, key, value = (np.asarray(x, np.float64) for x in (query, key, value))
    group, B, K = query.shape[1] // key.shape[1], *key.shape[:2]
    own_key, own_value = (np.repeat(x, group, axis=1) for x in (key, value))
    scores = np.einsum('bnth,bnsh->bnts', query, own_key) * scale
    capped = scores if soft_cap is None else soft_cap * np.tanh(scores / soft_cap)
    visible = np.broadcast_to(allowed[:, None], scores.shape)
    weights = np.exp((capped + bias) * visible, where=visible, out=np.zeros_like(scores))
    weights /= np.maximum(weights.sum(-1, keepdims=True), 1e-300)

    def pull(g):
        g = np.asarray(g, np.float64)
        of_weights = np.einsum('bnth,bnsh->bnts', g, own_value)
        of_bias = weights * (of_weights - (weights * of_weights).sum(-1, keepdims=True))
        of_scores = of_bias * scale * (1 if soft_cap is None else 1 - (capped / soft_cap) ** 2)
        of_key, of_value = np.einsum('bnts,bnth->bnsh', of_scores, query), np.einsum('bnts,bnth->bnsh', weights, g)
        together = [x.reshape(B, K, group, *x.shape[2:]).sum(2) for x in (of_key, of_value)]
        return np.einsum('bnts,bnsh->bnth', of_scores, own_key), *together, of_bias

    return np.einsum('bnts,bnsh->bnth', weights, own_value), pull
