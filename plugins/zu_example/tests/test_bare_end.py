"""The contract of collectors, for bare-end."""

from zu_framework.testing import CollectorContract


class TestBareEnd(CollectorContract):
    collector = "bare-end"
