"""The group of processes that the environment describes, and processes that do not answer."""

from __future__ import annotations

import multiprocessing
import os
import socket
import time
from collections.abc import Callable

import pytest
import torch

from aral.errors import BadInput, RunFailed
from aral.parallel import ALONE, END, Message, Part, joined

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["aral.parallel"])


def test_without_torchrun_a_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setenv("WORLD_SIZE", "4")  # other programs set it too
    with joined() as group:
        assert group == ALONE


def test_an_environment_that_describes_no_group_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(BadInput, match="WORLD_SIZE is 'two'"), joined():
        pass


def test_rows_of_the_parts_of_concatenated_batches_are_those_of_the_concatenation() -> None:
    one, other = torch.arange(6), torch.arange(10, 14)
    for index in range(2):
        rows = Part(index, 2).rows
        assert torch.equal(torch.cat([one[rows], other[rows]]), torch.cat([one, other])[rows])


def in_group(rank: int, port: int, work: Callable[[int], int]) -> None:
    os.environ |= {
        "RANK": str(rank),
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    os._exit(work(rank))


def codes(
    work: Callable[[int], int],
    ranks: tuple[int, ...] = (0, 1),
    waiting_for: tuple[int, ...] = (0,),
    seconds: float = 60,
) -> list[int | None]:
    """Exit codes of processes of a group of two; those that have not ended are killed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    processes = [SERVER.Process(target=in_group, args=(rank, port, work)) for rank in ranks]
    try:
        for process in processes:
            process.start()
        for rank in waiting_for:
            processes[rank].join(seconds)
        return [process.exitcode for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.join()


def silent_second(rank: int) -> int:
    """Rank 1 joins, then does nothing; gives 7 where rank 0 is told of that in time."""
    with joined(2) as group:
        if rank:
            time.sleep(300)
        try:
            group.average([torch.ones(3)])
        except RunFailed as failure:
            return 7 if "does not answer" in failure.problem else 1
    return 0


def test_a_process_that_does_not_answer_is_waited_for_for_a_limited_time() -> None:
    assert codes(silent_second)[0] == 7


def failing_first(rank: int) -> int:
    """Rank 0 fails within a step, in which rank 1 waits for it."""
    try:
        with joined(120) as group:
            if rank == 0:
                raise MemoryError
            group.average([torch.ones(3)])
    except MemoryError:
        return 3
    except RunFailed as failure:
        return 7 if "has ended" in failure.problem else 1
    return 0


def test_a_process_that_fails_within_a_step_ends_the_others() -> None:
    assert codes(failing_first, waiting_for=(0, 1), seconds=30) == [3, 7]


def alone_in_two(rank: int) -> int:
    try:
        with joined(2):
            return 0
    except RunFailed as failure:
        return 7 if "does not find the others" in failure.problem else 1


def test_a_process_whose_group_never_starts_ends() -> None:
    assert codes(alone_in_two, ranks=(0,)) == [7]


def messages(rank: int) -> int:
    """What rank 0 sends arrives; a stop of rank 1 reaches it; the end of its block is the last message."""
    with joined(30) as group:
        if rank == 0:
            ids = torch.tensor([3, 1, 2])
            stops = [group.send(Message("ids", {"round": 2}, {"ids": ids})), group.send_number(5)]
            means = group.average([torch.full((2,), 1.0), torch.full((1 << 20,), 3.0)])
            assert stops == [False, True] and [float(mean.max()) for mean in means] == [2.0, 2.0]
            return_code = 0
        else:
            first = group.receive()
            assert isinstance(first, Message) and first.document == {"round": 2}
            assert first.name == "ids" and first.tensors["ids"].tolist() == [3, 1, 2]
            assert group.receive(stop=True) == 5
            group.average([torch.full((2,), 3.0), torch.full((1 << 20,), 1.0)])
            last = group.receive()
            assert isinstance(last, Message) and last.name == END
            return_code = 0
    return return_code


def test_messages_stops_and_means() -> None:
    assert codes(messages)[0] == 0
