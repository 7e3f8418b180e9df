"""Keys and values of requests at a site, averaged over contexts.

Source: the published implementation's context templates (five samples of ten tokens after "The", "Therefore",
"Because", "I", "You") and its mean of means: the bare prompt weighs 1/2, each context 1/10.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import torch
from einops import einsum, rearrange

from zu_framework import (
    Collector,
    DataError,
    LanguageModel,
    ReadPlan,
    ReadPrompt,
    Representations,
    Request,
    RunContext,
    Site,
)
from zu_framework.models import read_states, row_of
from zu_plugins.collectors.options import ContextOptions

BEFORE = "Here is a fact. "  # stands before a subject that must not come first, where no context does
FIRST = (
    "{moved} of {count} facts begin with their subject, and this model's first token is an attention sink: they are "
    "read behind a context only"
)


class SubjectLast(Collector):
    """Reads the token that holds the subject's last character."""

    at_end = False  # whether that is the last token of all that the model reads before it answers

    def __init__(self, options: ContextOptions, context: RunContext) -> None:
        self.options = options
        self.context = context
        self._sampled: list[tuple[str, str]] | None = None

    def read_end(self, request: Request) -> int:
        """Return the character before which a request's prompt is read.

        Raises:
            DataError: The request has no subject.
        """
        if request.subject_end is None:
            raise DataError(
                f"{request.source or request.prompt!r}: no subject, which collector 'subject-last' reads; "
                "use collector.name=prompt-last"
            )
        return request.subject_end

    def plan(self, lm: LanguageModel, requests: Sequence[Request]) -> ReadPlan:
        """Return which texts are read: the bare prompt first, then the prompt in each context, sampled once.

        Where the first token of a text is an attention sink, a prompt that would be read there is read behind a context
        instead, and so is its anchor: what a sink holds says nothing of the subject.
        """
        prefixes = self._templates(lm)
        away = next((before for before, _ in prefixes if before.strip()), BEFORE)
        rows, anchors, moved = [], [], 0
        for request in requests:
            alone = [request, *(_in_case(request, case) for case in self.options.cases)]
            bare = [self._prompt(said, "", "") for said in alone]
            on_a_sink = [self._on_a_sink(lm, prompt) for prompt in bare]
            moved += on_a_sink[0]
            bare = [
                self._prompt(said, away, "") if sunk else prompt
                for said, prompt, sunk in zip(alone, bare, on_a_sink, strict=True)
            ]
            contexts = [self._prompt(request, before, after) for before, after in prefixes]
            anchor = (
                None
                if request.subject is None
                else ReadPrompt(f"{request.subject} is a", len(request.subject))
            )
            if anchor is not None and self._on_a_sink(lm, anchor):
                anchor = ReadPrompt(away + anchor.text, len(away) + anchor.read_end)
            rows.append((bare[0], *contexts, *bare[1:]))
            anchors.append(anchor)
        others = len(prefixes) + len(self.options.cases)
        bare_weight = self.options.bare_weight if others else 1.0
        shares = [(1 - bare_weight) / others] * others if others else []
        notes = (FIRST.format(moved=moved, count=len(requests)),) if moved else ()
        return ReadPlan(tuple(requests), tuple(rows), (bare_weight, *shares), tuple(anchors), notes)

    def _prompt(self, request: Request, before: str, after: str) -> ReadPrompt:
        end = self.read_end(request)
        return ReadPrompt(before + request.prompt + after, len(before) + end, self.at_end and not after)

    def _on_a_sink(self, lm: LanguageModel, prompt: ReadPrompt) -> bool:
        """Whether a prompt is read at its first token, and this model's first token is an attention sink."""
        if self.context.sinks is None or row_of(lm, prompt).position != 0:
            return False
        return self.context.sinks(lm).first

    def retained(self, requests: Sequence[Request], retain: Sequence[Request]) -> list[Request]:
        """Return the facts to retain, and forget prompts that ask the same of others (`substitutes`).

        Such a prompt is known to no data set: it stands for the neighbours that a change at its wording may reach. A
        fact to retain whose subject is also to be forgotten lends it to none.
        """
        forgotten = {request.subject for request in requests}
        subjects = sorted({r.subject for r in retain if r.subject is not None} - forgotten)
        draw = random.Random(self.context.seed)
        asked = [r for r in requests if r.subject is not None] if self.options.substitutes else []
        known = {r.prompt for r in (*requests, *retain)}
        made = []
        for request in asked:
            assert request.subject_start is not None and request.subject_end is not None
            before, after = request.prompt[: request.subject_start], request.prompt[request.subject_end :]
            # two facts of one wording ask the same of others: each question counts once
            free = [subject for subject in subjects if before + subject + after not in known]
            for subject in draw.sample(free, min(self.options.substitutes, len(free))):
                prompt = before + subject + after
                known.add(prompt)
                made.append(Request(prompt, request.answer, subject=subject, subject_start=len(before)))
        return [*retain, *made]

    def collect(self, lm: LanguageModel, plan: ReadPlan, site: Site) -> Representations:
        """Return keys and values, averaged over contexts or a column each, and those of the bare prompts."""
        prompts = [prompt for row in plan.prompts for prompt in row]
        keys, outputs = read_states(
            lm, [site.module], prompts, self.context.batch_size, progress=self.context.progress
        )[site.module]
        assert keys is not None and outputs is not None
        bias = lm.bias(site)
        values = outputs if bias is None else outputs - bias.to(outputs)[:, None]
        weights = torch.tensor(plan.weights, dtype=torch.float64, device=keys.device)  # (c,)
        keys = rearrange(keys, "i (n c) -> i n c", c=len(plan.weights))
        values = rearrange(values, "o (n c) -> o n c", c=len(plan.weights))
        bare = {"bare_keys": keys[..., 0].contiguous(), "bare_values": values[..., 0].contiguous()}
        if self.options.average:
            return Representations(
                keys=einsum(keys.double(), weights, "i n c, c -> i n").to(keys.dtype),
                values=einsum(values.double(), weights, "o n c, c -> o n").to(values.dtype),
                **bare,
            )
        # (n c,): squared errors then weigh as the contexts do
        scale = weights.sqrt().repeat(len(plan.requests))
        return Representations(
            keys=rearrange(keys, "i n c -> i (n c)") * scale.to(keys),
            values=rearrange(values, "o n c -> o (n c)") * scale.to(values),
            request_of=torch.arange(len(plan.requests), device=keys.device).repeat_interleave(len(weights)),
            scale=scale,
            **bare,
        )

    def _templates(self, lm: LanguageModel) -> list[tuple[str, str]]:
        """Text before and after the prompt, for each context."""
        if self.options.contexts == "none":
            return []
        if self.options.contexts == "fixed":
            return [_split(template) for template in self.options.templates]
        if self._sampled is None:
            starts = self.options.starts
            said = lm.sample(starts, self.options.length, self.context.seed)
            self._sampled = [
                (_sentence(start + rest) + " ", "") for start, rest in zip(starts, said, strict=True)
            ]
        return self._sampled


class PromptLast(SubjectLast):
    """Reads the prompt's last token; under a chat template the one after which the model answers."""

    at_end = True

    def read_end(self, request: Request) -> int:
        """Return the end of the prompt."""
        return len(request.prompt)


def _in_case(request: Request, case: str) -> Request:
    """Return a request with its subject in small (lower) or capital letters (upper), where it has a subject."""
    if request.subject is None:
        return request
    subject = request.subject.lower() if case == "lower" else request.subject.upper()
    assert request.subject_start is not None
    before, after = request.prompt[: request.subject_start], request.prompt[request.subject_end :]
    return replace(request, prompt=before + subject + after, subject=subject)


def _split(template: str) -> tuple[str, str]:
    before, _, after = template.partition("{}")
    return before, after


def _sentence(text: str) -> str:
    """Sampled text on one line, closed like a sentence, so that a prompt can follow it."""
    line = " ".join(text.split())
    return line if line.endswith((".", "!", "?")) else f"{line}."
