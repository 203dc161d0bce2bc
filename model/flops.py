"""The cost of a model, from its shape alone: parameters, and floating-point operations of a step.

Counts products only, two operations a multiply-add, every attention score whether masked or not (the convention of
PaLM's MFU, Chowdhery et al. 2022). XLA's own count is not used, because it counts the body of a scan once.
"""
import jax

from model import config as model_config, positions, resize, transformer


def parameters(config: model_config.Config) -> int:
    """Number of parameters without the rows that pad the vocabulary. By shapes: allocates nothing."""
    model = transformer.Transformer(config)
    return resize.count(jax.eval_shape(model.init, jax.random.key(0), transformer.blank(config))['params'], config)


def forward_flops(config: model_config.Config, batch_size: int, lengths: dict[str, int]) -> int:
    """Operations of one forward pass. lengths: of an objective, {'tokens': T, 'encoder_tokens': S, 'slots': P, 'queries', 'memory'},
    the last two the numbers of XLNet's appended queries and of positions in its memory.
    """
    D, E, F, N, K, H = config.dim, config.width, config.hidden, config.heads, config.kv, config.size
    T, S = lengths['tokens'], lengths.get('encoder_tokens', 0)

    def projections(queries, keys):
        return 2 * queries * 2 * D * N * H + 2 * keys * 2 * D * K * H

    def attention(queries, keys):
        return projections(queries, keys) + 2 * 2 * queries * keys * N * H

    def stack(role, length):
        queries, keys = length + lengths.get('queries', 0), length + lengths.get('memory', 0)
        layer = attention(queries, keys) + 2 * queries * D * F * (3 if config.gated else 2)
        layer += positions.of(config).flops(queries, length, keys, batch_size)
        if config.crosses(role):
            layer += attention(length, S)
        return config.depth(role) * layer + (2 * queries * E * D if E != D else 0)

    row = stack('encoder' if config.architecture == 'encoder' else 'decoder', T)
    if config.architecture == 'encoder_decoder':
        row += stack('encoder', S)
    read = lengths.get('slots', T)
    width = E if config.tied else D
    row += 2 * read * width * config.padded_vocab + (2 * read * D * width if config.head == 'transform' or width != D else 0)
    return round(batch_size * row)


def train_flops(config: model_config.Config, batch_size: int, lengths: dict[str, int]) -> int:
    """Operations of a training step: the backward pass counts twice the forward; recomputation (remat) is not counted."""
    return 3 * forward_flops(config, batch_size, lengths)
