"""Which photos of a job are still to be answered."""

import hashlib
from collections import deque
from collections.abc import Iterator

from carclf.asking import UnusablePhoto, list_photos
from carclf.errors import PhotoError
from carclf.jobs.ledger import Ledger
from carclf.jobs.request import JobRequest
from carclf.jobs.screen import Progress
from carclf.photo_source import PhotoSource


class Intake:
    """Hands out the photos that are not answered yet, each once.

    A photo is answered if its bytes are those that were answered; one that is gone keeps its answer. One that failed is
    tried again.

    Attributes:
        names: of the photos that were handed out, in order; who gets the answer to one takes its name from the left.
    """

    def __init__(self, request: JobRequest, ledger: Ledger, progress: Progress) -> None:
        self.names: deque[str] = deque()
        self._request, self._ledger, self._progress = request, ledger, progress

    def photos(self) -> Iterator[PhotoSource | PhotoError]:
        """Yields what Predictor.predict takes."""
        for each in list_photos(self._request.given, self._request.own_folders):
            name = each.name if isinstance(each, UnusablePhoto) else str(each.path)
            if self._ledger.ask(name) and not self._is_answered(name, each):
                self.names.append(name)
                yield each
            else:
                self._progress.advance()

    def _is_answered(self, name: str, photo: PhotoSource | UnusablePhoto) -> bool:
        answered = self._ledger.answered_sha256(name)
        if answered is None:
            return False
        try:
            return isinstance(photo, UnusablePhoto) or hashlib.sha256(photo.read_bytes()).hexdigest() == answered
        except PhotoError:
            return True
