"""Tokenizes the training and evaluation files found in a folder, each into NAME.npy (uint16).

    python3 scripts/train/tokenize_corpus.py --data DIR --tokenizer tokenizer.json --out DIR

Paragraphs of the evaluation texts *_val.txt in DIR are left out of the training texts (overlap.py).
"""

import argparse
import time
from pathlib import Path

from corpus import TRAINING_FILES, VALIDATION_FILES, read_documents, training_documents, write_tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name in TRAINING_FILES:
        start = time.time()
        documents = training_documents(args.data, name)
        if documents is None:
            continue
        # Books keep their order; short texts are mixed, so that a window holds unlike ones.
        tokens = write_tokens(documents, args.tokenizer, args.out / f"{name}.npy", shuffle=not name.startswith("books"))
        print(f"{name}: {len(documents)} documents, {tokens} tokens in {time.time() - start:.1f} s", flush=True)
    for file in VALIDATION_FILES:
        if (args.data / file).exists():
            name = file.split(".")[0]
            tokens = write_tokens(read_documents(args.data / file), args.tokenizer, args.out / f"{name}.npy")
            print(f"{name}: {tokens} tokens", flush=True)


if __name__ == "__main__":
    main()
