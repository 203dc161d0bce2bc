"""Model families: the shapes of the published sizes and their names at Hugging Face, as pure data.

SIZES       {size: settings of model/config.py}, so that a config says `config.model = dict(bert.SIZES['base'])`
PARAMETERS  {size: how many numbers train}, counted from the released model or, where none was, from the paper. Papers round,
            some generously; where theirs is another number, the file says so.

A family that `transformers` knows has, besides, what model/huggingface/ reads in both directions:

MODEL_TYPE  `model_type` of config.json
FIXED       {setting: what it is in every model of the family}; a setting that is neither here nor in SETTINGS has its default
APART       {setting: another setting that must have another number}, where there is such a one
SAME        {key: another key that must say the same}, where there is such a key
SETTINGS    {setting: where config.json has it}: 'key' | ('key', {theirs: ours}) | ('key', n), ours = theirs + n
            | ('key', 'name'), a function of model/huggingface/settings.py
DEFAULTS    {key: what `transformers` takes when config.json does not say}
ALIASES     {older name of a key of config.json: its name}
EXPECTED    {key: the one value that is understood}, refused with another
NAMES       rows (our path, their name) of the backbone. A row names a module, or a parameter by its whole path. `{layer}` counts the
            layers that we stack, `{role}` is encoder and decoder. A third entry is the layout of the numbers, from
            model/huggingface/layouts.py, where it is not that of torch.nn.Linear; several paths share one tensor then. A fourth
            is a path: the row is for models that have it. The first row for a path counts,
            and those of HEADS come before these.
PREFIX      what begins their names and is missing in files of a bare backbone
HEADS       {kind of head (model/task_model.py): its rows}
BARE        their class that has no head; its tensors lack the PREFIX
ARCHITECTURES  {their class: (kind of head, its settings)}; the first one of a kind is what an export says it is
DUPLICATES  {their name of a tensor that is tied to another: the other's name}
BUFFERS     {regex of tensors that are no parameters: None, or the only number that they may hold}
"""

ACTIVATIONS = {'gelu': 'gelu', 'gelu_new': 'gelu_tanh', 'gelu_pytorch_tanh': 'gelu_tanh', 'gelu_fast': 'gelu_tanh', 'relu': 'relu',
               'silu': 'silu', 'swish': 'silu'}
