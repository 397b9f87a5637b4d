"""The photographs of the training: NAME.webppack holds WebP files one after another, NAME.idx their places and labels.

A record of the index: u32 offset, u16 length, u16 label, little endian.
"""

import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image

RECORD = np.dtype([("offset", "<u4"), ("length", "<u2"), ("label", "<u2")])


def read_classes(folder: Path) -> list[str]:
    return json.loads((folder / "classes.json").read_text())


def read_images(folder: Path, split: str, limit: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """All (or the first `limit`) pictures of "train" or "val": u8 (n, 128, 128, 3), and their labels (n)."""
    (pack,) = folder.glob(f"*_{split}.webppack")
    records = np.fromfile(pack.with_suffix(".idx"), RECORD)[:limit]
    data = pack.read_bytes()

    def decode(record: np.void) -> np.ndarray:
        start = int(record["offset"])
        return np.asarray(Image.open(io.BytesIO(data[start : start + int(record["length"])])).convert("RGB"))

    with ThreadPoolExecutor() as threads:  # the decoder runs without Python's lock
        images = np.stack(list(threads.map(decode, records)))
    return torch.from_numpy(images), torch.from_numpy(records["label"].astype(np.int64))
