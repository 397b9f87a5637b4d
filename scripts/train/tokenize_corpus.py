"""Tokenizes the training files found in a folder, each into NAME.npy (uint16).

    python3 scripts/train/tokenize_corpus.py --data DIR --tokenizer tokenizer.json --out DIR
"""

import argparse
import time
from pathlib import Path

from corpus import TRAINING_FILES, tokenize_file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name in TRAINING_FILES:
        path = args.data / f"{name}.txt.xz"
        if path.exists():
            start = time.time()
            tokens = tokenize_file(path, args.tokenizer, args.out / f"{name}.npy")
            print(f"{name}: {tokens} tokens in {time.time() - start:.1f} s", flush=True)


if __name__ == "__main__":
    main()
