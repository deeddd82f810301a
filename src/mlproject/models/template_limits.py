"""Runs a chat template within limits: a program of somebody else's, whose sandbox limits neither time nor memory."""

from __future__ import annotations

import resource
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

LONGEST_SECONDS = 5.0
"""Processor time that a template may take over one conversation."""

MOST_MEMORY = 512 * 2**20
"""Bytes that a template may need beside what the process holds."""

LONGEST_LAYOUT = 1_000_000
"""Characters that a template may add to one conversation."""

_LOOK_SECONDS = 0.1
"""How often time and memory are looked at, in processor time: on a busy machine, a clock on the wall would strike again
before the exception that it raised has left the template."""


def rendered(
    tokenizer: PreTrainedTokenizerFast, conversations: Sequence[Sequence[Any]], is_open: bool = False
) -> list[str]:
    """The texts as which a chat template lays conversations out.

    Args:
        tokenizer: has a chat template.
        conversations: messages of each.
        is_open: whether the beginning of the assistant's next turn follows.

    Raises:
        Exception: whatever the template raises; TimeoutError, MemoryError or ValueError where it takes too much.
    """
    messages = [list(conversation) for conversation in conversations]
    with _limits(LONGEST_SECONDS * len(messages)):
        texts: list[str] = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=is_open)
    said = sum(len(str(turn)) for conversation in messages for turn in conversation)
    if sum(map(len, texts)) > LONGEST_LAYOUT * len(messages) + 4 * said:
        raise ValueError(f"it adds more than {LONGEST_LAYOUT:,} characters to a conversation")
    return texts


@contextmanager
def _limits(seconds: float) -> Iterator[None]:
    """Inside, the process gets little more memory, and the main thread an exception when its time is over.

    Linux grants no memory beyond the limit. Other systems may, so that the clock looks at it too.
    """
    process = psutil.Process()
    before = resource.getrlimit(resource.RLIMIT_AS)
    most = process.memory_info().vms + MOST_MEMORY
    soft = most if before[0] == resource.RLIM_INFINITY else min(most, before[0])
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (soft, before[1]))
    try:
        with _clock(seconds, process):
            yield
    except MemoryError:
        raise MemoryError(f"it needs more than {MOST_MEMORY // 2**20} MB of memory") from None
    finally:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_AS, before)


@contextmanager
def _clock(seconds: float, process: psutil.Process) -> Iterator[None]:
    """Inside, time and memory are looked at, in the main thread of a process that is not profiled."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGPROF) != signal.SIG_DFL:
        yield
        return
    most = process.memory_info().rss + MOST_MEMORY
    since = time.thread_time()

    def look(*signal_and_frame: object) -> None:
        if time.thread_time() - since > seconds:
            raise TimeoutError(f"it takes longer than {LONGEST_SECONDS:g} seconds")
        if process.memory_info().rss > most:
            raise MemoryError

    signal.signal(signal.SIGPROF, look)
    signal.setitimer(signal.ITIMER_PROF, _LOOK_SECONDS, _LOOK_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
