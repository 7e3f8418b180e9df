"""CounterFact in its published schema (ROME, Meng et al. 2022), and in the one-paraphrase schema that editors read."""

from __future__ import annotations

from typing import Any

from zu_framework import DataError, DataSplit, Probe, Request
from zu_plugins.datasets.protocol import by_protocol
from zu_plugins.datasets.records import Record, read_list
from zu_plugins.datasets.sources import Part, Source, hub_records

# as ROME, MEMIT and EasyEdit call their files
NAMES = ("counterfact", "multi_counterfact", "counterfact-edit", "counterfact-train", "counterfact-val")


def load(options: Any, seed: int) -> DataSplit:
    """The facts of a CounterFact file, drawn by the protocol. Every record is checked, whether drawn or not."""
    requests = [request_of(record) for record in read_records(options.path, NAMES, options.split)]
    return by_protocol(requests, options.protocol, options.forget, options.retain, seed, options.path)


def read_records(path: str, names: tuple[str, ...], split: str) -> list[Record]:
    """The records of a set that is one list: a JSON file, a folder that holds one of `names`, or a hub data set."""
    source = Source(path)
    if source.on_hub:
        found = hub_records(path, "", split)
        if found is None:
            raise DataError(f"data set {path!r} has no split {split!r}: mend data.split")
        return found
    if source.file.is_dir():
        return source.read(Part(names, split=split))
    return read_list(path, "data.path")


def request_of(record: Record) -> Request:
    """A record as a request: the answer is the true one, `target_true`; neighbours share it."""
    if "requested_rewrite" not in record.fields and "rephrase_prompt" in record.fields:
        return _edit_request(record)
    rewrite = record.inside("requested_rewrite")
    template, subject = rewrite.text("prompt"), rewrite.text("subject")
    answer = rewrite.inside("target_true").text("str")
    prompt, start = filled(rewrite, template, subject)
    return Request(
        prompt=prompt,
        answer=answer,
        subject=subject,
        subject_start=start,
        id=record.label("case_id", ""),
        paraphrases=record.texts("paraphrase_prompts"),
        neighbours=tuple(Probe(text, answer) for text in record.texts("neighborhood_prompts")),
        source=record.where,
        alternative=rewrite.inside("target_new").text("str") if "target_new" in rewrite.fields else None,
        paraphrased_answer=record.text_or_none("paraphrased_answer"),
        perturbed_answers=record.texts_or_none("perturbed_answer"),
    )


def _edit_request(record: Record) -> Request:
    """The edit schema (EasyEdit's `counterfact-edit`): a full prompt, one paraphrase, one probe that must stay."""
    prompt, subject = record.text("prompt").rstrip(), record.text("subject")
    return Request(
        prompt=prompt,
        answer=record.text("ground_truth"),
        subject=subject,
        subject_start=occurrence(record, prompt, subject),
        id=record.label("case_id", ""),
        paraphrases=(record.text("rephrase_prompt"),),
        neighbours=(Probe(record.text("locality_prompt"), record.text("locality_ground_truth")),),
        source=record.where,
        alternative=record.text("target_new"),
    )


def occurrence(record: Record, prompt: str, subject: str) -> int:
    """Where the subject stands in a full prompt: its last occurrence. Raises `DataError` where it is not in there."""
    start = prompt.rfind(subject)
    if start < 0:
        raise record.error("subject", f"{subject!r} does not occur in the prompt {prompt!r}")
    return start


def filled(record: Record, template: str, subject: str) -> tuple[str, int]:
    """The prompt with the subject at its first `{}`, and the character at which the subject starts.

    By slicing: prompts and subjects may hold braces that `str.format` would read. A trailing space is cut, because
    the answer brings its own.
    """
    start = template.find("{}")
    if start < 0:
        raise record.error("prompt", f"holds no {{}} for the subject: {template!r}")
    after = template[start + 2 :].rstrip()
    return template[:start] + subject + after, start
