"""The smallest of everything: 2 layers, 64 wide, 8 heads, 64 tokens, bytes of the bundled novels. The tests' config.

    python -m train.main --config=configs/tiny.py --workdir=runs/tiny

Variants: causal_lm (the plain one), masked_lm (an encoder like BERT), replaced_token_detection (like ELECTRA), span_corruption (an
encoder-decoder like T5), prefix_lm, fill_in_the_middle, mixture (three objectives in each batch), alternation (masked and causal LM,
a step each, over one decoder), deshuffle, ul2 and denoising (encoder-decoders like T5, UL2, BART), span_corruption_decoder and
ul2_decoder (the same corruption in one row, as a prefix LM), permuted_lm (an encoder like XLNet, with memory).
Cost: seconds on two CPU cores. It learns little more than which letters are frequent.
"""
import ml_collections

VARIANTS = ('', 'tiny', 'causal_lm', 'masked_lm', 'replaced_token_detection', 'span_corruption', 'prefix_lm', 'fill_in_the_middle',
            'mixture', 'alternation', 'span_corruption_decoder', 'ul2_decoder', 'deshuffle', 'ul2', 'denoising', 'permuted_lm')


def get_config(variant=''):
    config = ml_collections.ConfigDict()
    config.steps = 20
    config.batch_size = 8
    config.sequence_length = 64
    config.log_every = 5
    config.eval_batches = 8

    config.data = dict(train='bundled:novels')
    config.tokenizer = dict(kind='bytes')
    config.optimizer = dict(name='adamw', learning_rate=1e-3, schedule='cosine', warmup=2, weight_decay=0.01)
    config.sample = dict(max_new_tokens=32)

    config.objective = dict(name='causal_lm')
    config.model = dict(layers=2, dim=64, heads=8)

    if variant == 'masked_lm':
        config.objective = dict(name='masked_lm')
        config.model.update(architecture='encoder', norm_position='post', norm_epsilon=1e-12, head='transform',
                            dropout=0.1, attention_dropout=0.1, initializer='bert')
    if variant == 'replaced_token_detection':
        config.objective = dict(name='replaced_token_detection')
        config.model.update(architecture='encoder', embed_dim=32, types=2, norm_position='post', norm_epsilon=1e-12, head='transform',
                            dropout=0.1, attention_dropout=0.1, initializer='bert')
    if variant in ('span_corruption', 'deshuffle', 'ul2'):  # tied as in T5: the state is scaled by 1 / sqrt(D) before the projection
        config.objective = dict(name=variant)
        config.model.update(architecture='encoder_decoder', positions='relative', norm='rmsnorm', norm_epsilon=1e-6,
                            bias=False, activation='relu', attention_scale=1.0, logit_scale=64**-0.5, dropout=0.1,
                            mlp_dropout=0.1, output_dropout=0.1, attention_dropout=0.1, initializer='t5')
    if variant == 'denoising':
        config.objective = dict(name='denoising')
        config.model.update(architecture='encoder_decoder', norm_position='post', dropout=0.1, attention_dropout=0.1, initializer='bert')
    if variant == 'permuted_lm':
        config.objective = dict(name='permuted_lm', memory_length=48)
        config.model.update(architecture='encoder', positions='xl', relative_segments=True, norm_position='post', embed_norm=False,
                            attention_bias=False, norm_epsilon=1e-12, activation='gelu_tanh', head='biased', dropout=0.1,
                            attention_dropout=0.1, initializer='normal')
    if variant in ('span_corruption_decoder', 'ul2_decoder'):
        config.objective = dict(name=variant.removesuffix('_decoder'))
    if variant in ('prefix_lm', 'fill_in_the_middle'):
        config.objective = dict(name=variant)
    if variant == 'mixture':
        config.objective = dict(name='mixture', members=dict(
            masked=dict(name='masked_lm', weight=1.0, rate=0.3), prefix=dict(name='prefix_lm'), text=dict(name='causal_lm', weight=2.0)))
    if variant == 'alternation':
        config.objective = dict(name='alternation', members=dict(masked=dict(name='masked_lm'), text=dict(name='causal_lm')))
    return config
