"""`python -m tests.benchmarks`: the solvers; `python -m tests.benchmarks.background`: the background sweep."""

from tests.benchmarks.solvers import main

main()
