"""Optimisers of a learner: one Adam a network, and the schedule of the learning rates in a round."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aral.learners.nets import Nets
from aral.learners.settings import Adam, LearnerSettings, Net, Training


def rate_factor(index: int, steps: int, training: Training) -> float:
    """The learning rate's factor in step ``index`` of ``steps``: rising, then constant, then linear to zero."""
    progress = index / max(1, steps)
    rising = min(1.0, (index + 1) / training.warm_up) if training.warm_up else 1.0
    if progress <= training.flat_share:
        return rising
    return rising * (1.0 - progress) / (1.0 - training.flat_share)


def in_memory_order_of(parameter: Tensor, gradient: Tensor) -> Tensor:
    """The gradient with its numbers in memory in the order of the parameter's.

    Convolutions of channels-last maps give channels-last gradients, and PyTorch's fused Adam on a CPU pairs
    numbers by their place in memory (seen with 2.14): it would move the wrong weights.
    """
    if gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter).copy_(gradient)


def adam(parameters: list[nn.Parameter], settings: Adam) -> torch.optim.AdamW:
    """Adam for one network; matrices and kernels decay, biases and batch norm's gains do not.

    Without decay all parameters keep their order, by which checkpoints number their moments.
    """
    by_decay: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for parameter in parameters:
        by_decay[settings.weight_decay > 0 and parameter.ndim > 1].append(parameter)
    groups = [
        {"params": by_decay[True], "weight_decay": settings.weight_decay},
        {"params": by_decay[False], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.rate, betas=(settings.beta1, settings.beta2), fused=True)


class NetOptimisers:
    """One Adam a network, stepping only in the phases that train it.

    Args:
        nets: the networks.
        settings: rates and moments, and the schedule of the rates in a round.
        scale: a factor on every rate, halved after steps that were not finite.
    """

    def __init__(self, nets: Nets, settings: LearnerSettings, scale: float = 1.0) -> None:
        self.scale = scale
        self._settings = settings
        self._parameters = {net: list(module.parameters()) for net, module in nets.modules.items()}
        self._optimisers = {
            net: adam(parameters, settings.optimisers.of(net)) for net, parameters in self._parameters.items()
        }

    def step(self, loss: Float[Tensor, ""], trains: frozenset[Net], index: int, steps: int) -> bool:
        """One Adam step down ``loss`` for the networks in ``trains``; every other network is left alone.

        Args:
            loss: a phase's weighted total.
            trains: the networks that move.
            index: the training step, from 0.
            steps: how many there are in this round.

        Returns:
            Whether the step was taken: with a loss or gradient that is not finite, nothing moves.
        """
        nets = sorted(trains)
        parameters = [parameter for net in nets for parameter in self._parameters[net]]
        if not loss.requires_grad:  # every weight of the phase is zero
            return True
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True, retain_graph=True)
        used = [gradient for gradient in gradients if gradient is not None]
        norm = torch.nn.utils.get_total_norm(used, foreach=True)
        if not bool(torch.isfinite(loss) & torch.isfinite(norm)):
            return False
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = None if gradient is None else in_memory_order_of(parameter, gradient)
        training = self._settings.training
        factor = rate_factor(index, steps, training) * self.scale
        for net in nets:
            optimiser = self._optimisers[net]
            rate = max(self._settings.optimisers.of(net).rate * factor, training.rate_floor)
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        return True

    def state_dict(self) -> dict[str, Tensor]:
        """Moments and step counts by network and parameter number, and the rate scale."""
        state = {"scale": torch.tensor(self.scale, dtype=torch.float64)}
        for net, optimiser in self._optimisers.items():
            for number, moments in optimiser.state_dict()["state"].items():
                state |= {f"{net}.{number}.{name}": value for name, value in moments.items()}
        return state

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what :meth:`state_dict` gave."""
        self.scale = float(state["scale"])
        for net, optimiser in self._optimisers.items():
            moments: dict[int, dict[str, Tensor]] = {}
            for name, value in state.items():
                if name.startswith(f"{net}."):
                    _, number, moment = name.split(".")
                    moments.setdefault(int(number), {})[moment] = value
            groups = optimiser.state_dict()["param_groups"]
            optimiser.load_state_dict({"state": moments, "param_groups": groups})
