"""Llama 2, 3, 3.1 and 3.2 (Touvron et al. 2023; Dubey et al. 2024), and SmolLM2 (Allal et al. 2025), the same network.

RMSNorm, rotary positions, gated SiLU, no biases; fewer key-value heads in most. From 3.1 on the rotary frequencies are scaled.
`max_length` is the context length of the released model.
"""
from model import families

COMMON = dict(architecture='decoder', positions='rotary', norm='rmsnorm', norm_epsilon=1e-5, bias=False, activation='silu',
              gated=True, tied=False, initializer='normal')
TWO = dict(COMMON, vocab_size=32000, max_length=4096)
THREE = dict(COMMON, vocab_size=128256, max_length=8192, rotary_base=500000.0, kv_heads=8)
LONG = dict(THREE, max_length=131072, rotary_scaling=(8.0, 1.0, 4.0, 8192))
SHORT = dict(LONG, tied=True, rotary_scaling=(32.0, 1.0, 4.0, 8192))
SMOL = dict(COMMON, vocab_size=49152, max_length=8192, tied=True)

SIZES = {
    '2-7b': dict(TWO, layers=32, dim=4096, heads=32, mlp_dim=11008),
    '2-13b': dict(TWO, layers=40, dim=5120, heads=40, mlp_dim=13824),
    '2-70b': dict(TWO, layers=80, dim=8192, heads=64, kv_heads=8, mlp_dim=28672),
    '3-8b': dict(THREE, layers=32, dim=4096, heads=32, mlp_dim=14336),
    '3-70b': dict(THREE, layers=80, dim=8192, heads=64, mlp_dim=28672),
    '3.1-8b': dict(LONG, layers=32, dim=4096, heads=32, mlp_dim=14336),
    '3.1-70b': dict(LONG, layers=80, dim=8192, heads=64, mlp_dim=28672),
    '3.1-405b': dict(LONG, layers=126, dim=16384, heads=128, mlp_dim=53248),
    '3.2-1b': dict(SHORT, layers=16, dim=2048, heads=32, mlp_dim=8192),
    '3.2-3b': dict(SHORT, layers=28, dim=3072, heads=24, mlp_dim=8192),
    'smollm2-135m': dict(SMOL, layers=30, dim=576, heads=9, kv_heads=3, mlp_dim=1536, rotary_base=100000.0),
    'smollm2-360m': dict(SMOL, layers=32, dim=960, heads=15, kv_heads=5, mlp_dim=2560, rotary_base=100000.0),
    'smollm2-1.7b': dict(SMOL, layers=24, dim=2048, heads=32, mlp_dim=8192, rotary_base=130000.0),
}

BLOCK, THEIRS = 'backbone/decoder/blocks', 'layers.{layer}'
FAMILY = families.Family(
    model_type='llama', classes='Llama', prefix='model.',
    fixed=dict(architecture='decoder', positions='rotary', norm='rmsnorm', bias=False, gated=True, initializer='normal'),
    settings=dict(
        vocab_size='vocab_size', max_length='max_position_embeddings', layers='num_hidden_layers', dim='hidden_size',
        heads='num_attention_heads', kv_heads='num_key_value_heads', head_dim='head_dim', mlp_dim='intermediate_size',
        activation=('hidden_act', families.ACTIVATIONS), norm_epsilon='rms_norm_eps', rotary_base='rope_theta',
        rotary_scaling=('rope_scaling', 'llama3'), attention_bias='attention_bias', mlp_bias='mlp_bias',
        attention_dropout='attention_dropout', tied='tie_word_embeddings'),
    defaults=dict(num_key_value_heads=None, head_dim=None, hidden_act='silu', rms_norm_eps=1e-6, rope_theta=10000.0, rope_scaling=None,
                  attention_bias=False, mlp_bias=False, attention_dropout=0.0, tie_word_embeddings=False),
    ignored=('pretraining_tp', 'is_llama_config', 'rope_interleaved', 'max_sequence_length', 'unsloth_fixed', 'unsloth_version'),
    names=(
        ('backbone/embed', 'embed_tokens'),
        *families.rows(BLOCK, THEIRS, attention_norm='input_layernorm', mlp_norm='post_attention_layernorm'),
        *families.rows(f'{BLOCK}/attention', f'{THEIRS}.self_attn', query='q_proj', key='k_proj', value='v_proj', out='o_proj'),
        *families.rows(f'{BLOCK}/mlp', f'{THEIRS}.mlp', gate='gate_proj', up='up_proj', down='down_proj'),
        ('backbone/decoder/norm', 'norm'),
    ),
    heads={
        **families.DECODER,
        'ForTokenClassification': families.Head('token_classes', (('head/labels', 'score'),)),
        'ForQuestionAnswering': families.Head('spans', (('head/labels', 'qa_outputs'),), prefix='transformer.'),
    },
    duplicates={'lm_head.weight': '{prefix}embed_tokens.weight'},
    buffers={r'rotary_emb\.inv_freq$': None})
