"""Bits per byte and perplexity of a checkpoint folder on a text file, in f32 without TF32.

    python3 scripts/train/evaluate.py --model DIR --text FILE [FILE …] [--window 1024]

The rule. The file is split at `<|endoftext|>`; white space at both ends of each document is
stripped and empty documents are dropped. A document's tokens t_0 … t_{n-1} are scored once,
in order, every one of them, and nothing else (not the `<|endoftext|>` that closes it).

Without --window the model is fed `<|endoftext|>`, t_0 … t_{n-2} from a zero state that is
carried through the whole document. With --window W the document is cut into windows of W
scored tokens, the last one shorter: the window that scores t_{kW} … is fed the token before
them, t_{kW-1} (for k = 0 `<|endoftext|>`), and then the window's tokens but the last, from
a zero state.

    bits per byte = Σ −log2 p(t_i) / the UTF-8 bytes of the stripped documents
    perplexity    = exp(Σ −ln p(t_i) / the tokens)
"""

import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from checkpoint import read_model
from corpus import END_OF_TEXT_ID, encode_documents, read_documents
from model import LanguageModel
from selective_scan import CHUNK

ROWS = 16  # windows at a time
CARRIED_TOKENS = 8192  # tokens at a time when the state is carried


def _score(model: LanguageModel, inputs: np.ndarray, targets: np.ndarray, state=None):
    """Σ −ln p over targets ≥ 0; inputs and targets (rows, L). Returns it and the state after L."""
    device = model.backbone.norm_f.weight.device
    # The scan needs whole chunks. What is added comes after every scored token.
    pad = ((0, 0), (0, -inputs.shape[1] % CHUNK))
    inputs, targets = np.pad(inputs, pad), np.pad(targets, pad, constant_values=-1)
    h, state = model(torch.from_numpy(inputs).to(device), state, torch.float32)
    logits = h @ model.backbone.embeddings.weight.t()
    nats = F.cross_entropy(logits, torch.from_numpy(targets).to(device).flatten(), ignore_index=-1, reduction="none")
    return nats.double().sum().item(), state


@torch.no_grad()
def evaluate(model: LanguageModel, tokenizer: Path, text: Path, window: int | None) -> dict:
    documents = read_documents(text)
    encoded = [tokens.astype(np.int64) for tokens in encode_documents(documents, tokenizer)]
    nats = 0.0
    if window is None:
        for tokens in encoded:
            inputs, state = np.append(END_OF_TEXT_ID, tokens[:-1]), None
            for i in range(0, len(tokens), CARRIED_TOKENS):
                piece = slice(i, i + CARRIED_TOKENS)
                more, state = _score(model, inputs[None, piece], tokens[None, piece], state)
                nats += more
    else:
        cut = []
        for tokens in encoded:
            fed = np.append(END_OF_TEXT_ID, tokens)
            for i in range(0, len(tokens), window):
                n = min(window, len(tokens) - i)
                cut.append((np.pad(fed[i : i + n], (0, window - n)), np.pad(tokens[i : i + n], (0, window - n), constant_values=-1)))
        for i in range(0, len(cut), ROWS):
            inputs, targets = zip(*cut[i : i + ROWS])
            nats += _score(model, np.stack(inputs), np.stack(targets))[0]
    tokens = sum(map(len, encoded))
    size = sum(len(text.encode()) for text in documents)
    return {
        "text": text.name,
        "window": window,
        "documents": len(documents),
        "bytes": size,
        "tokens": tokens,
        "nats": nats,
        "bits_per_byte": nats / math.log(2) / size,
        "perplexity": math.exp(nats / tokens),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--text", type=Path, nargs="+", required=True)
    parser.add_argument("--window", type=int)
    args = parser.parse_args()
    torch.set_float32_matmul_precision("highest")
    model = read_model(args.model, "cuda")
    for text in args.text:
        print(json.dumps(evaluate(model, args.model / "tokenizer.json", text, args.window)), flush=True)


if __name__ == "__main__":
    main()
