"""Makes small pictures of every kind that is read, and what Pillow makes of them: the test vectors of the image preparation.

    python3 scripts/train/image_vectors.py --out test/golden/images

OUT gets the pictures, vectors.bin (RGB bytes of all cases, one after another) and vectors.json: of each case the file, `resize` (pixels of
the short side), the filter and `crop` (pixels of the square in the middle). Exif's orientation is applied first, alpha is dropped, of 16
bits the upper 8 count. cmyk.jpg, animated.gif and animated.webp have no vectors: they are refused; nor have the largest-… ones.
"""

import argparse
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, ImageOps


def picture(width: int, height: int, seed: int) -> Image.Image:
    """Waves, edges and noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    channels = [
        128 + 100 * np.sin(2 * np.pi * (random.uniform(0.5, 6) * x / width + random.uniform(0.5, 6) * y / height + random.random()))
        for _ in range(3)
    ]
    rgb = np.stack(channels, 2) + random.normal(0, 12, (height, width, 3))
    left, top = width // 4, height // 3
    rgb[top : top + height // 4, left : left + width // 3] = random.uniform(0, 255, 3)
    return Image.fromarray(rgb.clip(0, 255).astype("u1"))


def write_png16(file: Path, values: np.ndarray) -> str:
    """values u16 (height, width, 3) or (height, width); Pillow writes no RGB of 16 bits."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width = values.shape[:2]
    rows = values.astype(">u2").reshape(height, -1).tobytes()
    stride = len(rows) // height
    lines = b"".join(b"\0" + rows[y * stride : (y + 1) * stride] for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 16, 2 if values.ndim == 3 else 0, 0, 0, 0)
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b""))
    return file.name


def make_largest(out: Path) -> None:
    """As many pixels as are read, in the kinds whose decoding takes most memory."""
    image = picture(64, 64, 20).resize((2048, 2048), Image.Resampling.BICUBIC)
    image.save(out / "largest-progressive.jpg", quality=10, subsampling=0, progressive=True)
    image.quantize(8).convert("RGB").save(out / "largest-lossless.webp", lossless=True)


def make_refused(out: Path) -> None:
    picture(60, 40, 14).convert("CMYK").save(out / "cmyk.jpg", quality=85)
    first, *others = (picture(32, 24, seed) for seed in (15, 16, 17))
    first.save(out / "animated.gif", save_all=True, append_images=others, duration=100)
    first.save(out / "animated.webp", save_all=True, append_images=others, duration=100, quality=80)


def make_pictures(out: Path) -> list[str]:
    def save(name: str, image: Image.Image, **options) -> str:
        image.save(out / name, **options)
        return name

    names = [
        save("420.jpg", picture(150, 101, 1), quality=90),
        save("444-progressive.jpg", picture(97, 130, 2), quality=85, subsampling=0, progressive=True),
        save("grey.jpg", picture(64, 64, 3).convert("L"), quality=90),
        save("rgb.png", picture(75, 60, 4)),
        save("rgba.png", picture(50, 40, 5).convert("RGBA")),
        save("palette.png", picture(40, 50, 6).quantize(64)),
        save("bilevel.png", picture(33, 47, 7).convert("1")),
        save("lossy.webp", picture(90, 70, 8), quality=80),
        save("lossless.webp", picture(41, 35, 9), lossless=True),
        save("one-pixel.png", Image.new("RGB", (1, 1), (200, 30, 90))),
        save("wide.png", picture(200, 7, 10)),
    ]
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        names.append(save(f"orientation-{orientation}.jpg", picture(40, 24, 11), quality=95, subsampling=0, exif=exif))
    fine = np.random.default_rng(18).integers(0, 256, (43, 52, 3), dtype="u2")  # the lower bits
    names.append(write_png16(out / "rgb-16.png", np.asarray(picture(52, 43, 18), "u2") * 256 + fine))
    names.append(write_png16(out / "grey-16.png", np.asarray(picture(52, 43, 19), "u2")[..., 0] * 256 + fine[..., 0]))
    turned = Image.Exif()
    turned[0x0112] = 6
    names.append(save("orientation-6.png", picture(30, 20, 12), exif=turned))
    names.append(save("orientation-6.webp", picture(30, 20, 13), quality=90, exif=turned))
    return names


def read(file: Path) -> Image.Image:
    image = Image.open(file)
    if image.mode.startswith("I;16"):  # Pillow's own conversion takes what is above 255 for white
        image = Image.fromarray((np.asarray(image) >> 8).astype("u1"))
    return ImageOps.exif_transpose(image).convert("RGB")


def prepared(file: Path, resize: int, crop: int, resampling: Image.Resampling) -> bytes:
    """As torchvision's Resize and CenterCrop round sizes and places."""
    image = read(file)
    short = min(image.size)
    width, height = (int(resize * side / short) for side in image.size)
    image = image.resize((width, height), resampling)
    left, top = round((width - crop) / 2), round((height - crop) / 2)
    return image.crop((left, top, left + crop, top + crop)).tobytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    make_refused(out)
    make_largest(out)
    filters = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
    cases, data = [], b""
    for name in make_pictures(out):
        for resize, crop in ((32, 32), (48, 40), (20, 13)) if "orientation" not in name else ((24, 20),):
            for key, resampling in filters.items():
                cases.append({"file": name, "resize": resize, "filter": key, "crop": crop})
                data += prepared(out / name, resize, crop, resampling)
    (out / "vectors.bin").write_bytes(data)
    (out / "vectors.json").write_text(json.dumps({"pillow": PIL.__version__, "cases": cases}, indent=1) + "\n")


if __name__ == "__main__":
    main()
