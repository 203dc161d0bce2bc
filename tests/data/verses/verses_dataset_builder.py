"""Ten and three verses in two languages, with a number each."""
import numpy as np
import tensorflow_datasets as tfds


class Builder(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version('1.0.0')
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name='en'), tfds.core.BuilderConfig(name='es')]

    def _info(self):
        features = tfds.features.FeaturesDict({'text': tfds.features.Text(), 'number': np.int64})
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {'train': self._generate_examples(10), 'test': self._generate_examples(3)}

    def _generate_examples(self, count):
        for i in range(count):
            yield i, {'text': f'verse {i}, {self.builder_config.name}: 三 é', 'number': i}
