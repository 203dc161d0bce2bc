"""Layouts of a tensor in a Hugging Face file: for each, two functions on numpy arrays, inverse to each other.

The first returns the part-th of our parameters that share the tensor, `width` wide in its last axis; the second joins the parts to
the tensor. Matrices are [in, out] here, and [out, in] in torch.nn.Linear.
"""
import numpy as np


def from_conv(tensor, part, width, config):
    return tensor[..., part * width:(part + 1) * width]


def to_conv(parts, config):
    return np.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]


def from_heads(tensor, part, width, config):
    heads = tensor.reshape(config.heads, 3, config.size, *tensor.shape[1:])[:, part]
    return heads.reshape(width, *tensor.shape[1:]).T


def to_heads(parts, config):
    heads = [array.T.reshape(config.heads, config.size, *array.shape[:-1]) for array in parts]
    return np.stack(heads, axis=1).reshape(-1, *parts[0].shape[:-1])


LAYOUTS = {
    'same': (lambda tensor, part, width, config: tensor, lambda parts, config: parts[0]),
    'linear': (lambda tensor, part, width, config: from_conv(tensor.T, part, width, config),
               lambda parts, config: to_conv(parts, config).T),  # torch.nn.Linear: [out, in], parts one below the other
    'conv': (from_conv, to_conv),             # GPT-2's Conv1D: [in, out], parts side by side
    'heads': (from_heads, to_heads),          # BLOOM: [N x 3 x H, in], the query, key and value of a head one below the other
    'einsum': (lambda tensor, part, width, config: tensor.reshape(-1, width),
               lambda parts, config: parts[0].reshape(-1, config.heads, config.size)),  # XLNet: [in, N, H]
    'einsum_out': (lambda tensor, part, width, config: tensor.reshape(width, -1).T,  # XLNet's projection out of the heads: [D, N, H]
                   lambda parts, config: parts[0].T.reshape(-1, config.heads, config.size)),
    'vector': (lambda tensor, part, width, config: tensor.reshape(1, width), lambda parts, config: parts[0][None]),  # [1, 1, D]
}
