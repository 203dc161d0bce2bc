"""`transformers`' BertForMaskedLM with scaled_dot_product_attention; its head reads the slots alone, as here, not every position."""
import slots
from torch import nn
import transformers


class Model(nn.Module):
    """Batch -> loss."""

    def __init__(self, case):
        super().__init__()
        self.model = transformers.BertForMaskedLM(transformers.BertConfig(
            vocab_size=case.vocab, hidden_size=case.dim, num_hidden_layers=case.layers, num_attention_heads=case.heads,
            intermediate_size=4 * case.dim, max_position_embeddings=case.length, hidden_act='gelu_pytorch_tanh',
            hidden_dropout_prob=case.dropout, attention_probs_dropout_prob=case.dropout, attn_implementation='sdpa'))

    def forward(self, batch):
        hidden = self.model.bert(batch['tokens'], attention_mask=batch['mask']).last_hidden_state
        return slots.cross_entropy(self.model.cls(slots.read(hidden, batch['slots'])), batch)
