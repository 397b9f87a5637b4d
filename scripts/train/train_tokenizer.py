"""Trains the byte-level BPE vocabulary on the training files.

    python3 scripts/train/train_tokenizer.py --data DIR --out tokenizer.json
"""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from corpus import TRAINING_FILES, training_documents
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

# Their ids are 0, 1, 2, 3, 4. All but the first are the chat template's (dialogues.py).
SPECIAL_TOKENS = ["<|endoftext|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"]


def texts(data: Path) -> Iterator[str]:
    """The training texts between special tokens, which no merge may learn."""
    special = re.compile("|".join(map(re.escape, SPECIAL_TOKENS)))
    for name in TRAINING_FILES:
        for text in training_documents(data, name) or ():
            yield from special.split(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of NAME.txt.xz files")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--vocab-size", type=int, default=8192)
    args = parser.parse_args()

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=args.vocab_size,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(args.data), trainer)
    tokenizer.save(str(args.out))
    print(f"{tokenizer.get_vocab_size()} tokens in {args.out}")


if __name__ == "__main__":
    main()
