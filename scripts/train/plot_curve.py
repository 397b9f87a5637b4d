"""Draws a training's curve.jsonl as an SVG: of a language model training and validation loss by tokens, of an image classifier the
loss and top-1 by epochs; and the learning rate.

    python3 scripts/train/plot_curve.py curve.jsonl curve.svg
"""

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402

SMOOTHING = 5  # lines of the log that a point of the training curve averages


def mean_of_last(values: list[float]) -> list[float]:
    return [sum(values[max(0, i - SMOOTHING + 1) : i + 1]) / min(i + 1, SMOOTHING) for i in range(len(values))]


def draw_language(axes, rows: list[dict]) -> list[float]:
    """Returns the place of each row with a training loss."""
    training = [row for row in rows if "loss" in row]
    validation = [row for row in rows if "validation" in row]
    tokens_a_step = training[0]["tokens"] / training[0]["step"]
    places = [row["tokens"] / 1e6 for row in training]
    axes.plot(places, mean_of_last([row["loss"] for row in training]), color="#999999", linewidth=1, label="training mixture")
    for name in validation[0]["validation"]:
        at = [row["step"] * tokens_a_step / 1e6 for row in validation]
        axes.plot(at, [row["validation"][name] for row in validation], marker="o", markersize=3, label=name)
    axes.set(xlabel="million tokens", ylabel="loss, nats a token", ylim=(1.0, 5.0))
    return places


def draw_images(axes, rows: list[dict]) -> list[float]:
    """A mixture of pictures and of labels is learned, so its loss cannot reach 0."""
    places, seen = [row["epoch"] for row in rows], [row for row in rows if "top1" in row]
    axes.plot(places, [row["loss"] for row in rows], color="#999999", linewidth=1, label="training loss, nats")
    axes.plot([row["epoch"] for row in seen], [row["top1"] for row in seen], label="validation top-1")
    axes.set(xlabel="epoch", ylabel="loss; part that is right", ylim=(0.0, 2.5))
    return places


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("curve", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    rows = [json.loads(line) for line in args.curve.read_text().splitlines()]

    plt.rcParams.update({"svg.hashsalt": "mamba-edge", "svg.fonttype": "none", "font.family": "sans-serif"})
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    places = (draw_images if "epoch" in rows[0] else draw_language)(axes, rows)
    axes.grid(alpha=0.3)
    rate = axes.twinx()
    rate.plot(places, [row["lr"] for row in rows if "loss" in row], color="#cccccc", linestyle=":")
    rate.set_ylabel("learning rate (dotted)")
    axes.legend(loc="upper right")
    figure.savefig(args.out, metadata={"Date": None})


if __name__ == "__main__":
    main()
