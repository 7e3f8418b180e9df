"""What lies on disk: cache, factors, run folders, edits and their undo, ledgers, checkpoints, adapters."""
