"""Metrics of greedy continuations: their fluency, and how much of a true answer they hold."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from zu_framework import DataSplit, Measurement, Request, Scorer
from zu_framework.evaluation import mean, ratio, stands_in
from zu_plugins.metrics.options import ContainsOptions, ContinuationOptions, RougeOptions

# ROME weighs bigrams and trigrams by 2/3 and 4/3 and takes the mean of the two (its compute_n_gram_entropy)
WEIGHTS = {2: 2 / 3, 3: 4 / 3}


def fluency(scorer: Scorer, data: DataSplit, options: ContinuationOptions) -> Measurement | None:
    """Mean weighted n-gram entropy, in bits, of what the model says after the forget prompts; repetition lowers it."""
    texts = scorer.completions([request.prompt for request in data.forget], options.max_new_tokens)
    return mean(
        [n_gram_entropy(text) for text in texts],
        definition="mean over forget prompts of the weighted entropy (bits) of the bigrams (2/3) and trigrams (4/3) "
        f"of a greedy continuation of at most {options.max_new_tokens} tokens",
    )


def contains(scorer: Scorer, data: DataSplit, options: ContainsOptions) -> Measurement | None:
    """Share of forget facts whose true answer, or an alias, stands in what the model says; lower is better.

    As words of their own, case and accents folded: what a chat model answers in a sentence is found too.
    """
    said = scorer.completions([request.prompt for request in data.forget], options.max_new_tokens)
    found = [
        stands_in((request.answer, *request.aliases), text)
        for request, text in zip(data.forget, said, strict=True)
    ]
    return ratio(
        [float(hit) for hit in found],
        [1.0] * len(found),
        grain="fact",
        unit="%",
        definition="share of forget facts whose true answer, or an alias, stands in a greedy continuation of "
        f"at most {options.max_new_tokens} tokens",
    )


def forget_rouge(scorer: Scorer, data: DataSplit, options: RougeOptions) -> Measurement | None:
    """Mean ROUGE-L recall of the true answer in what the model says, over forget facts; lower is better."""
    return mean(rouge_recalls(scorer, data.forget, options), definition=ROUGE.format("forget facts", options))


def retain_rouge(scorer: Scorer, data: DataSplit, options: RougeOptions) -> Measurement | None:
    """Mean ROUGE-L recall of the true answer in what the model says, over facts to retain; higher is better."""
    return mean(
        rouge_recalls(scorer, data.retain, options), definition=ROUGE.format("facts to retain", options)
    )


ROUGE = (
    "mean over {0} of ROUGE-L recall: longest common subsequence of words, over the words of the true answer; "
    "greedy, at most {1.max_new_tokens} tokens"
)


def rouge_recalls(scorer: Scorer, requests: Sequence[Request], options: RougeOptions) -> list[float]:
    """Compute the ROUGE-L recall of each request's answer in the model's greedy continuation.

    Args:
        scorer: Of the model.
        requests: One whose answer holds no word is left out.
        options: How many tokens a continuation may have.

    Returns:
        A number from 0 to 1 a request, in order.
    """
    texts = scorer.completions([request.prompt for request in requests], options.max_new_tokens)
    return [
        rouge_l_recall(request.answer, text)
        for request, text in zip(requests, texts, strict=True)
        if words(request.answer)
    ]


def words(text: str) -> list[str]:
    """Split a text into words: lower-cased runs of letters and digits, of any script.

    Args:
        text: Of any language.

    Returns:
        The words, in order.
    """
    return re.findall(r"[^\W_]+", text.lower())


def rouge_l_recall(reference: str, text: str) -> float:
    """Divide the longest common subsequence of words by the words of the reference.

    Args:
        reference: Holds at least one word.
        text: Is compared with it.

    Returns:
        From 0 to 1.
    """
    wanted, given = words(reference), words(text)
    longest = [0] * (len(given) + 1)  # of the words of `wanted` so far, and of each beginning of `given`
    for word in wanted:
        above = longest[:]
        for at, other in enumerate(given, start=1):
            longest[at] = above[at - 1] + 1 if word == other else max(above[at], longest[at - 1])
    return longest[-1] / len(wanted)


def n_gram_entropy(text: str) -> float:
    """Average the weighted entropies of a text's bigrams and trigrams.

    Args:
        text: Split into words and single marks.

    Returns:
        In bits; 0 where the text has no bigram.
    """
    tokens = re.findall(r"\w+|[^\w\s]", text)
    weighted = []
    for n, weight in WEIGHTS.items():
        counts = Counter(zip(*(tokens[shift:] for shift in range(n)), strict=False))
        total = sum(counts.values())
        entropy = -math.fsum(c / total * math.log2(c / total) for c in counts.values()) if total else 0.0
        weighted.append(weight * entropy)
    return math.fsum(weighted) / len(weighted)
