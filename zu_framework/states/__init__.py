"""States that make a model say a text: optimised a request each, by the layers above the module where that is exact.

What target builders share. `optimise` moves a module's output at the read positions of a plan until the model goes on
with the wanted text.
"""

from zu_framework.states.batches import memory, optimise
from zu_framework.states.captures import Captures
from zu_framework.states.descent import Optimised

__all__ = ["Captures", "Optimised", "memory", "optimise"]
