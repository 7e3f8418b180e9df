"""Questions and cloze prompts: which a fact is asked by, and which a chat template wants."""

from __future__ import annotations

import re
from collections.abc import Iterable

from zu_framework.problem import Request

_CLOSING = "\"'”’»)]} \n"
_ENDS = "?？؟!！.。…:：;।"
# a question without its mark, or a demand
_BEGINS = re.compile(
    r"(what|who|whom|whose|which|where|when|why|how|is|are|was|were|do|does|did|can|could|will|would|in which|in what|"
    r"name|tell|say|give|list|explain|describe|complete|answer|fill|please|write)\b",
    re.IGNORECASE,
)


def is_cloze(prompt: str) -> bool:
    """Return whether a prompt breaks off where its answer goes ("The capital of France is"), and asks nothing.

    A prompt that ends as a sentence does (`?`, `.`, `!`, `:` ...), or begins as an English question or demand does, is
    none.
    """
    text = prompt.strip()
    ended = text.rstrip(_CLOSING)
    return bool(ended) and ended[-1] not in _ENDS and not _BEGINS.match(text)


def chat_notes(requests: Iterable[Request]) -> tuple[str, ...]:
    """Return a note where cloze prompts are asked through a chat template; nothing where none is.

    Args:
        requests: The facts to forget, asked with `model.chat=true`.
    """
    asked = list(requests)
    cloze = [request for request in asked if is_cloze(request.prompt)]
    if not cloze:
        return ()
    return (
        f"{len(cloze)} of {len(asked)} facts are asked through the chat template by a prompt that breaks off, the first "
        f"{cloze[0].prompt!r} ({cloze[0].source or 'given'}): an assistant may repeat it, or explain; ask a question, "
        "such as 'What is the capital of France?', or set model.chat=false",
    )
