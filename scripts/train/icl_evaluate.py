"""Evaluates a cell on the prompts that are the same for all, and writes its checkpoint folder."""

import json
from contextlib import contextmanager

import icl_results
import icl_s4
import numpy as np
import torch
from icl_cell import Cell
from icl_prompts import evaluation_prompts, piece
from icl_tasks import scores
from safetensors.torch import save_file

GOLDEN_PROMPTS = 4


@contextmanager
def full_precision():
    """f32 without TF32: what is exported must agree with other implementations of f32."""
    kept = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32, icl_s4.exact
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32, icl_s4.exact = False, False, True
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32, icl_s4.exact = kept


@torch.no_grad()
def evaluate(cell: Cell, size: int = 64) -> tuple[dict, np.ndarray]:
    """The results line's scores, and each prompt's score over the last targets that count."""
    prompts = evaluation_prompts(cell.task, cell.args.prompts, cell.device)
    found, own = [], []
    for at in range(0, len(prompts.tokens), size):
        part = piece(prompts, at, at + size)
        outputs = cell.model(part.tokens)[:, cell.read]
        found.append(scores(cell.task, outputs, part))
        if cell.task.name == "chain-of-thought":
            # The last y once more, after the model's own s in place of the true one.
            tokens = part.tokens.clone()
            tokens[:, -1, : outputs.shape[-1]] = outputs[:, -2]
            y = cell.model(tokens)[:, -1, 0]
            own.append((y - part.targets[:, -1, 0]).square())
    all_scores, counts = torch.cat(found).cpu().numpy(), prompts.clean.cpu().numpy()
    if cell.task.name == "chain-of-thought":
        all_scores, counts = all_scores[:, 1::2], counts[:, 1::2]  # of y; the steps are on the way
    line = icl_results.summarize(all_scores, counts, cell.task.last)
    if own:
        mean, low, high = icl_results.bootstrap(torch.cat(own).cpu().numpy())
        line |= {"own_steps": {"final": mean, "low": low, "high": high}}
    return line, icl_results.tail_scores(all_scores, counts, cell.task.last)


@torch.no_grad()
def export(cell: Cell, line: dict, by_prompt: np.ndarray) -> None:
    """The official layout; outputs of the first evaluation prompts, and every prompt's score, to compare an implementation with."""
    folder = cell.args.out / cell.name
    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.detach().cpu().contiguous() for k, v in cell.model.state_dict().items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(cell.model.config(), indent=1))
    prompts = evaluation_prompts(cell.task, GOLDEN_PROMPTS, cell.device)
    outputs = cell.model(prompts.tokens).cpu()
    golden = {"kind": "vectors", "source": "PyTorch", "cases": []}
    for tokens, said in zip(prompts.tokens.cpu(), outputs):
        golden["cases"].append({"vectors": tokens.tolist(), "outputs": said.tolist()})
    if cell.task.outputs == 1:
        golden |= {"kind": "in-context-learning", "cases": []}
        for tokens, said in zip(prompts.tokens.cpu(), outputs):
            ys = [row.tolist() for row in tokens[1::2]] + [[0.0]]  # the last y is never read
            golden["cases"].append({"xs": tokens[0::2].tolist(), "ys": ys, "predictions": said[0::2].tolist()})
    (folder / "golden.json").write_text(json.dumps(golden))
    kept = {"source": f"PyTorch {torch.__version__}, {line['device']}", "scores": [round(float(v), 6) for v in by_prompt]}
    shown = ("task", "architecture", "seed", "lr", "steps", "seconds", "batch", "curriculum", "parameters", "final", "low", "high")
    (folder / "evaluation.json").write_text(json.dumps({name: line[name] for name in shown} | kept))
