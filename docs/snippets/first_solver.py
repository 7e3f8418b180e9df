import torch

import zu_framework as zu

weight, keys, targets = torch.randn(64, 128), torch.randn(128, 5), torch.randn(64, 5)
problem = zu.EditProblem(
    weight=weight,
    keys=keys,
    values=weight @ keys,
    targets=targets,
    sensitive=None,
    background=zu.Background(),
)
update = zu.solve("ridge-remap", problem, ridge=0.1)
edited = update.apply(weight)
print(update.report["residual"], (edited @ keys - targets).norm())
