"""`transformers`' T5ForConditionalGeneration (relu, tied, as published first) with scaled_dot_product_attention."""
import slots
from torch import nn
import transformers


class Model(nn.Module):
    """Batch -> loss."""

    def __init__(self, case):
        super().__init__()
        self.model = transformers.T5ForConditionalGeneration(transformers.T5Config(
            vocab_size=case.vocab, d_model=case.dim, d_kv=case.dim // case.heads, d_ff=4 * case.dim, num_layers=case.layers,
            num_heads=case.heads, dropout_rate=case.dropout, use_cache=False, attn_implementation='sdpa'))

    def forward(self, batch):
        logits = self.model(input_ids=batch['encoder_tokens'], attention_mask=batch['encoder_mask'],
                            decoder_input_ids=batch['tokens'], use_cache=False).logits
        return slots.cross_entropy(logits, batch)
