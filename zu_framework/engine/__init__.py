"""The core: plugins and their registry, the run loop, writing and undo, run folders."""
