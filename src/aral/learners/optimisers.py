"""Optimisers of a learner: one Adam a network, and the schedule of the learning rates in a round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim.adamw import adamw

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


class NetAdam:
    """Adam for one network; matrices and kernels decay, biases and batch norm's gains do not.

    It is PyTorch's functional AdamW, fused. The class of ``torch.optim`` imports PyTorch's compiler, which is never
    used: 150 MB and a second of every start. A parameter without a gradient keeps its moments and its count of steps.

    Args:
        parameters: of the network.
        settings: moments and decay.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], settings: Adam) -> None:
        self._settings = settings
        decays = [settings.weight_decay > 0 and parameter.ndim > 1 for parameter in parameters]
        # Those with decay come first: checkpoints number the moments in this order.
        by_decay = [
            [p for p, d in zip(parameters, decays, strict=True) if d is wanted] for wanted in (True, False)
        ]
        self._groups = list(zip(by_decay, (settings.weight_decay, 0.0), strict=True))
        self._moments: dict[nn.Parameter, Moments] = {}

    @torch.no_grad()
    def step(self, gradients: Mapping[nn.Parameter, Tensor], rate: float) -> None:
        """Move the parameters that have a gradient, in place."""
        for parameters, decay in self._groups:
            moved = [parameter for parameter in parameters if parameter in gradients]
            self._moments |= {each: Moments.new(each) for each in moved if each not in self._moments}
            moments = [self._moments[each] for each in moved]
            adamw(
                cast(list[Tensor], moved),
                [in_memory_order_of(each, gradients[each]) for each in moved],
                [each.exp_avg for each in moments],
                [each.exp_avg_sq for each in moments],
                [],
                [each.step for each in moments],
                fused=True,
                amsgrad=False,
                beta1=self._settings.beta1,
                beta2=self._settings.beta2,
                lr=rate,
                weight_decay=decay,
                eps=1e-8,
                maximize=False,
            )

    def state_dict(self) -> dict[str, Tensor]:
        """``NUMBER.NAME`` of each moment."""
        return {
            f"{number}.{name}": value
            for number, parameter in enumerate(self._ordered)
            if parameter in self._moments
            for name, value in vars(self._moments[parameter]).items()
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`state_dict` gave.

        Raises:
            KeyError: a moment is missing.
            RuntimeError: the moments are of other parameters.
        """
        found: dict[nn.Parameter, Moments] = {}
        for number in {int(name.partition(".")[0]) for name in state}:
            if number >= len(self._ordered):
                raise RuntimeError(f"moments of parameter {number}, of {len(self._ordered)}")
            parameter = self._ordered[number]
            moments = Moments.new(parameter)
            for name, value in vars(moments).items():
                value.copy_(state[f"{number}.{name}"])
            found[parameter] = moments
        self._moments = found

    @property
    def _ordered(self) -> list[nn.Parameter]:
        return [parameter for parameters, _ in self._groups for parameter in parameters]


@dataclass(frozen=True, eq=False)
class Moments:
    """What Adam remembers of one parameter; the names are those in checkpoints."""

    step: Float[Tensor, ""]
    exp_avg: Tensor
    exp_avg_sq: Tensor

    @staticmethod
    def new(parameter: Tensor) -> Moments:
        """Before the first step."""
        zero = torch.zeros((), dtype=torch.float32, device=parameter.device)
        return Moments(zero, torch.zeros_like(parameter), torch.zeros_like(parameter))


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
            net: NetAdam(parameters, settings.optimisers.of(net))
            for net, parameters in self._parameters.items()
        }

    def step(self, loss: Float[Tensor, ""], trains: frozenset[Net], index: int, steps: int) -> bool:
        """One Adam step down ``loss``: :meth:`gradients`, then :meth:`move`."""
        return self.move(loss, self.gradients(loss, trains), trains, index, steps)

    def gradients(
        self, loss: Float[Tensor, ""], trains: frozenset[Net], keep_graph: bool = True
    ) -> dict[nn.Parameter, Tensor]:
        """The gradient of a phase's weighted total with respect to the weights of some networks.

        Args:
            loss: the total.
            trains: the networks.
            keep_graph: whether what the loss was computed from can be used for another gradient.

        Returns:
            Of each parameter that the loss depends on; empty where every weight of the phase is zero.
        """
        parameters = [parameter for net in sorted(trains) for parameter in self._parameters[net]]
        if not loss.requires_grad:
            return {}
        found = torch.autograd.grad(loss, parameters, allow_unused=True, retain_graph=keep_graph)
        return {p: gradient for p, gradient in zip(parameters, found, strict=True) if gradient is not None}

    def move(
        self,
        loss: Float[Tensor, ""],
        gradients: Mapping[nn.Parameter, Tensor],
        trains: frozenset[Net],
        index: int,
        steps: int,
    ) -> bool:
        """One Adam step for the networks in ``trains``; every other network is left alone.

        Args:
            loss: a phase's weighted total.
            gradients: of it, by parameter.
            trains: the networks that move.
            index: the training step, from 0.
            steps: how many there are in this round.

        Returns:
            Whether the step was taken: with a loss or gradient that is not finite, nothing moves.
        """
        if not gradients:
            return True
        norm = torch.nn.utils.get_total_norm(list(gradients.values()), foreach=True)
        if not bool(torch.isfinite(loss) & torch.isfinite(norm)):
            return False
        training = self._settings.training
        factor = rate_factor(index, steps, training) * self.scale
        for net in sorted(trains):
            rate = max(self._settings.optimisers.of(net).rate * factor, training.rate_floor)
            self._optimisers[net].step(gradients, rate)
        return True

    def state_dict(self) -> dict[str, Tensor]:
        """Moments and step counts by network and parameter number, and the rate scale."""
        state = {"scale": torch.tensor(self.scale, dtype=torch.float64)}
        for net, optimiser in self._optimisers.items():
            state |= {f"{net}.{name}": value for name, value in optimiser.state_dict().items()}
        return state

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what :meth:`state_dict` gave."""
        self.scale = float(state["scale"])
        for net, optimiser in self._optimisers.items():
            start = f"{net}."
            own = {name.removeprefix(start): value for name, value in state.items() if name.startswith(start)}
            optimiser.load_state_dict(own)
