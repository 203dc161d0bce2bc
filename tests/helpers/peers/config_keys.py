"""The keys of config.json that PyTorch transformers knows of each family, with their defaults. Runs in the peers' environment.

    python tests/helpers/peers/config_keys.py OUT.json

fields: of the configuration class, and their defaults, where an absent key is read so; derived: further keys that it writes, as
it writes them; aliases: other names of fields.
"""
import dataclasses
import json
import sys

import transformers

FAMILIES = ('albert', 'bart', 'bert', 'bloom', 'electra', 'gpt2', 'llama', 'qwen2', 'roberta', 't5', 'xlnet')


def keys(name):
    kind = transformers.CONFIG_MAPPING[name]
    fields = {field.name: field.default for field in dataclasses.fields(kind)}
    derived = {key: value for key, value in kind().to_dict().items() if key not in fields}
    return {'fields': fields, 'derived': derived, 'aliases': kind.attribute_map}


if __name__ == '__main__':
    with open(sys.argv[1], 'w') as file:
        json.dump({'transformers': transformers.__version__, 'families': {name: keys(name) for name in FAMILIES}}, file, indent=1)
        file.write('\n')
