"""`python -m edgestill.cli`, the same as `edgestill`."""

from . import main

main()
