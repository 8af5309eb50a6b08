"""Queries answered without LoadGen: which inferences run, in which order they are answered, what an error does."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from pretended_device import PretendedDevice

from benchbox.measure.loadgen.answering import Direct, Queue


class Counting:
    """A session that notes its slots and, at ``fails_at``, raises."""

    def __init__(self, *, fails_at: int | None = None) -> None:
        self.slots: list[int] = []
        self._fails_at = fails_at

    def enqueue(self, slot: int) -> None:
        self.slots.append(slot)
        if len(self.slots) == self._fails_at:
            raise RuntimeError("layer 7 is broken")


class Answers:
    """What was answered, call by call."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []

    def __call__(self, ids: Any) -> None:
        self.calls.append(list(ids))

    @property
    def ids(self) -> list[int]:
        return [number for call in self.calls for number in call]


IDS = list(range(100, 107))


def test_one_sample_an_inference_answered_as_each_is_done() -> None:
    session, answers = Counting(), Answers()
    answering = Direct(session, batch=1, complete=answers)  # type: ignore[arg-type]
    answering.issue(IDS, [2, 0, 3, 1, 2, 0, 3])
    answering.finish()
    assert session.slots == [2, 0, 3, 1, 2, 0, 3]
    assert answers.calls == [[number] for number in IDS]


def test_an_inference_answers_a_batch_and_the_last_is_padded() -> None:
    session, answers = Counting(), Answers()
    answering = Direct(session, batch=3, complete=answers)  # type: ignore[arg-type]
    answering.issue(IDS, [9, 10, 11, 0, 1, 2, 5])
    assert session.slots == [3, 0, 1], "image i lies in the batch of slot i // 3"
    assert answers.calls == [IDS[:3], IDS[3:6], IDS[6:]]


def test_a_whole_query_at_once() -> None:
    session, answers = Counting(), Answers()
    answering = Direct(session, batch=1, complete=answers, at_once=True)  # type: ignore[arg-type]
    answering.issue(IDS, [0] * 7)
    assert len(session.slots) == 7, "one inference after another"
    assert answers.calls == [IDS]


def test_a_device_is_waited_for_once_in_so_many_inferences() -> None:
    device, answers = PretendedDevice(work_ns=1000, enqueue_ns=10), Answers()
    answering = Direct(device, batch=1, complete=answers, in_flight=4)
    answering.issue(IDS, [0] * 7)
    assert answers.calls == [IDS[:4], IDS[4:]]
    assert device.laps.most_in_flight == 4
    assert device.stopwatch.now_ns() >= 7000, "all of it was waited for"


@pytest.mark.parametrize("fails_at", [1, 3, 7])
@pytest.mark.parametrize("at_once", [True, False])
def test_an_error_answers_everything_exactly_once(fails_at: int, at_once: bool) -> None:
    session, answers = Counting(fails_at=fails_at), Answers()
    answering = Direct(session, batch=1, complete=answers, at_once=at_once)  # type: ignore[arg-type]
    answering.issue(IDS, [0] * 7)
    answering.issue([200, 201], [0, 0])
    assert answers.ids == [*IDS, 200, 201]
    assert len(session.slots) == fails_at, "nothing runs after an error"
    with pytest.raises(RuntimeError, match="layer 7"):
        answering.finish()


class Held(Counting):
    """A session that waits for a signal before each inference."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Semaphore(0)
        self.begun = threading.Semaphore(0)

    def enqueue(self, slot: int) -> None:
        self.begun.release()
        self.go.acquire()
        super().enqueue(slot)


def test_what_waits_is_answered_together_up_to_a_batch() -> None:
    session, answers = Held(), Answers()
    answering = Queue([session], batch=3, complete=answers)  # type: ignore[list-item]
    answering.issue([1], [0])
    session.begun.acquire()  # it runs alone: nothing else had arrived
    for number in range(2, 7):
        answering.issue([number], [3])
    session.go.release(10)
    answering.finish()
    assert answers.calls == [[1], [2, 3, 4], [5, 6]]
    assert session.slots == [0, 1, 1]


def test_each_session_takes_what_waits_when_it_is_free() -> None:
    slow, quick, answers = Held(), Counting(), Answers()
    answering = Queue([slow, quick], batch=1, complete=answers)  # type: ignore[list-item]
    for number in range(20):
        answering.issue([number], [0])
        time.sleep(0.001)
    slow.go.release(20)
    answering.finish()
    assert sorted(answers.ids) == list(range(20))
    assert len(slow.slots) + len(quick.slots) == 20
    assert len(slow.slots) <= 1, "the one that was held did not hold the other up"


def test_an_error_behind_the_queue_is_told_at_the_end() -> None:
    session, answers = Counting(fails_at=2), Answers()
    answering = Queue([session], batch=1, complete=answers)  # type: ignore[list-item]
    answering.issue(IDS, [0] * 7)
    with pytest.raises(RuntimeError, match="layer 7"):
        answering.finish()
    assert answers.ids == IDS
    assert len(session.slots) == 2
