"""Heads that read a few positions of a row, in PyTorch: the work that both sides do for masked tokens."""
import torch
from torch.nn import functional


def read(hidden, slots):
    """float[B, T, D], int64[B, P] -> float[B, P, D]."""
    return torch.gather(hidden, 1, slots[..., None].expand(-1, -1, hidden.shape[-1]))


def cross_entropy(logits, batch):
    """The mean over the targets of weight 1."""
    losses = functional.cross_entropy(logits.flatten(0, 1).float(), batch['targets'].flatten(), reduction='none')
    return (losses * batch['weights'].flatten()).sum() / batch['weights'].sum()
