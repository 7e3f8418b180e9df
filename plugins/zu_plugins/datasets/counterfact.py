"""CounterFact in its published schema (ROME, Meng et al. 2022), and in the one-paraphrase schema that editors read."""

from __future__ import annotations

from typing import Any

from zu_framework import DataSplit, Probe, Request
from zu_framework.data import Record, by_protocol, filled, place_of, read_records

# as ROME, MEMIT and EasyEdit call their files
NAMES = ("counterfact", "multi_counterfact", "counterfact-edit", "counterfact-train", "counterfact-val")


def load(options: Any, seed: int) -> DataSplit:
    """The facts of a CounterFact file, drawn by the protocol.

    Every record is checked, whether drawn or not.
    """
    requests = [request_of(record) for record in read_records(options.path, NAMES, options.split)]
    return by_protocol(requests, options.protocol, options.forget, options.retain, seed, options.path)


def request_of(record: Record) -> Request:
    """A record as a request: the answer is the true one, `target_true`; neighbours share it."""
    if "requested_rewrite" not in record.fields and "rephrase_prompt" in record.fields:
        return _edit_request(record)
    rewrite = record.inside("requested_rewrite")
    subject, answer = rewrite.stripped("subject"), rewrite.inside("target_true").stripped("str")
    prompt, start = filled_prompt(rewrite, subject)
    return Request(
        prompt=prompt,
        answer=answer,
        subject=subject,
        subject_start=start,
        id=record.label("case_id", ""),
        paraphrases=record.texts("paraphrase_prompts"),
        neighbours=tuple(Probe(text, answer) for text in record.texts("neighborhood_prompts")),
        source=record.where,
        alternative=rewrite.inside("target_new").stripped("str") if "target_new" in rewrite.fields else None,
        paraphrased_answer=record.stripped_or_none("paraphrased_answer"),
        perturbed_answers=record.texts_or_none("perturbed_answer"),
    )


def _edit_request(record: Record) -> Request:
    """The edit schema (EasyEdit's `counterfact-edit`): a full prompt, one paraphrase, one probe that must stay."""
    prompt, subject = record.text("prompt"), record.stripped("subject")
    return Request(
        prompt=prompt,
        answer=record.text("ground_truth"),
        subject=subject,
        subject_start=place_of(record, prompt, subject),
        id=record.label("case_id", ""),
        paraphrases=(record.text("rephrase_prompt"),),
        neighbours=(Probe(record.text("locality_prompt"), record.text("locality_ground_truth")),),
        source=record.where,
        alternative=record.stripped("target_new"),
    )


def filled_prompt(record: Record, subject: str) -> tuple[str, int]:
    """The prompt with the subject at its `{}`, and the character at which the subject starts."""
    prompt, start = filled(record, "prompt", record.text("prompt"), subject)
    if start is None:
        raise record.error("prompt", f"holds no {{}} for the subject: {prompt!r}")
    return prompt, start
