"""The command line, thin: parse, call, print."""

from zu_framework.cli.app import main

__all__ = ["main"]
