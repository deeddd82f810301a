"""Collective communication, between two real processes and within one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from mlproject.models.collectives import all_gather, all_reduce, broadcast


def member(rank: int, rendezvous: str, folder: str) -> None:
    """What one of two processes receives; process 0 has three items to gather, process 1 two."""
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    accelerator = SimpleNamespace(num_processes=2, is_main_process=rank == 0)
    received = {
        "broadcast": broadcast(accelerator, lambda: {"made by": rank}),
        "all_gather": all_gather(accelerator, ["a0", "a2", "a4"] if rank == 0 else ["b1", "b3"]),
        "all_reduce": all_reduce(accelerator, torch.tensor([1.0 + rank, 10.0])).tolist(),
    }
    torch.save(received, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_receive_the_same_objects_interleaved_items_and_sums(tmp_path: Path) -> None:
    mp.spawn(member, args=(str(tmp_path / "rendezvous"), str(tmp_path)), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert first == second
    assert first["broadcast"] == {"made by": 0}
    assert first["all_gather"] == ["a0", "b1", "a2", "b3", "a4"]
    assert first["all_reduce"] == [3.0, 20.0]


def test_one_process_receives_its_own_input() -> None:
    alone, values = SimpleNamespace(num_processes=1, is_main_process=True), torch.tensor([1.5])
    assert broadcast(alone, lambda: "made") == "made"
    assert all_gather(alone, ("a", "b")) == ["a", "b"]
    assert all_reduce(alone, values) is values and values.tolist() == [1.5]
