"""Safetensors in parts: model-0000k-of-0000n.safetensors of at most 16 MiB each and model.safetensors.index.json; one part is model.safetensors."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

SHARD_BYTES = 16 * 2**20
HEADER_BYTES = 64 * 2**10  # more than any shard's header needs
INDEX, WHOLE = "model.safetensors.index.json", "model.safetensors"


def _cut(tensors: dict[str, torch.Tensor]) -> list[dict[str, torch.Tensor]]:
    shards, room = [], 0
    for name, tensor in tensors.items():
        if tensor.nbytes > room:
            shards.append({})
            room = SHARD_BYTES - HEADER_BYTES
        shards[-1][name] = tensor
        room -= tensor.nbytes
    return shards


def write_shards(tensors: dict[str, torch.Tensor], folder: Path) -> None:
    """Tensors in execution order."""
    shards, weight_map = _cut(tensors), {}
    if len(shards) == 1:
        save_file(tensors, folder / WHOLE, metadata={"format": "pt"})
        return
    for i, shard in enumerate(shards):
        file = f"model-{i + 1:05}-of-{len(shards):05}.safetensors"
        save_file(shard, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(shard, file)
    total = sum(tensor.nbytes for tensor in tensors.values())
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map}, indent=1))


def read_shards(folder: Path) -> dict[str, torch.Tensor]:
    if not (folder / INDEX).exists():
        return load_file(folder / WHOLE)
    files = sorted(set(json.loads((folder / INDEX).read_text())["weight_map"].values()))
    return {name: tensor for file in files for name, tensor in load_file(folder / file).items()}
