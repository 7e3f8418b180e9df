"""Questions and cloze prompts: which a fact is asked by, and which a chat template wants."""

from __future__ import annotations

import re
from collections.abc import Iterable

from zu_framework.problem import Request

# closing quotes and brackets; ends of sentences, those of Arabic, Chinese and Hindi among them
_CLOSING = "\"')]} \n\u201d\u2019\u00bb"
_ENDS = "?!.:;\u2026\u061f\u3002\uff1f\uff01\uff1a\u0964"
# words that an answer follows, whatever the prompt begins with ("When Harry Met Sally was directed by")
_BREAKS_OFF = re.compile(
    r"\b(is|are|was|were|in|of|by|the|a|an|as|at|to|from|called|named|with|and)$", re.IGNORECASE
)
# a question without its mark, or a demand
_BEGINS = re.compile(
    r"(what|who|whom|whose|which|where|when|why|how|is|are|was|were|does|did|in which|in what|"
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
    if not ended or ended[-1] in _ENDS:
        return False
    return bool(_BREAKS_OFF.search(ended)) or not _BEGINS.match(text)


def chat_notes(requests: Iterable[Request]) -> tuple[str, ...]:
    """Return a note where cloze prompts are asked through a chat template; nothing where none is.

    Args:
        requests: The facts to forget, asked with `model.chat=true`.

    Returns:
        At most one sentence.
    """
    asked = list(requests)
    cloze = [request for request in asked if is_cloze(request.prompt)]
    if not cloze:
        return ()
    return (
        f"{len(cloze)} of {len(asked)} facts are asked through the chat template by a prompt that breaks off, the "
        f"first {cloze[0].prompt!r} ({cloze[0].source or 'given'}): an assistant may repeat it, or explain; ask a "
        "question, such as 'What is the capital of France?', or set model.chat=false",
    )
