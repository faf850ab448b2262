"""One training run by several processes: the group, each one's part of a batch, and what all compute together.

Every process has the same networks and takes a part of each batch. A step is that of one process with the whole
batch: draws are made for the whole batch, statistics of the batch are those of all parts, and gradients are averaged.
So results do not depend on the number of processes, up to the rounding of sums.

A part is every ``count``-th row, not a block of rows: of two batches, concatenated, the parts are then the part of the
concatenation, so that a layer knows the place of its rows in the whole batch without knowing what they are.

``torchrun`` starts the processes; what it puts into the environment decides the group once, at the edge of the program
(:func:`joined`). ``DistributedDataParallel`` is not used: it averages in ``backward()``, of all parameters, while
a step here has phases that move some networks and take gradients of no others.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeAlias

import torch
import torch.distributed as dist
from jaxtyping import Float
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as serialise_tensors
from torch import Tensor

from aral.errors import BadInput, RunFailed, Stopped

STEP_SECONDS = 600.0
"""How long a process waits for the others within a training step before it ends."""

MESSAGE_SECONDS = 7 * 24 * 3600.0
"""… and between steps, where the process of rank 0 evaluates and queries alone; one that ends is noticed at once."""

_LARGE = 1 << 20
"""Tensors from this many numbers on are averaged on their own, without a copy."""

_DOCUMENT = "document"
END = "end"
"""The name of the message after which no other comes."""

Document: TypeAlias = Mapping[str, Any]


# --- Parts of a batch ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """Every ``count``-th row of a batch, from row ``index`` on."""

    index: int = 0
    count: int = 1

    @property
    def rows(self) -> slice:
        """The rows of the whole batch that belong to the part."""
        return slice(self.index, None, self.count)

    def drawn(self, draw: Callable[[tuple[int, ...]], Tensor], shape: Sequence[int]) -> Tensor:
        """The part's rows of random numbers that are drawn for the whole batch.

        Args:
            draw: gives numbers of a shape.
            shape: of the part; rows come first.
        """
        if self.count == 1:
            return draw(tuple(shape))
        return draw((shape[0] * self.count, *shape[1:]))[self.rows]


WHOLE = Part()
"""A batch that is not divided."""


# --- The group -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Message:
    """What the process of rank 0 tells the others.

    Attributes:
        name: what it is about.
        document: JSON.
        tensors: by name, on the CPU.
    """

    name: str
    document: Document = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """The processes that train together; a group of one communicates with nothing.

    Attributes:
        rank: of this process, from 0; that of rank 0 leads.
        size: how many there are.
        messages: PyTorch's process group for messages; ``None`` in a group of one.
        lost: what PyTorch said of processes that have ended or did not answer; nothing is then sent any more.
    """

    rank: int = 0
    size: int = 1
    messages: Any = field(default=None, compare=False, repr=False)
    lost: list[str] = field(default_factory=list, compare=False, repr=False)

    def gathered(self, values: Float[Tensor, "*shape"]) -> Float[Tensor, "R ..."]:
        """The tensors of all processes in order of rank; gradient flows back to each process's own.

        A process that then takes the gradient of its loss gets the gradient of the sum of all losses.
        """
        return _Gathered.apply(values, self)

    @torch.no_grad()
    def average(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The means over the processes, the same bits in all of them; large tensors are changed in place."""
        if self.size == 1:
            return list(tensors)
        found = [tensor.contiguous() for tensor in tensors]
        small = [number for number, tensor in enumerate(found) if tensor.numel() < _LARGE]
        together = torch.cat([found[number].float().flatten() for number in small]) if small else None
        for large in [*(tensor for tensor in found if tensor.numel() >= _LARGE), together]:
            if large is not None:
                self._reduce(large)
                large /= self.size
        if together is not None:
            pieces = torch.split(together, [found[number].numel() for number in small])
            for number, piece in zip(small, pieces, strict=True):
                found[number] = piece.view_as(found[number]).to(found[number].dtype)
        return found

    def send(self, message: Message) -> bool:
        """Give a message to all others; by rank 0.

        Returns:
            Whether another process was asked to stop.
        """
        tensors = {name: value.detach().cpu().contiguous() for name, value in message.tensors.items()}
        document = json.dumps([message.name, message.document]).encode()
        tensors[_DOCUMENT] = torch.frombuffer(bytearray(document), dtype=torch.uint8)
        content = torch.frombuffer(bytearray(serialise_tensors(tensors)), dtype=torch.uint8)
        _, _, stop = self._exchange(content.numel(), 0, False)
        with self._together():
            dist.broadcast(content, 0, group=self.messages)
        return stop

    def send_number(self, number: int) -> bool:
        """As :meth:`send`, for the message that comes in every step and is a number alone."""
        _, _, stop = self._exchange(0, number, False)
        return stop

    def receive(self, stop: bool = False) -> Message | int:
        """The next message of rank 0, or its number; by all others.

        Args:
            stop: whether this process was asked to stop.
        """
        size, number, _ = self._exchange(0, 0, stop)
        if not size:
            return number
        content = torch.empty(size, dtype=torch.uint8)
        with self._together():
            dist.broadcast(content, 0, group=self.messages)
        tensors = parse_tensors(content.numpy().tobytes())
        name, document = json.loads(tensors.pop(_DOCUMENT).numpy().tobytes())
        return Message(name, document, tensors)

    def end(self) -> None:
        """Send :data:`END` from rank 0, unless a process is lost already; nothing in the others."""
        if self.rank == 0 and not self.lost:
            with suppress(RunFailed):
                self.send(Message(END))

    def _exchange(self, size: int, number: int, stop: bool) -> tuple[int, int, bool]:
        """The largest of all processes' numbers: those of rank 0, since the others give zeros, and any stop."""
        numbers = torch.tensor([size, number, stop], dtype=torch.int64)
        with self._together():
            dist.all_reduce(numbers, dist.ReduceOp.MAX, group=self.messages)
        size, number, asked = numbers.tolist()
        return size, number, bool(asked)

    def _reduce(self, tensor: Tensor) -> None:
        with self._together():
            dist.all_reduce(tensor)

    def _gather(self, tensor: Tensor) -> Tensor:
        found = [torch.empty_like(tensor) for _ in range(self.size)]
        with self._together():
            dist.all_gather(found, tensor)
        return torch.stack(found)

    @contextmanager
    def _together(self) -> Iterator[None]:
        """PyTorch's error for a process that ended, or did not answer in time, becomes a message."""
        try:
            yield
        except RuntimeError as error:
            self.lost.append(str(error).splitlines()[0][:200])
            raise RunFailed(
                f"Another process of this run has ended or does not answer: {self.lost[-1]}",
                "See what that process printed. Run the same command again to continue from the last checkpoint.",
            ) from error


