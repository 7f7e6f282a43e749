"""One request: its photos checked, answered, combined."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from carclf.cases import combine_answers
from carclf.predict import Predictor
from carclf.serve.batching import Batcher, Job, Said
from carclf.serve.gate import Gate, Ticket
from carclf.serve.metrics import Metrics
from carclf.serve.model_facts import ModelFacts
from carclf.serve.refusals import TOO_LARGE, Refusal
from carclf.serve.rendering import Wanted, rendered_bytes
from carclf.serve.settings import Settings
from carclf.serve.uploads import Checked, Upload, check_upload

_PICTURES = ("masks", "overlays")


class Service:
    """Everything that lives as long as the service: used by the thread of the event loop alone."""

    def __init__(self, predictor: Predictor, facts: ModelFacts, settings: Settings) -> None:
        self.facts, self.settings, self.metrics = facts, settings, Metrics()
        self.gate = Gate(settings.queue, settings.held_bytes, settings.time_limit)
        self.metrics.queue.set_function(lambda: self.gate.photos)
        self.metrics.held_bytes.set_function(lambda: self.gate.held_bytes)
        self._model = predictor.model
        self._batcher = Batcher(predictor, settings.limits.most_pixels, self._learn)
        self._checking = ThreadPoolExecutor(predictor.workers, thread_name_prefix="checking")
        self.has_ended = False  # whether all that was held is answered, and nothing more will be
        self._leaving: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Starts answering; called within the event loop."""
        self._loop = asyncio.get_running_loop()
        self._batcher.start()

    async def close(self, seconds: float) -> None:
        """Answers what is held and stops; gives up what takes longer than these seconds."""
        self.has_ended = await asyncio.to_thread(self._batcher.close, seconds)
        self._checking.shutdown(wait=False, cancel_futures=True)

    @property
    def is_ready(self) -> bool:
        """Whether photos are answered."""
        return self._batcher.is_alive

    async def ask(self, uploads: Sequence[Upload], wanted: Wanted, ticket: Ticket) -> list[Said]:
        """Answers the photos of a request.

        Args:
            uploads: its photos, in their order.
            wanted: what beside the answers.
            ticket: of the request, which holds the photos from now on.

        Returns:
            fields or a refusal per photo, in their order.

        Raises:
            Refusal: if there is no room for so many photos, or for the pictures that are wanted of them.
        """
        ticket.take_photos(len(uploads))
        jobs: list[Job] = []
        try:
            checked = await self._check(uploads)
            self._check_overlays(checked, wanted)
            jobs = [Job(photo, wanted) for photo in checked if isinstance(photo, Checked)]
            self._batcher.submit(jobs)
            answers = iter(await asyncio.gather(*(asyncio.wrap_future(job.done) for job in jobs)))
        finally:
            self._let_go(jobs, ticket)
        said = [each if isinstance(each, Refusal) else next(answers) for each in checked]
        answered = [each for each in said if isinstance(each, dict)]
        self.metrics.count_photos(len(answered), len(said) - len(answered))
        for each in answered:
            ticket.take_bytes(rendered_bytes({key: each[key] for key in _PICTURES if key in each}))
        return said

    def make_reply(self, uploads: Sequence[Upload], said: Sequence[Said], is_case: bool) -> dict[str, Any]:
        """The body of an answer; a photo that cannot be answered has its error in its place.

        Raises:
            Refusal: if the only photo cannot be answered.
        """
        if len(said) == 1 and isinstance(said[0], Refusal):
            raise said[0]
        photos = [
            {"photo": upload.name, "error": each.sentence} if isinstance(each, Refusal) else each
            for upload, each in zip(uploads, said, strict=True)
        ]
        reply: dict[str, Any] = {"model": self._model, "photos": photos}
        if is_case:
            answers = [each if isinstance(each, dict) else None for each in said]
            reply["case"] = combine_answers(answers, self.facts.rules)
        return reply

    def release(self, ticket: Ticket) -> None:
        """Gives back what a request holds, once none of its photos is being answered any more."""
        running = [asyncio.wrap_future(each) for each in ticket.running if not each.done()]
        if not running:
            ticket.leave()
            return
        task = asyncio.create_task(_leave_after(running, ticket))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _check(self, uploads: Sequence[Upload]) -> list[Checked | Refusal]:
        loop, limits = asyncio.get_running_loop(), self.settings.limits
        checking = (loop.run_in_executor(self._checking, check_upload, upload, limits) for upload in uploads)
        checked = await asyncio.gather(*checking, return_exceptions=True)
        for each in checked:
            if isinstance(each, BaseException) and not isinstance(each, Refusal):
                raise each
        return [each for each in checked if isinstance(each, Checked | Refusal)]

    def _check_overlays(self, checked: Sequence[Checked | Refusal], wanted: Wanted) -> None:
        """An overlay is as large as its photo, in the answer, too."""
        most = self.settings.limits.most_pixels
        pixels = sum(photo.size[0] * photo.size[1] for photo in checked if isinstance(photo, Checked))
        if wanted.overlays and pixels > most:
            raise Refusal(
                TOO_LARGE,
                f"Overlays of {pixels:,} pixels were asked for; at most {most:,} are made at once. Send fewer photos, "
                "or ask for masks in place of overlays.",
            )

    def _let_go(self, jobs: Sequence[Job], ticket: Ticket) -> None:
        """Takes back what nobody waits for any more; what is being answered goes on."""
        if any([job.done.cancel() for job in jobs]):
            self._batcher.forget_cancelled()
        ticket.running = [job.done for job in jobs if not job.done.done()]

    def _learn(self, photos: int, seconds: float) -> None:
        """Takes note of a batch; called by the batcher's threads."""
        self.metrics.count_batch(photos, seconds)
        if self._loop is not None:
            with suppress(RuntimeError):  # the event loop is closed already
                self._loop.call_soon_threadsafe(self.gate.learn, seconds, photos)


async def _leave_after(running: Sequence["asyncio.Future[Any]"], ticket: Ticket) -> None:
    await asyncio.gather(*running, return_exceptions=True)
    ticket.leave()


async def held_chunks(chunks: AsyncIterator[bytes], ticket: Ticket) -> AsyncIterator[bytes]:
    """The chunks of a body, each of which a ticket holds.

    Raises:
        Refusal: if all requests together would hold too many bytes.
    """
    async for chunk in chunks:
        ticket.take_bytes(len(chunk))
        yield chunk
