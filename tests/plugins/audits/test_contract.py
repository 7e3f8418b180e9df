"""The shipped attacks are held to the contract that strangers' attacks are held to."""

from __future__ import annotations

from zu_framework.testing import AuditContract


class TestQuantize(AuditContract):
    audit = "quantize"
    options = {"schemes": ["int8", "q4_0"]}  # noqa: RUF012


class TestRelearn(AuditContract):
    audit = "relearn"
    options = {"steps": 4, "points": 1}  # noqa: RUF012


class TestSample(AuditContract):
    audit = "sample"
    options = {"k": 2, "draws": 8, "tokens": 3, "paraphrases": False}  # noqa: RUF012


class TestContext(AuditContract):
    audit = "context"
    options = {"ways": ["prefix", "long"]}  # noqa: RUF012


class TestWording(AuditContract):
    audit = "wording"
    options = {"ways": ["paraphrases", "spelling"]}  # noqa: RUF012


class TestLens(AuditContract):
    audit = "lens"


class TestDepth(AuditContract):
    audit = "depth"


class TestPrune(AuditContract):
    audit = "prune"
    options = {"shares": [0.1]}  # noqa: RUF012


class TestNoise(AuditContract):
    audit = "noise"
    options = {"sizes": [0.02], "draws": 1}  # noqa: RUF012


class TestDetect(AuditContract):
    audit = "detect"
    options = {"rank": 1, "sites": 1}  # noqa: RUF012
    finds = 0.0  # it takes what stands out of a model in which nothing does
