"""Model families: the shapes of the published sizes and their names at Hugging Face, as pure data.

SIZES       {size: settings of model/config.py}, so that a config says `config.model = dict(bert.SIZES['base'])`
PARAMETERS  {size: number of parameters}, counted from the released model or, where none was, from the paper. Papers round,
            some generously; where the paper's number differs, the file says so.

A family that exists in `transformers` also has the tables that model/huggingface/ reads in both directions:

MODEL_TYPE  `model_type` of config.json
FIXED       {setting: its value in every model of the family}; a setting that is neither here nor in SETTINGS has its default
APART       {setting: another setting that must differ from it}, optional
SAME        {key: another key that must have the same value}, optional
SETTINGS    {setting: its place in config.json}: 'key' | ('key', {theirs: ours}) | ('key', n), ours = theirs + n
            | ('key', 'name'), a row of model/huggingface/conversions.py:CONVERSIONS
DEFAULTS    {key: the default of `transformers`}
ALIASES     {older name of a key of config.json: its present name}
EXPECTED    {key: the only value that is supported}
NAMES       rows (our path, their name) of the backbone. A row names a module, or a parameter by its whole path. `{layer}` is the
            number of a stacked layer, `{role}` is encoder and decoder. A third entry is the layout, from
            model/huggingface/layouts.py, if it is not that of torch.nn.Linear; several paths may then share one tensor. A fourth
            is a path: the row is for models that have this parameter. The first row for a path counts, those of HEADS before
            these.
PREFIX      prefix of their names, missing in files of a backbone without a head
HEADS       {kind of head (model/task_model.py): its rows}
BARE        their class without a head; its tensors lack the PREFIX
ARCHITECTURES  {their class: (kind of head, its settings)}; an export names the first one of a kind
DUPLICATES  {their name of a tensor that is tied to another: the other's name}
BUFFERS     {regex of tensors that are no parameters: None, or the only number that they may hold}
"""

ACTIVATIONS = {'gelu': 'gelu', 'gelu_new': 'gelu_tanh', 'gelu_pytorch_tanh': 'gelu_tanh', 'gelu_fast': 'gelu_tanh', 'relu': 'relu',
               'silu': 'silu', 'swish': 'silu'}
