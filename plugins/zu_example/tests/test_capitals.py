"""The contract of data sets, for capitals."""

from zu_framework.testing import DatasetContract


class TestCapitals(DatasetContract):
    dataset = "capitals"
