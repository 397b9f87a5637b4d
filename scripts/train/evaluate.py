"""Bits per byte and perplexity of a checkpoint folder on a text file, in f32 without TF32.

    python3 scripts/train/evaluate.py --model DIR --text FILE [FILE …] [--window 1024]
    python3 scripts/train/evaluate.py --model DIR --text FILE --contexts 1024 4096 16384 65536

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

A dialogue file (.jsonl.xz) is scored as the texts that the chat template makes of it.

With --contexts the file is one stream of its documents, and the same tokens, pieces of SCORED
every STRIDE, are scored with states that started that many tokens before each piece: what a
longer past gains or costs, with nothing else different. And whole documents with the state
carried are reported by position, in bands that end at these positions.
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
SCORED, STRIDE = 1024, 8192  # --contexts: tokens scored in a piece, and from piece to piece
POSITION_PIECE = 512


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


@torch.no_grad()
def by_context(model: LanguageModel, tokenizer: Path, text: Path, contexts: list[int]) -> list[dict]:
    """Mean −ln p of the same tokens after each of `contexts` tokens."""
    encoded = encode_documents(read_documents(text), tokenizer)
    stream = np.concatenate([np.append(END_OF_TEXT_ID, tokens.astype(np.int64)) for tokens in encoded])
    ends = range(max(contexts), len(stream) - SCORED, STRIDE)
    rows = []
    for context in contexts:
        nats = 0.0
        for i in range(0, len(ends), ROWS):
            pieces = np.stack([stream[end - context : end + SCORED + 1] for end in ends[i : i + ROWS]])
            inputs, targets, state = pieces[:, :-1], pieces[:, 1:].copy(), None
            targets[:, : context] = -1
            for at in range(0, inputs.shape[1], CARRIED_TOKENS):
                piece = slice(at, at + CARRIED_TOKENS)
                more, state = _score(model, inputs[:, piece], targets[:, piece], state)
                nats += more
        tokens = len(ends) * SCORED
        rows.append({"text": text.name, "context": context, "tokens": tokens, "mean_nats": nats / tokens})
    return rows


@torch.no_grad()
def by_position(model: LanguageModel, tokenizer: Path, text: Path, positions: list[int]) -> list[dict]:
    """Mean −ln p in bands of positions in their documents: from half of each position to it."""
    sums = {position: [0.0, 0] for position in positions}
    for tokens in encode_documents(read_documents(text), tokenizer):
        tokens = tokens.astype(np.int64)
        inputs, state = np.append(END_OF_TEXT_ID, tokens[:-1]), None
        # Bands begin and end at multiples of the piece.
        for at in range(0, len(tokens), POSITION_PIECE):
            piece = slice(at, at + POSITION_PIECE)
            nats, state = _score(model, inputs[None, piece], tokens[None, piece], state)
            for position, total in sums.items():
                if position // 2 <= at < position:
                    total[0] += nats
                    total[1] += len(tokens[piece])
    return [{"text": text.name, "position": p, "tokens": n, "mean_nats": s / n} for p, (s, n) in sums.items() if n]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--text", type=Path, nargs="+", required=True)
    parser.add_argument("--window", type=int)
    parser.add_argument("--contexts", type=int, nargs="+")
    args = parser.parse_args()
    torch.set_float32_matmul_precision("highest")
    model = read_model(args.model, "cuda")
    for text in args.text:
        if args.contexts:
            for rows in (by_context, by_position):
                for row in rows(model, args.model / "tokenizer.json", text, args.contexts):
                    print(json.dumps(row), flush=True)
            continue
        print(json.dumps(evaluate(model, args.model / "tokenizer.json", text, args.window)), flush=True)


if __name__ == "__main__":
    main()
