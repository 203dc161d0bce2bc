"""Model families as pure data: the published sizes, and the format of a family at Hugging Face.

SIZES   {size: settings of model/config.py}, so that a config can have `config.model = dict(bert.SIZES['base'])`
FAMILY  a `Family`, in the modules of families that exist in `transformers`
"""
import dataclasses
import functools
from typing import NamedTuple, Optional


class Head(NamedTuple):
    """The head of a class of `transformers`."""
    kind: str                                 # a key of model/task_model.py:KINDS
    rows: tuple = ()                          # the tensors of its parameters, as `Family.names`
    settings: dict = {}                       # of task_model.Head
    prefix: Optional[str] = None              # of the backbone's tensors in this class; None = Family.prefix


BARE = Head('hidden')                         # of a backbone without a head
table = functools.partial(dataclasses.field, default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False)
class Family:
    """What model/huggingface/ reads, in both directions. Keys are those of config.json, settings those of model/config.py.

    A row of `names` is (our path, name of the tensor without the prefix, layout, condition); the last two are optional. The path is a
    module or one parameter. `{layer}` stands for the number of a stacked layer, `{role}` for encoder and decoder. The layout is a key
    of model/huggingface/layouts.py:LAYOUTS, for a tensor that is not as in torch.nn.Linear; several paths may then share one tensor.
    The condition is a path: the row is only for models with that parameter. Rows of heads write `{prefix}` where a name has it; they
    come before those of the backbone, and the first row of a path counts.
    """
    model_type: str                           # `model_type` of config.json
    classes: str                              # the beginning of the names of its classes: 'Bert'
    prefix: str                               # of the backbone's tensors, missing in files of a bare backbone
    settings: dict                            # {setting: key}, or (key, {value of the key: value of the setting}), or (key, n) where
                                              # setting = key + n, or (key, a row of model/huggingface/conversions.py:CONVERSIONS)
    names: tuple                              # the tensors of the backbone's parameters
    heads: dict                               # {the rest of a class's name: Head}; an export has the first class of a kind
    fixed: dict = table()                     # {setting: its value in every model}; settings in neither table have their default
    defaults: dict = table()                  # {key: the default of `transformers`}
    expected: dict = table()                  # {key: the only supported value}
    ignored: tuple = ()                       # keys that change no number of the network, beside model/huggingface/keys.py:HARMLESS
    training: dict = table()                  # {key of a dropout: setting with the dropout here, None = none here}; told if they differ
    aliases: dict = table()                   # {another name of a key: the name in this table}
    same: dict = table()                      # {key: another key that must have the same value, or (that key, {its value: this one's})}
    apart: dict = table()                     # {setting: another setting that must differ from it}
    duplicates: dict = table()                # {name of a tensor that is tied to another: the other's name}, with `{prefix}`
    output: Optional[str] = None              # the output matrix: tied if the files lack it, whatever config.json says
    buffers: dict = table()                   # {regex of tensors that are no parameters: None, or the only number that they may hold}
    objective: Optional[dict] = None          # settings of the pretraining objective; None = that of the architecture
    pairs: Optional[str] = None               # `inputs` of masked_lm for which the head for pairs was trained

    @property
    def bare(self) -> str:
        """The class of the backbone without a head."""
        return f'{self.classes}Model'

    def head(self, kind: str) -> Optional[Head]:
        """The head of a kind, None if no class has one. Any backbone may be without its head, as BERT's without a pooler."""
        return next((head for head in self.heads.values() if head.kind == kind), BARE if kind == BARE.kind else None)


def rows(ours: str, theirs: str, layout: Optional[str] = None, **names: str) -> tuple:
    """Rows of `Family.names` for children of one module: {name here: name at Hugging Face}, below the paths `ours` and `theirs`."""
    return tuple((f'{ours}/{name}', f'{theirs}.{other}', layout) for name, other in names.items())


ACTIVATIONS = {'gelu': 'gelu', 'gelu_new': 'gelu_tanh', 'gelu_pytorch_tanh': 'gelu_tanh', 'gelu_fast': 'gelu_tanh', 'relu': 'relu',
               'silu': 'silu', 'swish': 'silu'}
DECODER = {
    'ForCausalLM': Head('language', (('backbone/head/kernel', 'lm_head.weight'),)),
    'Model': BARE,
    'ForSequenceClassification': Head('classes', (('head/labels', 'score'),), dict(read='last', bias=False)),
}
TOKEN_CLASSES = {'ForTokenClassification': Head('token_classes', (('head/labels', 'classifier'),))}
SPANS = {'ForQuestionAnswering': Head('spans', (('head/labels', 'qa_outputs'),))}
POSITION_IDS = {r'embeddings\.position_ids$': None}
