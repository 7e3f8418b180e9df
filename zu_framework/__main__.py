"""`python -m zu_framework` is `zu`."""

from zu_framework.cli import main

main()
