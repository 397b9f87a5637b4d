"""Chooses the learning rate and the optimizer by short trainings.

    python3 scripts/train/search.py --tokens DIR --tokenizer tokenizer.json --out DIR --budget 40 --try muon:5e-3 muon:1e-2 adamw:5e-3

Each candidate trains for --budget seconds with the rate falling to 0. The one with the lowest
validation loss on books_val wins. OUT/best.json gets {optimizer, lr, tokens_per_second}.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--budget", type=float, default=45, help="seconds")
    parser.add_argument("--try", dest="candidates", nargs="+", required=True, metavar="OPTIMIZER:LR")
    args = parser.parse_args()

    results = []
    for candidate in args.candidates:
        optimizer, lr = candidate.split(":")
        out = args.out / candidate.replace(":", "-")
        command = [sys.executable, str(Path(__file__).parent / "lm.py"), "--tokens", args.tokens]
        command += ["--tokenizer", args.tokenizer, "--out", out, "--budget", args.budget]
        command += ["--optimizer", optimizer, "--lr", lr, "--warmup", 100, "--log-every", 100]
        subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
        rows = [json.loads(line) for line in (out / "curve.jsonl").read_text().splitlines()]
        validation = [row["validation"] for row in rows if "validation" in row][-1]
        speed = [row["tokens_per_second"] for row in rows if "tokens_per_second" in row][-1]
        results.append({"optimizer": optimizer, "lr": float(lr), "tokens_per_second": speed, "validation": validation})
        print(json.dumps(results[-1]), flush=True)
    best = min(results, key=lambda row: row["validation"]["books_val"])
    (args.out / "best.json").write_text(json.dumps(best))
    print("best:", json.dumps(best), flush=True)


if __name__ == "__main__":
    main()
