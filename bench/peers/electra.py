"""ELECTRA of `transformers`' parts: ElectraForMaskedLM samples what ElectraForPreTraining judges, with shared embeddings, one backward.

The generator's head reads the slots alone, as here. Samples are Gumbel's maximum over a quotient, the quickest way in PyTorch.
"""
import slots
import torch
from torch import nn
from torch.nn import functional
import transformers


def put(batch, ids):
    """The tokens of a batch with int64[B, P] at the slots that are used; unused ones point to the first token, which stays."""
    kept = batch['tokens'].gather(1, batch['slots'])
    return batch['tokens'].scatter(1, batch['slots'], torch.where(batch['weights'] > 0, ids, kept))


class Model(nn.Module):
    """Batch -> loss of the generator + 50 x that of the discriminator."""

    def __init__(self, case):
        super().__init__()

        def config(dim, heads):
            return transformers.ElectraConfig(
                vocab_size=case.vocab, embedding_size=case.dim, hidden_size=dim, num_hidden_layers=case.layers, num_attention_heads=heads,
                intermediate_size=4 * dim, max_position_embeddings=case.length, hidden_dropout_prob=case.dropout,
                attention_probs_dropout_prob=case.dropout, attn_implementation='sdpa')

        dim = 2 * max(1, round(case.generator * case.dim / 2))
        self.generator = transformers.ElectraForMaskedLM(config(dim, max(1, dim // 64)))
        self.discriminator = transformers.ElectraForPreTraining(config(case.dim, case.heads))
        shared = self.generator.electra.embeddings = self.discriminator.electra.embeddings
        self.generator.generator_lm_head.weight = shared.word_embeddings.weight

    def forward(self, batch):
        given = dict(attention_mask=batch['mask'], token_type_ids=batch['types'])
        hidden = slots.read(self.generator.electra(batch['tokens'], **given).last_hidden_state, batch['slots'])
        logits = self.generator.generator_lm_head(self.generator.generator_predictions(hidden))
        with torch.no_grad():
            drawn = (logits.float() - torch.empty_like(logits, dtype=torch.float32).exponential_().log()).argmax(-1)
            original = put(batch, batch['targets'])
            seen = put(batch, drawn)
        judged = self.discriminator(seen, **given).logits
        real = (batch['segments'] > 0).float()
        binary = functional.binary_cross_entropy_with_logits(judged.float(), (seen != original).float(), reduction='none')
        return slots.cross_entropy(logits, batch) + 50 * (binary * real).sum() / real.sum()
