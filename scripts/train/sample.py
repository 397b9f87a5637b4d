"""Continuations sampled from a checkpoint folder, to read.

    python3 scripts/train/sample.py --model DIR
"""

import argparse
from pathlib import Path

import torch
from checkpoint import read_model
from corpus import END_OF_TEXT_ID
from selective_scan import CHUNK
from tokenizers import Tokenizer

PROMPTS = (
    "Once upon a time there was a little",
    "The captain looked out at the sea and",
    '"Tell me," said the king, "',
    "It was a dark and stormy night;",
    "The dog and the cat",
)


@torch.no_grad()
def sample(model, ids: list[int], count: int, temperature: float, top_k: int, generator) -> list[int]:
    ids = list(ids)
    for _ in range(count):
        padded = ids + [END_OF_TEXT_ID] * (-len(ids) % CHUNK)
        h, _ = model(torch.tensor([padded], device="cuda"), None, torch.float32)
        logits = h[len(ids) - 1] @ model.backbone.embeddings.weight.t() / temperature
        values, tokens = logits.topk(top_k)
        ids.append(int(tokens[torch.multinomial(values.softmax(0), 1, generator=generator)]))
        if ids[-1] == END_OF_TEXT_ID:
            break
    return ids


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--tokens", type=int, default=120)
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--top-k", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    tokenizer = Tokenizer.from_file(str(args.model / "tokenizer.json"))
    model = read_model(args.model, "cuda")
    generator = torch.Generator("cuda").manual_seed(args.seed)
    for prompt in PROMPTS:
        ids = [END_OF_TEXT_ID, *tokenizer.encode(prompt).ids]
        print(tokenizer.decode(sample(model, ids, args.tokens, args.temperature, args.top_k, generator)), end="\n\n----\n\n")


if __name__ == "__main__":
    main()
