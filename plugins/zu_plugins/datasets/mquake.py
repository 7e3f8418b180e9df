"""MQuAKE (Zhong et al. 2023): single-hop edits as facts to forget, multi-hop questions as what follows from them.

A record chains two to four hops, and edits some. As in the ZeroUnlearn evaluation each edited hop is a fact of its own:
its cloze is the prompt, `target_true` the answer. Records share hops, and a fact must not be in the forget and in the
retained half at once: equal facts are one request, with the questions of all their records.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from zu_framework import DataSplit, Probe, Request
from zu_framework.data import Record, by_protocol, distinct, read_records
from zu_plugins.datasets.counterfact import filled_prompt

NAMES = ("MQuAKE-CF-3k-v2", "MQuAKE-CF-3k", "MQuAKE-CF", "MQuAKE-T", "mquake")


def load(options: Any, seed: int) -> DataSplit:
    """The single-hop facts of an MQuAKE file, drawn by the protocol.

    Every record is checked, whether drawn or not.
    """
    records = read_records(options.path, NAMES, options.split)
    requests = distinct([request for record in records for request in requests_of(record)])
    return by_protocol(requests, options.protocol, options.forget, options.retain, seed, options.path)


def requests_of(record: Record) -> Iterator[Request]:
    """A request for each edited hop; the multi-hop questions belong to those on the way to the true answer.

    An edit further down the chain may be of a fact that only the edits before it lead to (who directs Madonna, once she
    is said to sing Hey Jude): the true answer does not follow from that one.
    """
    hops = {hop.text("cloze").rstrip(): hop for hop in record.objects("single_hops")}
    answer, aliases = record.text("answer"), record.texts_or_none("answer_alias")
    questions = tuple(Probe(text, answer, aliases) for text in record.texts("questions"))
    for number, rewrite in enumerate(record.objects("requested_rewrite"), 1):
        subject, truth = rewrite.stripped("subject"), rewrite.inside("target_true").stripped("str")
        prompt, start = filled_prompt(rewrite, subject)
        hop = hops.get(prompt)
        on_the_way = hop is not None and hop.stripped("answer") == truth
        case = record.label("case_id", "")
        yield Request(
            prompt=prompt,
            answer=truth,
            subject=subject,
            subject_start=start,
            id=f"{case}-{number}" if case else "",
            paraphrases=(rewrite.text("question"),) if "question" in rewrite.fields else (),
            source=f"{record.where}, requested_rewrite[{number - 1}]",
            alternative=rewrite.inside("target_new").stripped("str")
            if "target_new" in rewrite.fields
            else None,
            implied=questions if on_the_way else (),
            aliases=hop.texts_or_none("answer_alias") if hop is not None and on_the_way else (),
        )
