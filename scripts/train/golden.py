"""Reference outputs of a checkpoint folder, computed by transformers' MambaForCausalLM in f64.

    python3 scripts/train/golden.py --model DIR --text FILE [FILE …]

Writes DIR/golden.json: prompts of 1, 20 and 300 tokens, each with the logits after its last
token, the 12 tokens that greedy decoding adds and the mean −ln p of its tokens 1… ; two
dialogues as tokens; and Σ −ln p of the first text's first 4,096 tokens by evaluate.py's rule
with windows of 1,024. Then compares our own f32 kernels with the prompts.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from checkpoint import read_model
from corpus import END_OF_TEXT_ID, encode_documents, read_documents
from dialogues import render
from transformers import AutoTokenizer, MambaForCausalLM, __version__

LENGTHS = (1, 20, 300)
GREEDY_TOKENS = 12
SCORED_TOKENS, WINDOW = 4096, 1024
DIALOGUES = (
    [{"role": "user", "content": "What is your favourite film?"}],
    [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": " I need a table for two,\n please. "},
        {"role": "assistant", "content": "In which city? Café or restaurant?"},
        {"role": "user", "content": "San José — at half past 7."},
    ],
)
LARGEST_ERROR = 1e-4  # of our f32 logits, relative to the largest logit


def prompts_from(texts: list[Path], tokenizer: Path) -> list[list[int]]:
    """`<|endoftext|>` and the beginning of the texts' first documents, cut at LENGTHS."""
    firsts = encode_documents([read_documents(text)[0] for text in texts], tokenizer, workers=2)
    return [[END_OF_TEXT_ID, *firsts[i % len(firsts)][: length - 1].tolist()] for i, length in enumerate(LENGTHS)]


def golden(model, tokens: list[int]) -> dict:
    device, ids, greedy = model.device, list(tokens), []
    for step in range(GREEDY_TOKENS):
        logits = model(torch.tensor([ids], device=device), use_cache=False).logits[0]
        if step == 0:
            last = logits[-1]
            nats = F.cross_entropy(logits[:-1], torch.tensor(ids[1:], device=device)).item() if len(ids) > 1 else None
        greedy.append(int(logits[-1].argmax()))
        ids.append(greedy[-1])
    return {
        "tokens": tokens,
        "last_logits": [float(f"{x:.7g}") for x in last.tolist()],
        "greedy": greedy,
        "mean_nll": nats,
    }


def evaluation(model, document: str, tokenizer: Path) -> dict:
    """A document's first SCORED_TOKENS tokens in windows of WINDOW, each fed the token before it, and the text that holds them."""
    ids = encode_documents([document], tokenizer, workers=1)[0].astype(np.int64)
    targets = torch.from_numpy(ids[:SCORED_TOKENS]).view(-1, WINDOW).to(model.device)
    inputs = torch.from_numpy(np.concatenate([[END_OF_TEXT_ID], ids[: SCORED_TOKENS - 1]])).view(-1, WINDOW).to(model.device)
    nats = sum(
        F.cross_entropy(model(row[None], use_cache=False).logits[0], target, reduction="sum").item()
        for row, target in zip(inputs, targets)
    )
    # A few bytes a token: the text goes on beyond the tokens, so that its end does not change them.
    return {"text": document[: 8 * SCORED_TOKENS], "tokens": SCORED_TOKENS, "window": WINDOW, "nats": nats}


def chat_tokens(tokenizer, messages: list[dict]) -> list[int]:
    """By transformers, up to where the reply begins; `<|endoftext|>`, which every text is fed first, included."""
    tokens = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False)
    assert tokens == tokenizer.encode(render(messages, reply=True)), "training and the template differ"
    return [END_OF_TEXT_ID, *tokens]


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--text", type=Path, nargs="+", required=True)
    args = parser.parse_args()

    # The residual stream in f64 too, and the plain sequential scan.
    reference = MambaForCausalLM.from_pretrained(
        args.model, dtype=torch.float64, residual_in_fp32=False, use_associative_scan=False
    )
    reference = reference.to("cuda").eval()
    prompts = [golden(reference, tokens) for tokens in prompts_from(args.text, args.model / "tokenizer.json")]
    source = f"transformers {__version__} MambaForCausalLM in float64"
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    dialogues = [{"messages": messages, "tokens": chat_tokens(tokenizer, messages)} for messages in DIALOGUES]
    scored = evaluation(reference, read_documents(args.text[0])[0], args.model / "tokenizer.json")
    golden_json = {"kind": "causal-lm", "source": source, "prompts": prompts, "dialogues": dialogues, "evaluation": scored}
    (args.model / "golden.json").write_text(json.dumps(golden_json))

    torch.set_float32_matmul_precision("highest")
    ours = read_model(args.model, "cuda")
    for prompt in prompts:
        n = len(prompt["tokens"])
        padded = np.pad(prompt["tokens"], (0, -n % 8))
        h, _ = ours(torch.from_numpy(padded)[None].to("cuda"), None, torch.float32)
        logits = (h[n - 1] @ ours.backbone.embeddings.weight.t()).double().cpu()
        want = torch.tensor(prompt["last_logits"], dtype=torch.float64)
        error = ((logits - want).abs().max() / want.abs().max()).item()
        print(f"{n} tokens: our f32 logits differ by {error:.1e} of the largest, mean −ln p {prompt['mean_nll']}")
        assert error < LARGEST_ERROR


if __name__ == "__main__":
    main()
