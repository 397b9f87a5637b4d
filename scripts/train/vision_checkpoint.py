"""A trained VMamba on disk, in the official names: model.safetensors (in parts when it is large), config.json with the
classes' names as id2label, and preprocessor_config.json.

Matrices and dense convolutions are rounded to bf16; depthwise convolutions, dt_projs, A_logs, Ds, biases and norms stay f32.
"""

import json
from pathlib import Path

import numpy as np
import torch
from augment import MEAN, STD, Augment
from shards import read_shards, write_shards
from vmamba_model import Sizes, VMamba

F32 = ("conv2d.weight", "dt_projs.weight", "A_logs", "Ds", "dt_projs_bias")
BATCH = 256


def write_model(model: VMamba, folder: Path, classes: list[str], size: int) -> None:
    """size: pixels of the square pictures that it was trained on."""
    tensors = {
        name: tensor.detach().cpu().to(torch.float32 if tensor.ndim < 2 or name.endswith(F32) else torch.bfloat16).contiguous()
        for name, tensor in model.state_dict().items()
    }
    write_shards(tensors, folder)
    config = model.sizes.config() | {"id2label": dict(enumerate(classes))}
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    bicubic = 3
    seen = {"size": {"shortest_edge": size}, "crop_size": {"height": size, "width": size}, "resample": bicubic}
    preprocessor = {**seen, "rescale_factor": 1 / 255, "image_mean": MEAN, "image_std": STD}
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor, indent=1))


def read_model(folder: Path, device: str) -> VMamba:
    """The model with f32 parameters that hold the values stored, for inference only."""
    config = json.loads((folder / "config.json").read_text())
    model = VMamba(Sizes(tuple(config["depths"]), *(config[name] for name in ("dims", "ssm_ratio", "mlp_ratio", "num_classes"))))
    model.load_state_dict({name: tensor.float() for name, tensor in read_shards(folder).items()})
    return model.to(device).requires_grad_(False)


@torch.no_grad()
def evaluate_folder(folder: Path, images: torch.Tensor, labels: torch.Tensor, classes: list[str], device: str) -> None:
    """predictions.npz: logits (n, classes) f32, predictions and labels (n) u8, of the pictures (u8) in their order; summary.json."""
    model, augment = read_model(folder, device), Augment(images.shape[1], len(classes), device)
    logits = torch.cat([model(augment.normalise(part)) for part in images.split(BATCH)]).cpu()
    said, labels = logits.argmax(1), labels.cpu()
    np.savez(folder / "predictions.npz", logits=logits.numpy(), predictions=said.numpy().astype("u1"), labels=labels.numpy().astype("u1"))
    right = (said == labels).float()
    summary = {"images": len(labels), "top1": round(right.mean().item(), 5), "dtype": "f32", "size": images.shape[1]}
    summary["top1_by_class"] = {name: round(right[labels == i].mean().item(), 4) for i, name in enumerate(classes)}
    (folder / "summary.json").write_text(json.dumps(summary, indent=1))
    print(summary, flush=True)
