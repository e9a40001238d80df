"""``python -m cyclecast``: the same as the ``cyclecast`` script; what ``torchrun -m`` starts."""

from cyclecast.cli import main

main()
