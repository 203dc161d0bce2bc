"""Pretext: pretraining, adapting and sampling Transformer language models in JAX, where the objective is the experiment."""
import setuptools

setuptools.setup(
    name='pretext',
    version='0.1.0',
    description='Every pretraining objective, exactly as published, through one JAX model, loop and data pipeline',
    long_description=open('README.md', encoding='utf-8').read(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.11',
    packages=setuptools.find_packages(include=['configs', 'configs.*', 'data', 'data.*', 'model', 'model.*', 'train', 'train.*']),
    package_data={'data.corpora': ['*.xz', '*.md'], 'train.conversion': ['*.md'], 'train.inspection': ['*.html', '*.js'],
                  'train.monitoring': ['*.html']},
    install_requires=[
        'etils[epath]',
        'flax>=0.12',
        'importlib_resources',  # tensorflow-datasets 4.9.10 imports it without declaring it
        'jax>=0.10',
        'jinja2',
        'ml-collections>=1.0',
        'numpy',
        'optax>=0.2.8',
        'orbax-checkpoint>=0.11',
        'protobuf',
        'regex',
        'rich',
        'safetensors',
        'sentencepiece>=0.2.3',
        'tensorflow-datasets>=4.9.10',
        'tensorstore',
        'tokenizers',
        'zstandard',
    ],
    extras_require={
        'cuda': ['jax[cuda13]'],
        'eval': ['lm-eval', 'rouge-score', 'sacrebleu'],
        'gcs': ['gcsfs'],
        'parquet': ['pyarrow'],
        'tensorboard': ['tensorboardX'],
        'test': ['hypothesis', 'pyarrow', 'pytest', 'pytest-xdist', 'ruff', 'setuptools', 'tensorboardX', 'wheel'],
        'tpu': ['jax[tpu]'],
    },
)
