import sys
from dataclasses import dataclass

import torch

import zu_framework as zu


@dataclass
class HalfwayOptions:
    share: float = 0.5


def halfway(problem: zu.EditProblem, options: HalfwayOptions) -> zu.Update:
    """A part of the way to the targets, by least squares."""
    gap = (problem.targets - problem.values).double()
    return zu.Update(options.share * gap, torch.linalg.pinv(problem.keys.double()))


torch.manual_seed(0)
weight, keys, targets = torch.randn(8, 16), torch.randn(16, 2), torch.randn(8, 2)
problem = zu.EditProblem(weight, keys, weight @ keys, targets, None, zu.Background())
update = zu.solve(halfway, problem, share=1.0)
print((update.apply(weight) @ keys - targets).norm() < 1e-4)


@zu.hookimpl
def zu_register_solvers(register):
    register(zu.SolverSpec("halfway", "__main__:halfway", "part of the way", HalfwayOptions))


plugins = zu.plugins(extra=[sys.modules["__main__"]])
again = zu.solve("halfway", problem, plugins=plugins, share=1.0)
print(torch.equal(again.apply(weight), update.apply(weight)))
