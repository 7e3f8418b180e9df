"""What scoring takes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Cost:
    """What a scorer computed.

    Args:
        probes: Probes that were new to it.
        texts: Texts that were new to it.
        prompts: Prompts that it continued.
        tokens: Tokens read, padding not counted.
        generated_tokens: Tokens of the continuations.
        seconds: In forward passes, on the clock.
    """

    probes: int = 0
    texts: int = 0
    prompts: int = 0
    tokens: int = 0
    generated_tokens: int = 0
    seconds: float = 0.0
