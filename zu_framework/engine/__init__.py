"""The steps of a run, and the doors that take them: run, unlearn, check, eval, audit."""
