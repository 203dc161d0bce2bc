"""What PyTorch says of real weights and real text, tokenizer included. Runs in the peers' environment.

    python tests/helpers/peers/real.py package NAME                  prints the folder of a package, or nothing
    python tests/helpers/peers/real.py sentences FOLDER TEXTS OUT    {ids, mask [B, T], vectors [B, D]: means of real tokens, of length 1}
    python tests/helpers/peers/real.py language FOLDER TEXTS OUT     of TEXTS = [prompt, text]: {ids [1, T], nats [1, T - 1] of the text,
                                                             prompt, continuation: eight tokens, greedy}

TEXTS is a JSON list, OUT an .npz. Lengths are cut to 2,000 tokens.
"""
import importlib.util
import json
import pathlib
import sys

import numpy as np
import torch
import transformers

LENGTH = 2000


def package(name):
    found = importlib.util.find_spec(name)
    print(pathlib.Path(found.origin).parent if found else '')


def sentences(folder, texts):
    read = transformers.AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors='pt')
    model, mask = transformers.AutoModel.from_pretrained(folder).eval(), read['attention_mask'][..., None]
    hidden = model(**read).last_hidden_state
    vectors = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1))
    return {'ids': read['input_ids'], 'mask': mask[..., 0], 'vectors': vectors}


def language(folder, texts):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    prompt, ids = (tokenizer(text, return_tensors='pt')['input_ids'][:, :LENGTH] for text in texts)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    new = model.generate(prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=8)[:, prompt.shape[1]:]
    nats = torch.nn.functional.cross_entropy(model(input_ids=ids).logits[0, :-1], ids[0, 1:], reduction='none')[None]
    return {'ids': ids, 'nats': nats, 'prompt': prompt, 'continuation': new}


def main(what, *arguments):
    if what == 'package':
        return package(*arguments)
    folder, texts, out = arguments
    with torch.no_grad():
        found = {'sentences': sentences, 'language': language}[what](folder, json.loads(pathlib.Path(texts).read_text()))
    np.savez(out, **{name: value.numpy() for name, value in found.items()})


if __name__ == '__main__':
    transformers.utils.logging.disable_progress_bar()
    main(*sys.argv[1:])
