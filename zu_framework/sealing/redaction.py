"""A run's numbers without its words: texts that follow from the data are left out, facts become keyed digests."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from zu_framework.store.tensor_files import canonical

SEALED = "(sealed)"
SHORTEST = 3  # characters of a text that is looked for in others
SHOWN = 16  # hexadecimal digits of a fact's digest on the page

# fields whose text the framework or a component's name decides, not the data
KEPT = frozenset(
    {
        "attack",
        "attacks",
        "better",
        "definition",
        "device",
        "dtype",
        "event",
        "fingerprint_after",
        "fingerprint_before",
        "grain",
        "holds",
        "kind",
        "locator",
        "metrics",
        "model",
        "model_type",
        "name",
        "part",
        "precision",
        "python",
        "read",
        "replay",
        "set",
        "site",
        "sites",
        "solver",
        "space",
        "status",
        "torch",
        "transformers",
        "unit",
        "variant",
        "verdict",
        "zu_framework",
    }
)
NUMBERS_AS_TEXT = frozenset({"nan", "inf", "-inf"})


class Redaction:
    """Puts digests in the place of facts.

    Args:
        key: 32 random bytes, which the owner alone has.
        facts: What the run's files say of the facts, as `facts_of` finds it: they are looked for in every text.
    """

    def __init__(self, key: bytes, facts: Iterable[Mapping[str, Any]]) -> None:
        self._key = key
        words = {text.strip() for fact in facts for text in _texts(fact)}
        found = sorted((w for w in words if len(w) >= SHORTEST), key=len, reverse=True)
        self._words = (
            re.compile("|".join(rf"(?<!\w){re.escape(w)}(?!\w)" for w in found), re.I) if found else None
        )

    def fact(self, prompt: Any, answer: Any) -> str:
        """The keyed digest of a fact.

        Args:
            prompt: As it was asked.
            answer: As it was to be forgotten.

        Returns:
            `hmac-sha256:` and HMAC-SHA-256 of the canonical JSON of `[prompt, answer]`.
        """
        return f"hmac-sha256:{hmac.new(self._key, canonical([prompt, answer]), hashlib.sha256).hexdigest()}"

    def plain(self, value: Any, name: str = "") -> Any:
        """JSON without texts of the data.

        Args:
            value: As JSON holds it.
            name: Of the field that holds it.

        Returns:
            The same structure: numbers as they are, texts of `KEPT` fields without the facts' words, others left out.
        """
        if isinstance(value, str):
            return self.clean(value) if name in KEPT or value in NUMBERS_AS_TEXT else SEALED
        if isinstance(value, Mapping):
            return {self.clean(str(k)): self.plain(v, str(k)) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [self.plain(v, name) for v in value]
        return value

    def clean(self, text: str) -> str:
        """A text without the words of any fact."""
        return self._words.sub(SEALED, text) if self._words is not None else text

    def metrics(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """`metrics.json` of a run: completions say whether they held the answer, and no more."""
        kept = {k: v for k, v in found.items() if k not in ("completions", "digest")}
        if isinstance(kept.get("edit"), Mapping):
            kept["edit"] = {k: v for k, v in kept["edit"].items() if k != "request_digest"}
        completions = [
            {
                "fact": self.fact(one.get("prompt"), one.get("answer")),
                "answered_before": _holds(one.get("before"), one.get("answer")),
                "answered_after": _holds(one.get("after"), one.get("answer")),
            }
            for one in found.get("completions", ())
        ]
        return {**self.plain(kept), "completions": completions}

    def facts(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """`facts.json` for the page: a short digest for each prompt, numbers as they are."""
        listed = []
        for one in found.get("facts", ()):
            digest = self.fact(one.get("prompt"), one.get("answer")).partition(":")[2]
            sides = {side: {**(one.get(side) or {}), "completion": None} for side in ("before", "after")}
            name = {"id": "", "prompt": f"fact {digest[:SHOWN]}", "subject": None, "answer": SEALED}
            listed.append({**name, "set": one.get("set"), **self.plain(sides)})
        rest = {k: v for k, v in found.items() if k != "facts"}
        return {**self.plain(rest), "facts": listed}

    def log(self, text: str) -> str:
        """`log.jsonl`: every event, its texts left out. A line that is no JSON is dropped."""
        lines = []
        for line in text.splitlines():
            try:
                lines.append(json.dumps(self.plain(json.loads(line))))
            except (ValueError, RecursionError):
                continue
        return "".join(f"{line}\n" for line in lines)


def facts_of(files: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Find the facts that a run's files hold in words.

    Args:
        files: `facts.json` and `metrics.json`, as read.

    Returns:
        Mappings with `prompt`, `answer` and, where it is known, `subject`, each fact once.
    """
    found: dict[tuple[Any, Any], dict[str, Any]] = {}
    for file in files:
        for one in (*file.get("facts", ()), *file.get("completions", ())):
            fact = {"set": one.get("set", "forget"), "prompt": one.get("prompt"), "answer": one.get("answer")}
            span = one.get("subject")
            if isinstance(span, list) and isinstance(fact["prompt"], str):
                fact["subject"] = fact["prompt"][span[0] : span[1]]
            found.setdefault((fact["prompt"], fact["answer"]), fact)
    return list(found.values())


def _texts(fact: Mapping[str, Any]) -> Iterable[str]:
    return (fact[name] for name in ("prompt", "answer", "subject") if isinstance(fact.get(name), str))


def _holds(said: Any, answer: Any) -> bool:
    return isinstance(said, str) and isinstance(answer, str) and answer.strip().lower() in said.lower()
