"""Scores packages of the study in PyTorch with the very weights that they hold, quantized as they are.

    python3 scripts/train/icl_packed.py weights/models/icl-*

A package's matrices are rounded, so that it is another model than the one that was trained. `npm run eval:icl` compares the engine with
these scores; they are added to the package's evaluation.json as "packed". Runs on the CPU; needs msgpack beside PyTorch.
"""

import argparse
import json
import re
from pathlib import Path
from types import SimpleNamespace

import msgpack
import numpy as np
import torch
from icl_evaluate import evaluate, full_precision
from icl_models import InContextModel
from icl_prompts import COUNT
from icl_tasks import TASKS, read_positions

TILE_ROWS, GROUP = 8, 32  # weights/layout.ts


def decode(data: bytes, shape: list[int], encoding: str) -> np.ndarray:
    if encoding == "f32":
        return np.frombuffer(data, "<f4").reshape(shape)
    if encoding != "q8":
        raise ValueError(f"a tensor is stored as {encoding}: only f32 and q8 are read")
    rows, cols = shape
    down, across = -(-rows // TILE_ROWS), -(-cols // GROUP)
    tiles = np.frombuffer(data, np.uint8).reshape(down, across, TILE_ROWS * (2 + GROUP))
    scales = (tiles[..., : 2 * TILE_ROWS].copy().view("<u2").astype(np.uint32) << 16).view(np.float32)
    # A tile's chunks of 4 columns, each 8 rows × 4.
    values = tiles[..., 2 * TILE_ROWS :].view(np.int8).reshape(down, across, GROUP // 4, TILE_ROWS, 4)
    values = values.transpose(0, 3, 1, 2, 4).reshape(down, TILE_ROWS, across, GROUP)
    whole = values.astype(np.float32) * scales.transpose(0, 2, 1)[..., None]
    return whole.reshape(down * TILE_ROWS, across * GROUP)[:rows, :cols]


def official(name: str, value: np.ndarray, kinds: list[str]) -> tuple[str, np.ndarray]:
    """The official repository's name and value of one of the package's tensors: worker/engine/architectures/in-context-checkpoint.ts."""
    gpt2 = "mlp" in kinds
    if name.startswith("norm_f."):
        return f"_backbone.{'ln_f' if gpt2 else 'norm_f'}.{name[7:]}", value
    if name == "positions.weight":
        return "_backbone.wpe.weight" if gpt2 else "wpe.weight", value
    found = re.fullmatch(r"layers\.(\d+)\.(.+)", name)
    if found is None:
        return f"_{name}", value
    index, part = int(found[1]), found[2]
    part, rest = part.rsplit(".", 1) if "." in part else (part, "")
    if gpt2:
        # Ours counts attention and MLP as layers of their own.
        kind = kinds[index]
        own = {"norm": "ln_1" if kind == "attention" else "ln_2"} | {
            ours: f"{'attn' if kind == 'attention' else 'mlp'}.{theirs}"
            for ours, theirs in (("qkv", "c_attn"), ("proj", "c_proj"), ("up", "c_fc"), ("down", "c_proj"))
        }
        return f"_backbone.h.{index // 2}.{own[part]}.{rest}", value.T if value.ndim == 2 else value
    layer = f"_backbone.layers.{index}"
    if part == "norm":
        return f"{layer}.norm.{rest}", value
    if part == "A":
        return f"{layer}.mixer.A_log", np.log(-value)
    part = {"qkv": "c_attn", "proj": "c_proj", "conv": "conv1d"}.get(part, part)
    if part == "conv1d" and rest == "weight":
        value = value[:, None]
    return f"{layer}.mixer.{part}{'.' if rest else ''}{rest}", value


def load(folder: Path, architecture: str) -> tuple[InContextModel, str]:
    manifest = msgpack.unpackb((folder / "manifest.msgpack").read_bytes())
    sizes = manifest["hyperparameters"]
    kinds = sizes["layers"].split()
    if not {"s4d", "s4-mamba"}.isdisjoint(kinds):
        raise ValueError(f"{folder}: a package holds S4D in discrete form, which its trained form cannot be had from")
    data = b"".join((folder / shard["file"]).read_bytes() for shard in manifest["shards"])
    depth = {"transformer": len(kinds) // 2, "mambaformer": len(kinds) - 1}.get(architecture, len(kinds))
    model = InContextModel(architecture, depth, sizes["inputs"], sizes["outputs"], sizes["positions"], sizes["dim"])
    state = {}
    for tensor in manifest["tensors"]:
        value = decode(data[tensor["offset"] :][: tensor["bytes"]], tensor["shape"], tensor["encoding"])
        name, value = official(tensor["name"], value, kinds)
        state[name] = torch.tensor(np.ascontiguousarray(value))
    model.load_state_dict(state)
    return model.eval(), manifest["quantization"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="packages with an evaluation.json")
    parser.add_argument("--prompts", type=int, default=COUNT)
    args = parser.parse_args()
    for folder in args.folders:
        file = folder / "evaluation.json"
        evaluation = json.loads(file.read_text())
        model, quantization = load(folder, evaluation["architecture"])
        task = TASKS[evaluation["task"]]
        cell = SimpleNamespace(task=task, args=args, device="cpu", model=model, read=torch.tensor(read_positions(task)))
        with full_precision():
            line, by_prompt = evaluate(cell)
        packed = {"quantization": quantization, **{name: line[name] for name in ("final", "low", "high")}}
        packed |= {"source": f"PyTorch {torch.__version__}, CPU", "scores": [float(f"{v:.7g}") for v in by_prompt]}
        file.write_text(json.dumps(evaluation | {"packed": packed}))
        print(f"{folder.name}: {line['final']} as {quantization}, {evaluation['final']} in f32", flush=True)


if __name__ == "__main__":
    main()
