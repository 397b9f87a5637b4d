"""Draws a training's curve.jsonl as an SVG: training loss, validation losses and learning rate by tokens.

    python3 scripts/train/plot_curve.py curve.jsonl curve.svg
"""

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402

SMOOTHING = 5  # lines of the log that a point of the training curve averages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("curve", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    rows = [json.loads(line) for line in args.curve.read_text().splitlines()]
    training = [row for row in rows if "loss" in row]
    validation = [row for row in rows if "validation" in row]
    tokens_a_step = training[0]["tokens"] / training[0]["step"]

    plt.rcParams.update({"svg.hashsalt": "mamba-edge", "svg.fonttype": "none", "font.family": "sans-serif"})
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    losses = [row["loss"] for row in training]
    means = [sum(losses[max(0, i - SMOOTHING + 1) : i + 1]) / min(i + 1, SMOOTHING) for i in range(len(losses))]
    axes.plot([row["tokens"] / 1e6 for row in training], means, color="#999999", linewidth=1, label="training mixture")
    for name in validation[0]["validation"]:
        at = [row["step"] * tokens_a_step / 1e6 for row in validation]
        axes.plot(at, [row["validation"][name] for row in validation], marker="o", markersize=3, label=name)
    axes.set(xlabel="million tokens", ylabel="loss, nats a token", ylim=(1.0, 5.0))
    axes.grid(alpha=0.3)
    rate = axes.twinx()
    rate.plot([row["tokens"] / 1e6 for row in training], [row["lr"] for row in training], color="#cccccc", linestyle=":")
    rate.set_ylabel("learning rate (dotted)")
    axes.legend(loc="upper right")
    figure.savefig(args.out, metadata={"Date": None})


if __name__ == "__main__":
    main()