ALONE = Group()
"""The group of a process that trains on its own."""


class _Gathered(torch.autograd.Function):
    """:meth:`Group.gathered`."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, group: Group) -> Tensor:
        ctx.group = group
        return group._gather(values.contiguous())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        summed = gradients[0].clone(memory_format=torch.contiguous_format)
        ctx.group._reduce(summed)
        return summed[ctx.group.rank], None


@contextmanager
def joined(seconds: float = STEP_SECONDS) -> Iterator[Group]:
    """The group that the environment describes, as ``torchrun`` sets it; a group of one without it.

    When the block of rank 0 is done, stopped or refused, the others are sent :data:`END`. They may be in a step when
    another error ends it: they then find the connection closed.

    Args:
        seconds: how long to wait for other processes, at the start and within a step.

    Raises:
        BadInput: the environment is incomplete.
        RunFailed: the processes do not find each other.
    """
    rank, size = _number("RANK", 0), _number("WORLD_SIZE", 1)
    if size == 1:
        yield ALONE
        return
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(_number("LOCAL_RANK", 0))
    try:
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
            timeout=timedelta(seconds=seconds),
            rank=rank,
            world_size=size,
        )
        messages = dist.new_group(backend="gloo", timeout=timedelta(seconds=MESSAGE_SECONDS))
    except (RuntimeError, ValueError) as error:
        raise RunFailed(
            f"Process {rank} of {size} does not find the others: {str(error).splitlines()[0][:200]}",
            "Start all of them together: torchrun --nproc-per-node 2 -m aral run …",
        ) from error
    group = Group(rank, size, messages)
    try:
        try:
            yield group
        except (BadInput, Stopped):
            group.end()
            raise
        group.end()
    finally:
        dist.destroy_process_group()


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if "RANK" not in os.environ:  # a size alone describes no group
        return default
    try:
        return int(text)
    except ValueError as error:
        raise BadInput(
            f"The environment variable {name} is '{text}', not a number.",
            "Start the processes with torchrun, or unset it.",
        ) from error


# --- What layers and losses ask in a training step --------------------------------------------------------------


_divided: ContextVar[tuple[Part, Group]] = ContextVar("divided", default=(WHOLE, ALONE))


@contextmanager
def divided(part: Part, group: Group) -> Iterator[None]:
    """Within the block, layers and losses see a part of the batch, of which the group sees as many at once."""
    token = _divided.set((part, group))
    try:
        yield
    finally:
        _divided.reset(token)


def current_part() -> Part:
    """Which part of a batch layers see; the whole one outside of :func:`divided`."""
    return _divided.get()[0]


def current_group() -> Group:
    """The processes whose parts make up the statistics of a batch; a group of one outside of :func:`divided`."""
    return _divided.get()[1]


def batch_mean(rows: Float[Tensor, "n F"]) -> Float[Tensor, " F"]:
    """The mean over the rows of all processes, which have equally many; gradient flows to the rows of each."""
    mean, group = rows.mean(dim=0), current_group()
    return mean if group.size == 1 else group.gathered(mean).mean(dim=0)


def batch_moments(
    values: Float[Tensor, "n C *positions"],
) -> tuple[Float[Tensor, " C"], Float[Tensor, " C"], int]:
    """Mean and variance (not the unbiased estimate) of each channel over the values of all processes, and their count.

    The variance is the mean of the processes' variances plus the variance of their means, which is exact and does not
    cancel. Gradient flows to the values of each process.
    """
    group, over = current_group(), [0, *range(2, values.ndim)]
    variance, mean = torch.var_mean(values, over, correction=0)
    count = values.numel() // values.shape[1] * group.size
    means, variances = group.gathered(torch.stack([mean, variance])).unbind(1)
    return means.mean(0), variances.mean(0) + means.var(0, correction=0), count
