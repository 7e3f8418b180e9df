"""What the model says when it is let speak: greedy continuations, their fluency and what they give away."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from zu_framework import DataSplit, Measurement, Request, Scorer
from zu_framework.evaluation import mean
from zu_plugins.metrics.options import ContinuationOptions, RougeOptions

# ROME weighs bigrams and trigrams by 2/3 and 4/3 and takes the mean of the two (its compute_n_gram_entropy)
WEIGHTS = {2: 2 / 3, 3: 4 / 3}


def fluency(scorer: Scorer, data: DataSplit, options: ContinuationOptions) -> Measurement | None:
    """Mean weighted n-gram entropy, in bits, of what the model says after the forget prompts; repetition lowers it."""
    said = scorer.completions([request.prompt for request in data.forget], options.max_new_tokens)
    return mean(
        [n_gram_entropy(text) for text in said],
        definition="mean over forget prompts of the weighted entropy (bits) of the bigrams (2/3) and trigrams (4/3) "
        f"of a greedy continuation of at most {options.max_new_tokens} tokens",
    )


def forget_rouge(scorer: Scorer, data: DataSplit, options: RougeOptions) -> Measurement | None:
    """Mean ROUGE-L recall of the true answer in what the model says, over forget facts; lower is better."""
    return mean(rouge_recalls(scorer, data.forget, options), definition=ROUGE.format("forget facts", options))


def retain_rouge(scorer: Scorer, data: DataSplit, options: RougeOptions) -> Measurement | None:
    """Mean ROUGE-L recall of the true answer in what the model says, over facts to keep; higher is better."""
    return mean(
        rouge_recalls(scorer, data.retain, options), definition=ROUGE.format("facts to keep", options)
    )


ROUGE = (
    "mean over {0} of ROUGE-L recall: longest common subsequence of words, over the words of the true answer; "
    "greedy, at most {1.max_new_tokens} tokens"
)


def rouge_recalls(scorer: Scorer, requests: Sequence[Request], options: RougeOptions) -> list[float]:
    """ROUGE-L recall of each request's answer in the model's greedy answer."""
    said = scorer.completions([request.prompt for request in requests], options.max_new_tokens)
    return [
        rouge_l_recall(request.answer, text)
        for request, text in zip(requests, said, strict=True)
        if words(request.answer)
    ]


def words(text: str) -> list[str]:
    """Lower-cased runs of letters and digits, of any script."""
    return re.findall(r"[^\W_]+", text.lower())


def rouge_l_recall(reference: str, said: str) -> float:
    """Longest common subsequence of words, over the words of `reference`, which must hold one."""
    wanted, given = words(reference), words(said)
    longest = [0] * (len(given) + 1)  # of the words of `wanted` so far, and of each beginning of `given`
    for word in wanted:
        above = longest[:]
        for at, other in enumerate(given, start=1):
            longest[at] = above[at - 1] + 1 if word == other else max(above[at], longest[at - 1])
    return longest[-1] / len(wanted)


def n_gram_entropy(text: str) -> float:
    """Mean of the weighted entropies of a text's bigrams and trigrams, in bits; 0 where it has none."""
    tokens = re.findall(r"\w+|[^\w\s]", text)
    weighted = []
    for n, weight in WEIGHTS.items():
        counts = Counter(zip(*(tokens[shift:] for shift in range(n)), strict=False))
        total = sum(counts.values())
        entropy = -math.fsum(c / total * math.log2(c / total) for c in counts.values()) if total else 0.0
        weighted.append(weight * entropy)
    return math.fsum(weighted) / len(weighted)
