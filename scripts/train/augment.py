"""Random changes to a batch of pictures on the GPU: crop, turn, colours, sharpness, erasing, MixUp and CutMix.

Everything random comes in as numbers that `draw` makes from (seed, step) on the CPU, and every size is fixed: a captured step can be
replayed, a resumed training sees what an uninterrupted one would have seen, and equal steps are equal on every machine.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F

Tensor = torch.Tensor
FIELDS = (
    "area", "aspect", "x", "y", "flip", "turns", "turn",
    "brightness", "contrast", "saturation", "hue", "grey", "stretches", "inverts", "invert", "sharpens", "sharpen",
    "erases", "erase_area", "erase_aspect", "erase_x", "erase_y",
    "mix", "mixup", "cut", "cut_x", "cut_y",
)  # fmt: skip
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's
TO_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))
CUTMIX, MIXUP = 0.4, 0.4  # the shares of pictures that get the one, and the other
MIXUP_BETA = 0.8
SMALLEST_AREA = 0.3
TURN = math.radians(15)
SMOOTHING = 0.1


def draw(seed: int, step: int, batch: int) -> np.ndarray:
    """(fields, batch): uniform in [0, 1), "mixup" Beta(0.8, 0.8)."""
    random = np.random.default_rng([seed, step])
    values = random.random((len(FIELDS), batch), np.float32)
    values[FIELDS.index("mixup")] = random.beta(MIXUP_BETA, MIXUP_BETA, batch)
    return values


class Augment:
    """Holds the constants on the device: a captured step copies nothing to it."""

    def __init__(self, size: int, classes: int, device: str):
        self.size, self.classes = size, classes
        self.mean = torch.tensor(MEAN, device=device)
        self.std = torch.tensor(STD, device=device)
        self.to_yiq = torch.tensor(TO_YIQ, device=device)
        self.from_yiq = torch.linalg.inv(torch.tensor(TO_YIQ)).to(device)
        self.at = (torch.arange(size, device=device) + 0.5) / size

    def normalise(self, images: Tensor) -> Tensor:
        """u8 or 0…255 (batch, H, W, 3) → f32."""
        return (images / 255 - self.mean) / self.std

    def __call__(self, images: Tensor, labels: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
        """images u8 (batch, H, W, 3), draws as of `draw` → pixels (batch, H, W, 3) f32, normalised, and targets (batch, classes)."""
        r = dict(zip(FIELDS, draws))
        x = self._place(images.permute(0, 3, 1, 2) / 255.0, r)
        x = self._sharpen(self._colour(x, r), r).clamp(0, 1)
        x = (x.permute(0, 2, 3, 1) - self.mean) / self.std
        height, width = (r["erase_area"] * 0.3 + 0.02).sqrt() * _aspect(r["erase_aspect"])
        erased = self._box(r["erase_x"], r["erase_y"], width, height) & (r["erases"] < 0.25)[:, None, None]
        x = x * ~erased[..., None]
        targets = F.one_hot(labels, self.classes) * (1 - SMOOTHING) + SMOOTHING / self.classes
        return self._mix(x, targets, r)

    def _place(self, x: Tensor, r: dict[str, Tensor]) -> Tensor:
        """A random part of the picture, some of it turned, half of it mirrored."""
        area = SMALLEST_AREA + (1 - SMALLEST_AREA) * r["area"]
        height, width = (area.sqrt() * _aspect(r["aspect"])).clamp(max=1)
        angle = (2 * r["turn"] - 1) * TURN * (r["turns"] < 0.4)
        mirror = torch.where(r["flip"] < 0.5, -1.0, 1.0)
        sin, cos = angle.sin(), angle.cos()
        across = torch.stack([mirror * width * cos, -height * sin, (2 * r["x"] - 1) * (1 - width)], 1)
        down = torch.stack([mirror * width * sin, height * cos, (2 * r["y"] - 1) * (1 - height)], 1)
        grid = F.affine_grid(torch.stack([across, down], 1), list(x.shape), align_corners=False)
        return F.grid_sample(x, grid, mode="bicubic", padding_mode="reflection", align_corners=False).clamp(0, 1)

    def _colour(self, x: Tensor, r: dict[str, Tensor]) -> Tensor:
        def around(name: str, width: float) -> Tensor:
            return (1 + width * (2 * r[name] - 1))[:, None, None, None]

        low, high = x.amin((1, 2, 3), True), x.amax((1, 2, 3), True)
        x = torch.where((r["stretches"] < 0.1)[:, None, None, None], (x - low) / (high - low).clamp(min=1e-3), x)
        bound = 0.5 + 0.5 * r["invert"][:, None, None, None]
        x = torch.where((r["inverts"] < 0.05)[:, None, None, None] & (x > bound), 1 - x, x)
        x = x * around("brightness", 0.4)
        yiq = torch.einsum("ij,bjhw->bihw", self.to_yiq, x)
        level = yiq[:, :1].mean((2, 3), True)
        y = (yiq[:, 0] - level[:, 0]) * around("contrast", 0.4)[:, 0] + level[:, 0]
        # Saturation stretches the plane of I and Q, hue turns it.
        chroma = around("saturation", 0.5)[:, 0] * around("contrast", 0.4)[:, 0] * (r["grey"] >= 0.05)[:, None, None]
        hue = ((2 * r["hue"] - 1) * 0.1 * math.pi)[:, None, None]
        i = chroma * (hue.cos() * yiq[:, 1] - hue.sin() * yiq[:, 2])
        q = chroma * (hue.sin() * yiq[:, 1] + hue.cos() * yiq[:, 2])
        return torch.einsum("ij,bjhw->bihw", self.from_yiq, torch.stack([y, i, q], 1))

    def _sharpen(self, x: Tensor, r: dict[str, Tensor]) -> Tensor:
        amount = (2 * r["sharpen"] - 1) * (r["sharpens"] < 0.2)
        return x + amount[:, None, None, None] * (x - F.avg_pool2d(x, 3, 1, 1, count_include_pad=False))

    def _box(self, x: Tensor, y: Tensor, width: Tensor, height: Tensor) -> Tensor:
        """(batch, H, W): which pixels lie in boxes of these centres and sides, all of them parts of the picture."""
        across = (self.at - x[:, None]).abs() * 2 < width[:, None]
        down = (self.at - y[:, None]).abs() * 2 < height[:, None]
        return down[:, :, None] & across[:, None, :]

    def _mix(self, x: Tensor, targets: Tensor, r: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Each picture with the one as far from the batch's other end."""
        side = (1 - r["cut"]).sqrt()
        cut = self._box(r["cut_x"], r["cut_y"], side, side) & (r["mix"] < CUTMIX)[:, None, None]
        blended = (r["mix"] >= CUTMIX) & (r["mix"] < CUTMIX + MIXUP)
        other = torch.where(cut, 1.0, torch.where(blended, 1 - r["mixup"], 0.0)[:, None, None])
        share = other.mean((1, 2))[:, None]
        return torch.lerp(x, x.flip(0), other[..., None]), torch.lerp(targets, targets.flip(0), share)


def _aspect(uniform: Tensor) -> Tensor:
    """(2, batch): factors of height and of width whose ratio is between 3/4 and 4/3."""
    half = (2 * uniform - 1) * 0.5 * math.log(4 / 3)
    return torch.stack([torch.exp(half), torch.exp(-half)])
