"""The plugins that ship with the framework, a package each: what it offers stands in its `plugin.py`."""
