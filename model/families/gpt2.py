"""GPT-2 (Radford et al. 2019). The paper's 117M, 345M, 762M and 1542M were miscounted, as the authors said later."""
from model import families

COMMON = dict(architecture='decoder', vocab_size=50257, max_length=1024, activation='gelu_tanh', initializer='gpt2')

SIZES = {
    'small': dict(COMMON, layers=12, dim=768, heads=12),
    'medium': dict(COMMON, layers=24, dim=1024, heads=16),
    'large': dict(COMMON, layers=36, dim=1280, heads=20),
    'xl': dict(COMMON, layers=48, dim=1600, heads=25),
}
PARAMETERS = {'small': 124_439_808, 'medium': 354_823_168, 'large': 774_030_080, 'xl': 1_557_611_200}

MODEL_TYPE = 'gpt2'
PREFIX = 'transformer.'
FIXED = dict(architecture='decoder')
SETTINGS = dict(vocab_size='vocab_size', max_length='n_positions', layers='n_layer', dim='n_embd', heads='n_head', mlp_dim='n_inner',
                activation=('activation_function', families.ACTIVATIONS), norm_epsilon='layer_norm_epsilon', dropout='resid_pdrop',
                attention_dropout='attn_pdrop', tied='tie_word_embeddings')
DEFAULTS = dict(n_inner=None, activation_function='gelu_new', layer_norm_epsilon=1e-5, resid_pdrop=0.1, attn_pdrop=0.1,
                tie_word_embeddings=True)
EXPECTED = dict(scale_attn_weights=True, scale_attn_by_inverse_layer_idx=False, add_cross_attention=False)
BLOCK, THEIRS = 'backbone/decoder/blocks', 'transformer.h.{layer}'
NAMES = (
    ('backbone/embed', 'transformer.wte'),
    ('backbone/decoder/positions', 'transformer.wpe'),
    (f'{BLOCK}/attention_norm', f'{THEIRS}.ln_1'),
    ((f'{BLOCK}/attention/query', f'{BLOCK}/attention/key', f'{BLOCK}/attention/value'), f'{THEIRS}.attn.c_attn', 'conv'),
    (f'{BLOCK}/attention/out', f'{THEIRS}.attn.c_proj', 'conv'),
    (f'{BLOCK}/mlp_norm', f'{THEIRS}.ln_2'),
    (f'{BLOCK}/mlp/up', f'{THEIRS}.mlp.c_fc', 'conv'),
    (f'{BLOCK}/mlp/down', f'{THEIRS}.mlp.c_proj', 'conv'),
    ('backbone/decoder/norm', 'transformer.ln_f'),
)
HEADS = {
    'language': (('backbone/head/kernel', 'lm_head.weight'),),
    'classes': (('head/labels', 'score'),),
    'token_classes': (('head/labels', 'classifier'),),
    'spans': (('head/labels', 'qa_outputs'),),
}
BARE = 'GPT2Model'
ARCHITECTURES = {
    'GPT2LMHeadModel': ('language', {}),
    'GPT2Model': ('language', {}),
    'GPT2ForSequenceClassification': ('classes', dict(read='last', bias=False)),
    'GPT2ForTokenClassification': ('token_classes', {}),
    'GPT2ForQuestionAnswering': ('spans', {}),
}
DUPLICATES = {'lm_head.weight': 'transformer.wte.weight'}
BUFFERS = {r'h\.\d+\.attn\.(bias|masked_bias)$': None}
