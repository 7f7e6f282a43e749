"""Photos of parallel requests, answered together: while one batch is answered, the next one gathers by itself.

Threads of its own take what waits, up to a batch, and hand it to the predictor: a photo that comes alone is answered at
once, and the more come the larger are the batches. A photo gets the same answer, whatever it is answered with.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from carclf.errors import PhotoError
from carclf.predict import Predictor
from carclf.saying import Answer
from carclf.serve.refusals import NOT_A_PHOTO, Refusal
from carclf.serve.rendering import Wanted, render
from carclf.serve.uploads import Checked

LOG = logging.getLogger(__name__)
BATCHES_AT_ONCE = 2  # one is decoded while the other is in the network
MOST_IN_BATCH = 32  # photos: from here on the predictor is not faster, and the last one waits for the first
Said = dict[str, Any] | Refusal
"""The fields of an answer, or why there is none"""


@dataclass(eq=False)
class Job:
    """One photo that waits for its answer.

    Attributes:
        photo: which is asked about.
        wanted: what beside the answer.
        done: its answer; may be cancelled until a batch begins with it.
    """

    photo: Checked
    wanted: Wanted
    done: "Future[Said]" = field(default_factory=Future)


class Batcher:
    """Owns a predictor and the threads that ask it."""

    def __init__(self, predictor: Predictor, most_pixels: int, on_batch: Callable[[int, float], None]) -> None:
        """Makes a batcher; `start` starts its threads.

        Args:
            predictor: what answers.
            most_pixels: of all photos that are being answered at the same time, unless it is one alone.
            on_batch: told how many photos a batch had, and how many seconds it kept the service busy.
        """
        self._predictor, self._most_pixels, self._on_batch = predictor, most_pixels, on_batch
        self._label_sets = {name: head.label_set for name, head in predictor.mask_heads.items()}
        self._waiting: deque[Job] = deque()
        self._pixels = 0  # of the photos that are being answered
        self._changed = threading.Condition()
        self._closing = False
        self._drawing = ThreadPoolExecutor(predictor.workers, thread_name_prefix="drawing")
        self._threads = [
            threading.Thread(target=self._run, name=f"batches-{number}", daemon=True)
            for number in range(BATCHES_AT_ONCE)
        ]

    def start(self) -> None:
        """Starts answering."""
        for thread in self._threads:
            thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether photos are answered."""
        return not self._closing and all(thread.is_alive() for thread in self._threads)

    def submit(self, jobs: Sequence[Job]) -> None:
        """Lets photos wait for their turn."""
        with self._changed:
            self._waiting.extend(jobs)
            self._changed.notify_all()

    def forget_cancelled(self) -> None:
        """Lets go of photos whose answer nobody waits for any more."""
        with self._changed:
            self._waiting = deque(job for job in self._waiting if not job.done.cancelled())
            self._changed.notify_all()

    def close(self, seconds: float) -> bool:
        """Answers what waits and stops.

        Args:
            seconds: how long that may take.

        Returns:
            whether it was enough.
        """
        until = time.monotonic() + seconds
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        self._drawing.shutdown(wait=False)
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        while (batch := self._take()) is not None:
            if not batch:
                continue
            started = time.monotonic()
            self._answer(batch)
            self._on_batch(len(batch), (time.monotonic() - started) / BATCHES_AT_ONCE)

    def _take(self) -> list[Job] | None:
        """The next batch, which may be empty; None = there will be no more."""
        with self._changed:
            while not (self._waiting and self._fits(self._waiting[0])):
                if self._closing and not self._waiting:
                    return None
                self._changed.wait()
            batch: list[Job] = []
            while self._waiting and len(batch) < MOST_IN_BATCH and self._fits(self._waiting[0]):
                job = self._waiting.popleft()
                if job.done.set_running_or_notify_cancel():
                    self._pixels += job.photo.cost
                    batch.append(job)
            return batch

    def _fits(self, job: Job) -> bool:
        return not self._pixels or self._pixels + job.photo.cost <= self._most_pixels

    def _answer(self, batch: Sequence[Job]) -> None:
        """Answers a batch; where the predictor breaks over a photo, that one alone goes without an answer."""
        try:
            self._answer_together(batch)
        except Exception:
            LOG.exception("A batch of %d photos broke off; they are answered one by one.", len(batch))
            for job in batch:
                if not job.done.done():
                    self._answer_alone(job)

    def _answer_alone(self, job: Job) -> None:
        try:
            self._answer_together([job])
        except Exception as error:  # the request gets it, and tells of it in the log
            self._finish(job, error)

    def _answer_together(self, batch: Sequence[Job]) -> None:
        drawn: list[Future[None]] = []
        try:
            answers = self._predictor.predict(job.photo.source for job in batch)
            for job, answer in zip(batch, answers, strict=True):
                if (drawing := self._draw(job, answer)) is not None:
                    drawn.append(drawing)
        finally:
            wait(drawn)

    def _draw(self, job: Job, answer: Answer | PhotoError) -> "Future[None] | None":
        """Finishes a photo at once, or, where pictures are wanted of it, in a thread for them."""
        if isinstance(answer, PhotoError):
            self._finish(job, Refusal(NOT_A_PHOTO, str(answer)))
        elif job.wanted == Wanted():
            self._finish(job, self._fields(job, answer))
        else:
            return self._drawing.submit(self._draw_pictures, job, answer)
        return None

    def _draw_pictures(self, job: Job, answer: Answer) -> None:
        try:
            self._finish(job, self._fields(job, answer) | render(answer, job.wanted, self._label_sets))
        except PhotoError as error:
            self._finish(job, Refusal(NOT_A_PHOTO, str(error)))
        except Exception as error:
            self._finish(job, error)

    def _fields(self, job: Job, answer: Answer) -> dict[str, Any]:
        return {**answer.fields, "size": list(job.photo.size)}

    def _finish(self, job: Job, result: Said | Exception) -> None:
        with self._changed:
            self._pixels -= job.photo.cost
            self._changed.notify_all()
        if isinstance(result, Exception) and not isinstance(result, Refusal):
            job.done.set_exception(result)
        else:
            job.done.set_result(result)
