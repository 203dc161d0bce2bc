"""Confirms what the papers and the original code promise of each objective, from the output of train.inspect alone.

    python -m train.inspect --config=configs/pretrain_t5.py:tiny --num_examples=200 --json | python tests/inspect_properties.py

Settings are the published ones unless given: `noise_density=0.15 mean_span_length=3`. The laws are in tests/helpers/properties/. Imports
numpy and nothing of this project, and follows the specification of each original, not our code: what can be counted is exact,
shares and means hold within 4 standard errors, and where no formula is at hand the published algorithm, written again for one
row, token by token, draws what they are compared with. Exit code 1 and a line for the first property that does not hold.
"""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from tests.helpers.properties import batch, mixtures  # noqa: E402
from tests.helpers.properties.given import Broken, Example, expect  # noqa: E402

OBJECTIVES = mixtures.MEMBERS | {'mixture': mixtures.mixture, 'alternation': mixtures.mixture}


def confirm(objects, **settings):
    """Raises Broken for the first property that does not hold. objects: what --json printed, parsed."""
    expect(len(objects) > 0, 'examples were printed')
    examples = [(one, Example(one)) for one in objects]
    for one, x in examples:
        batch.contract(one, x)
    (name,) = {one['objective'] for one in objects}
    expect(name in OBJECTIVES, f'properties of {name} are known here')
    OBJECTIVES[name](examples, **settings)
    return name


def main(arguments):
    settings = {}
    for argument in arguments:
        name, _, text = argument.partition('=')
        try:
            settings[name] = json.loads(text)
        except ValueError:
            settings[name] = text
    objects = [json.loads(line) for line in sys.stdin]
    try:
        print(f'{confirm(objects, **settings)}: {len(objects)} examples, every property holds')
    except Broken as error:
        print(f'broken: {error}', file=sys.stderr)
        return 1


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
