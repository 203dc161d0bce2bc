"""The smallest of everything: 2 layers, 64 wide, 8 heads, 64 tokens, bytes of the bundled novels. The tests' config.

    python -m train.main --config=configs/tiny.py --workdir=runs/tiny

Variants: causal_lm (the plain one), masked_lm (an encoder like BERT), replaced_token_detection (like ELECTRA), span_corruption (an
encoder-decoder like T5), prefix_lm, fill_in_the_middle, mixture (three objectives in each batch), alternation (masked and causal LM in
turn, over one decoder), deshuffle, ul2 and denoising (encoder-decoders like T5, UL2, BART), span_corruption_decoder and ul2_decoder (the
same corruption in one row, as a prefix LM), permuted_lm (an encoder like XLNet, with memory). Cost: seconds on two CPU cores. It learns
little more than which letters are frequent.
"""
import ml_collections

VARIANTS = ('', 'tiny', 'causal_lm', 'masked_lm', 'replaced_token_detection', 'span_corruption', 'prefix_lm', 'fill_in_the_middle',
            'mixture', 'alternation', 'span_corruption_decoder', 'ul2_decoder', 'deshuffle', 'ul2', 'denoising', 'permuted_lm')
BERT = dict(architecture='encoder', norm_position='post', norm_epsilon=1e-12, head='transform', dropout=0.1, attention_dropout=0.1,
            initializer='bert')
T5 = dict(architecture='encoder_decoder', positions='relative', norm='rmsnorm', norm_epsilon=1e-6, bias=False, activation='relu',
          attention_scale=1.0, logit_scale=64**-0.5,  # tied as in T5: the state is scaled by 1 / sqrt(D) before the projection
          dropout=0.1, mlp_dropout=0.1, output_dropout=0.1, attention_dropout=0.1, initializer='t5')
XLNET = dict(architecture='encoder', positions='xl', relative_segments=True, norm_position='post', embed_norm=False, attention_bias=False,
             norm_epsilon=1e-12, activation='gelu_tanh', head='biased', dropout=0.1, attention_dropout=0.1, initializer='normal')
MEMBERS = {
    'mixture': dict(masked=dict(name='masked_lm', weight=1.0, rate=0.3), prefix=dict(name='prefix_lm'),
                    text=dict(name='causal_lm', weight=2.0)),
    'alternation': dict(masked=dict(name='masked_lm'), text=dict(name='causal_lm'))}
MODELS = {                                    # by variant; the others are decoders with the defaults
    'masked_lm': BERT, 'replaced_token_detection': dict(BERT, embed_dim=32, types=2), 'span_corruption': T5, 'deshuffle': T5, 'ul2': T5,
    'denoising': dict(architecture='encoder_decoder', norm_position='post', dropout=0.1, attention_dropout=0.1, initializer='bert'),
    'permuted_lm': XLNET}


def get_config(variant=''):
    config = ml_collections.ConfigDict(dict(steps=20, batch_size=8, sequence_length=64, log_every=5, eval_batches=8))

    config.data = dict(train='bundled:novels')
    config.tokenizer = dict(kind='bytes')
    config.optimizer = dict(name='adamw', learning_rate=1e-3, schedule='cosine', warmup=2, weight_decay=0.01)
    config.sample = dict(max_new_tokens=32)

    config.objective = dict(name='causal_lm' if variant in ('', 'tiny') else variant.removesuffix('_decoder'))
    config.model = dict(dict(layers=2, dim=64, heads=8), **MODELS.get(variant, {}))
    if variant in MEMBERS:
        config.objective.members = MEMBERS[variant]
    if variant == 'permuted_lm':
        config.objective.memory_length = 48
    if config.model.get('architecture', 'decoder') != 'decoder':
        del config.sample                     # only decoders continue prompts
    return config
