"""The tutorials' plugin: one component of each kind that a stranger adds, two files each."""
