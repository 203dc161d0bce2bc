"""Model families as pure data: the published sizes, and how a family is written at Hugging Face.

SIZES   {size: settings of model/config.py}, so that a config can have `config.model = dict(bert.SIZES['base'])`
FAMILY  a `Family`, in the modules of families that exist in `transformers`
"""
import dataclasses
import functools
from typing import NamedTuple, Optional


class Head(NamedTuple):
    """The head of a class of `transformers`."""
    kind: str                                 # a key of model/task_model.py:KINDS
    rows: tuple = ()                          # names of its parameters, as Family.names, before which they are tried
    settings: dict = {}                       # of task_model.Head
    prefix: Optional[str] = None              # of the backbone's names in this class; None = Family.prefix


table = functools.partial(dataclasses.field, default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False)
class Family:
    """What model/huggingface/ reads, in both directions. Keys are those of config.json, settings those of model/config.py."""
    model_type: str                           # `model_type` of config.json
    classes: str                              # what the names of its classes begin with: 'Bert'. The backbone's is 'BertModel'
    prefix: str                               # of the backbone's names, missing in files of a bare backbone
    settings: dict                            # {setting: key}; or (key, {value there: value here}); or (key, n), here = there + n;
                                              # or (key, a row of model/huggingface/conversions.py:CONVERSIONS)
    names: tuple                              # rows (our path, the name there without the prefix, layout, condition) of the backbone.
                                              # A row names a module or, by its whole path, a parameter. `{layer}` is the number of a
                                              # stacked layer, `{role}` encoder and decoder. Optional: a layout other than that of
                                              # torch.nn.Linear (model/huggingface/layouts.py; several paths may share one tensor);
                                              # a path, if the row is only for models with that parameter. The first row of a path counts
    heads: dict                               # {the rest of a class's name: Head}; the first of a kind is the one that is exported.
                                              # Rows of heads write `{prefix}` where a name has it
    fixed: dict = table()                     # {setting: its value in every model}; others than these and `settings` have their default
    defaults: dict = table()                  # {key: the default of `transformers`}
    expected: dict = table()                  # {key: the only supported value}
    aliases: dict = table()                   # {older name of a key: its present name}
    same: dict = table()                      # {key: another key that must have the same value}
    apart: dict = table()                     # {setting: another setting that must differ from it}
    duplicates: dict = table()                # {name of a tensor that is tied to another: the other's name}, with `{prefix}`
    buffers: dict = table()                   # {regex of tensors that are no parameters: None, or the only number that they may hold}
    objective: Optional[dict] = None          # settings of the pretraining objective; None = that of the architecture
    pairs: Optional[str] = None               # what its head for pairs judges, an `inputs` of masked_lm

    @property
    def bare(self) -> str:
        """The class of the backbone without a head."""
        return f'{self.classes}Model'

    def head(self, kind: str) -> Optional[Head]:
        """The head of a kind, None if no class has one."""
        return next((head for head in self.heads.values() if head.kind == kind), None)


def rows(ours: str, theirs: str, layout: Optional[str] = None, **names: str) -> tuple:
    """Rows of `Family.names` for several children of one module: {our name: the name there}."""
    return tuple((f'{ours}/{name}', f'{theirs}.{other}', layout) for name, other in names.items())


ACTIVATIONS = {'gelu': 'gelu', 'gelu_new': 'gelu_tanh', 'gelu_pytorch_tanh': 'gelu_tanh', 'gelu_fast': 'gelu_tanh', 'relu': 'relu',
               'silu': 'silu', 'swish': 'silu'}
DECODER = {
    'ForCausalLM': Head('language', (('backbone/head/kernel', 'lm_head.weight'),)),
    'Model': Head('language'),
    'ForSequenceClassification': Head('classes', (('head/labels', 'score'),), dict(read='last', bias=False)),
}
TOKEN_CLASSES = {'ForTokenClassification': Head('token_classes', (('head/labels', 'classifier'),))}
SPANS = {'ForQuestionAnswering': Head('spans', (('head/labels', 'qa_outputs'),))}
POSITION_IDS = {r'embeddings\.position_ids$': None}
