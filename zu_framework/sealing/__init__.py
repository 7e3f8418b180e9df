"""Sealing a run: what could bring the facts back is destroyed or encrypted, what proves their removal stays."""

from zu_framework.sealing.sealed_run import Sealed, seal, unseal
from zu_framework.sealing.verification import verify

__all__ = ["Sealed", "seal", "unseal", "verify"]
