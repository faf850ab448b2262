"""What is faster on this machine, measured in some milliseconds: bfloat16 or float32, one processor thread or all.

Processors with AMX or avx512_bf16 and GPUs compute products in bfloat16 faster, others several times slower. Threads
speed up large convolutions; the products of perceptrons are so small that starting the threads takes longer. Where a
setting is ``auto``, :func:`aral.benchmarking.spec.resolve` asks here and the specification records the answer: a
resumed run keeps it, and the methods of a grid share it, whatever a later measurement would give.

The memory format is not measured: convolutions are channels-last on every device.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

CPU = torch.device("cpu")
AUTO: Literal["auto"] = "auto"
"""The value of a setting that is chosen by measurement."""

Precision: TypeAlias = Literal["float32", "bfloat16"]

REPEATS, ENOUGH_SECONDS = 3, 0.2
"""Of each measurement, and when to stop before; the shortest counts, which other work on the machine disturbs least."""

FASTER_IN_BFLOAT16 = 1.25
"""How many times faster both the matrix product and the convolution must be: other parts of a step gain nothing."""

FASTER_WITH_THREADS = 1.5
"""How many times faster the product of a perceptron must be with all threads: several runs can use the cores too."""


@dataclass(frozen=True)
class Hardware:
    """The choices for one machine, or those that a run has recorded.

    Attributes:
        precision: of products and convolutions in training.
        threads: processor threads for convolutional networks.
        mlp_threads: processor threads for perceptrons.
    """

    precision: Precision
    threads: int
    mlp_threads: int


def processors() -> int:
    """Number of processors this process may use."""
    return len(os.sched_getaffinity(0))


@cache
def measured(device: str = "cpu") -> Hardware:
    """The faster choices on this machine; measured once a process.

    Args:
        device: where networks are computed, as PyTorch names it.
    """
    count = processors()
    if not _is_there(device):  # the run reports that
        return Hardware("float32", count, 1)
    place = torch.device(device)
    # One thread of a processor is measured by its own clock, which stands still while other processes run.
    clock = time.process_time if place.type == "cpu" else time.perf_counter
    with _threads(1):
        in_bfloat16 = all(
            _seconds(work(place, "float32"), place, clock)
            >= FASTER_IN_BFLOAT16 * _seconds(work(place, "bfloat16"), place, clock)
            for work in (matrix_product, convolution)
        )
    return Hardware("bfloat16" if in_bfloat16 else "float32", count, count if _threads_pay(count) else 1)


def _is_there(device: str) -> bool:
    """Whether it is the processor, or the GPU of this machine."""
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return device == "cpu" or (found is not None and device == found.type)


def _threads_pay(count: int) -> bool:
    """Whether the product of a perceptron is much faster with this many threads than with one."""
    if count == 1:
        return False
    seconds = []
    for threads in (1, count):
        with _threads(threads):
            seconds.append(_seconds(matrix_product(CPU, "float32"), CPU))
    return seconds[0] >= FASTER_WITH_THREADS * seconds[1]


def matrix_product(device: torch.device, precision: Precision) -> Callable[[], None]:
    """The first layer of MNIST's perceptron on 200 images, forward and backward."""
    images, weight = _random((200, 784), device), _random((1000, 784), device)
    return _with_gradient(lambda: F.linear(images, weight), (images, weight), precision)


def convolution(device: torch.device, precision: Precision) -> Callable[[], None]:
    """A 3×3 convolution of 32 channels on 16 maps of 16×16, forward and backward."""
    maps, weight = _random((16, 32, 16, 16), device), _random((32, 32, 3, 3), device)
    maps = maps.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    return _with_gradient(lambda: F.conv2d(maps, weight, padding=1), (maps, weight), precision)


def _random(shape: tuple[int, ...], device: torch.device) -> Tensor:
    # Of a generator of its own: the global one decides initial weights in scripts that seed it.
    numbers = torch.rand(shape, generator=torch.Generator().manual_seed(0)) - 0.5
    return numbers.to(device).requires_grad_()


def _with_gradient(
    forward: Callable[[], Tensor], inputs: tuple[Tensor, ...], precision: Precision
) -> Callable[[], None]:
    def run() -> None:
        device = inputs[0].device.type
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
            output = forward()
        torch.autograd.grad(output.float().sum(), inputs)

    return run


def _seconds(
    run: Callable[[], None], device: torch.device, clock: Callable[[], float] = time.perf_counter
) -> float:
    """The shortest time of some repetitions, after one that prepares the kernels."""
    shortest, started = float("inf"), time.perf_counter()
    for repeat in range(REPEATS + 1):
        began = clock()
        run()
        if device.type != "cpu":
            torch.accelerator.synchronize()
        if repeat:
            shortest = min(shortest, clock() - began)
            if time.perf_counter() - started > ENOUGH_SECONDS:
                break
    return shortest


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
