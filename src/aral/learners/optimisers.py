"""One Adam a network, stepping only for the phase that trains it."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from aral.learners.nets import Nets
from aral.learners.spec import Model, Net, Training


def rate_factor(progress: float, training: Training) -> float:
    """The learning rate's factor at a share ``progress`` in [0, 1] of a round: flat, then linear to zero."""
    if progress <= training.flat_share:
        return 1.0
    return (1.0 - progress) / (1.0 - training.flat_share)


class NetOptimisers:
    """The optimisers of a learner.

    Args:
        nets: the networks.
        model: rates and moments, and the course of the rates in a round.
        scale: a factor on every rate, lowered after trouble.
    """

    def __init__(self, nets: Nets, model: Model, scale: float = 1.0) -> None:
        self.scale = scale
        self._model = model
        self._parameters = {net: list(module.parameters()) for net, module in nets.modules.items()}
        self._optimisers = {
            net: torch.optim.Adam(
                parameters,
                lr=model.optimisers.of(net).rate,
                betas=(model.optimisers.of(net).beta1, model.optimisers.of(net).beta2),
                fused=True,
            )
            for net, parameters in self._parameters.items()
        }

    def descend(self, loss: Float[Tensor, ""], trains: frozenset[Net], progress: float) -> bool:
        """One step down ``loss`` for the networks in ``trains``; every other network is left alone.

        Args:
            loss: a phase's weighted total.
            trains: the networks that move.
            progress: share of the round that is over, in [0, 1].

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
            parameter.grad = gradient
        factor = rate_factor(progress, self._model.training) * self.scale
        for net in nets:
            optimiser = self._optimisers[net]
            rate = max(self._model.optimisers.of(net).rate * factor, self._model.training.rate_floor)
            optimiser.param_groups[0]["lr"] = rate
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
