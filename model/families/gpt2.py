"""GPT-2 (Radford et al. 2019). The paper's 117M, 345M, 762M and 1542M were miscounted, as the authors said later."""
from model import families

COMMON = dict(architecture='decoder', vocab_size=50257, max_length=1024, activation='gelu_tanh', initializer='gpt2')

SIZES = {
    'small': dict(COMMON, layers=12, dim=768, heads=12),
    'medium': dict(COMMON, layers=24, dim=1024, heads=16),
    'large': dict(COMMON, layers=36, dim=1280, heads=20),
    'xl': dict(COMMON, layers=48, dim=1600, heads=25),
}

BLOCK, THEIRS = 'backbone/decoder/blocks', 'h.{layer}'
QUERY_KEY_VALUE = tuple(f'{BLOCK}/attention/{name}' for name in ('query', 'key', 'value'))
FAMILY = families.Family(
    model_type='gpt2', classes='GPT2', prefix='transformer.', fixed=dict(architecture='decoder', initializer='gpt2'),
    settings=dict(
        vocab_size='vocab_size', max_length='n_positions', layers='n_layer', dim='n_embd', heads='n_head', mlp_dim='n_inner',
        activation=('activation_function', families.ACTIVATIONS), norm_epsilon='layer_norm_epsilon', dropout='resid_pdrop',
        embed_dropout='embd_pdrop', attention_dropout='attn_pdrop', tied='tie_word_embeddings'),
    defaults=dict(n_inner=None, activation_function='gelu_new', layer_norm_epsilon=1e-5, resid_pdrop=0.1, embd_pdrop=0.1,
                  attn_pdrop=0.1, tie_word_embeddings=True),
    expected=dict(scale_attn_weights=True, scale_attn_by_inverse_layer_idx=False, add_cross_attention=False),
    aliases=dict(hidden_size='n_embd', max_position_embeddings='n_positions', num_attention_heads='n_head', num_hidden_layers='n_layer'),
    ignored=('n_ctx', 'predict_special_tokens', 'reorder_and_upcast_attn', 'summary_type', 'summary_use_proj', 'summary_activation',
             'summary_proj_to_labels', 'summary_first_dropout'),
    names=(
        ('backbone/embed', 'wte'),
        ('backbone/decoder/positions', 'wpe'),
        *families.rows(BLOCK, THEIRS, attention_norm='ln_1', mlp_norm='ln_2'),
        (QUERY_KEY_VALUE, f'{THEIRS}.attn.c_attn', 'conv'),
        *families.rows(BLOCK, THEIRS, 'conv', **{'attention/out': 'attn.c_proj', 'mlp/up': 'mlp.c_fc', 'mlp/down': 'mlp.c_proj'}),
        ('backbone/decoder/norm', 'ln_f'),
    ),
    heads={**{name.replace('ForCausalLM', 'LMHeadModel'): head for name, head in families.DECODER.items()},
           **families.TOKEN_CLASSES, **families.SPANS},
    duplicates={'lm_head.weight': '{prefix}wte.weight'},
    buffers={r'h\.\d+\.attn\.(bias|masked_bias)$': None})
