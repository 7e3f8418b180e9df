"""zsRE in the schema of MEND (Mitchell et al. 2022), as the ZeroUnlearn evaluation reads it.

No neutral text is given with the facts: the target builder's own default, the EOS of the *model's* tokenizer, holds.
The published code writes GPT-2's "<|endoftext|>" for every model, which most tokenizers split into pieces.
"""

from __future__ import annotations

from typing import Any

from zu_framework import DataSplit, Probe, Request
from zu_framework.data import Record, by_protocol, place_of, read_records

NAMES = ("zsre_mend_eval", "zsre_mend_train", "zsre")


def load(options: Any, seed: int) -> DataSplit:
    """The facts of a zsRE file, drawn by the protocol.

    Every record is checked, whether drawn or not.
    """
    requests = [request_of(record) for record in read_records(options.path, NAMES, options.split)]
    return by_protocol(requests, options.protocol, options.forget, options.retain, seed, options.path)


def request_of(record: Record) -> Request:
    """A record as a request: the question `src`, the first of `answers`, `rephrase`, and the locality question.

    That one ("nq question: ...") comes without its question mark, which every published evaluation puts there.
    """
    prompt, subject = record.text("src"), record.stripped("subject")
    answers = record.texts("answers")
    if not answers:
        raise record.error("answers", "is empty: the first one is the answer to forget")
    return Request(
        prompt=prompt,
        answer=answers[0],
        aliases=answers[1:],
        subject=subject,
        subject_start=place_of(record, prompt, subject),
        id=record.label("case_id", ""),
        paraphrases=(record.text("rephrase"),),
        neighbours=(Probe(f"{record.text('loc').rstrip().removesuffix('?')}?", record.text("loc_ans")),),
        source=record.where,
        alternative=record.stripped("alt") if record.fields.get("alt") else None,
    )
