"""Dialogue files (JSON lines of {"messages": [{role, content}]}) to texts in the chat template.

The template stands here once: it is what training reads, what the checkpoint folder carries
as chat_template.jinja, and what is served. Every message is its role's token, its content and
`<|end|>`; as every document, a dialogue begins with `<|endoftext|>`, which whoever feeds it adds.
"""

import json
import lzma
from pathlib import Path

CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message.role not in ['system', 'user', 'assistant'] -%}"
    "{{ raise_exception('a role is system, user or assistant, not ' + message.role) }}"
    "{%- endif -%}"
    "{{ '<|' + message.role + '|>' + message.content | trim + '<|end|>' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|assistant|>' }}{%- endif -%}"
)

# How often each file is read per epoch.
DIALOGUE_FILES = {"self_dialogue": 1, "sgd": 1, "trivia": 1, "dolly": 2, "gpteacher": 2}

# The files have no system messages, and clients send some: one dialogue in ten begins with one of these.
SYSTEM_EVERY = 10
SYSTEM_MESSAGES = (
    "You are a helpful assistant.",
    "You are a friendly assistant. Answer the user.",
    "Answer briefly.",
    "You are a small language model that likes to talk.",
)
# A model of this size learns nothing from programs but their punctuation.
PROGRAM_MARKS = (";\n", "{\n", "#include", "def ", "</", "```", "import ", "print(")


def render(messages: list[dict], reply: bool = False) -> str:
    """What CHAT_TEMPLATE makes of messages (check_template.py compares the two)."""
    text = "".join(f"<|{m['role']}|>{m['content'].strip()}<|end|>" for m in messages)
    return text + ("<|assistant|>" if reply else "")


def read_dialogues(path: Path) -> list[list[dict]]:
    with lzma.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line)["messages"] for line in file]


def _is_program(messages: list[dict]) -> bool:
    return any(mark in m["content"] for m in messages for mark in PROGRAM_MARKS)


def training_texts(path: Path) -> list[str]:
    """The file's dialogues as training reads them, without programs and without trivia that are not questions."""
    dialogues = [d for d in read_dialogues(path) if not _is_program(d)]
    if path.name.startswith("trivia"):
        dialogues = [d for d in dialogues if d[0]["content"].rstrip().endswith("?")]
    texts = []
    for i, messages in enumerate(dialogues):
        if i % SYSTEM_EVERY == 0:
            system = SYSTEM_MESSAGES[i // SYSTEM_EVERY % len(SYSTEM_MESSAGES)]
            messages = [{"role": "system", "content": system}, *messages]
        texts.append(render(messages))
    return texts
