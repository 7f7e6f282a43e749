"""How many photos and bytes the service holds at once: whoever is too many is told when to come back.

Used by one thread, that of the event loop.
"""

import math
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from carclf.serve.refusals import overloaded

_LONGEST_WAIT = 60  # seconds that a client is asked to wait
_MEMORY = 0.8  # of the last estimate, when the next one comes


@dataclass
class Gate:
    """Counts what is held.

    Attributes:
        most_photos: held at once.
        most_bytes: the same.
        time_limit: seconds that a photo may wait and be answered.
        photos: held now, waiting or being answered.
        held_bytes: bodies and pictures held now.
        seconds_a_photo: how long one takes at the moment, several at once; 0 = not known yet.
    """

    most_photos: int
    most_bytes: int
    time_limit: float
    photos: int = 0
    held_bytes: int = 0
    seconds_a_photo: float = 0.0

    def enter(self) -> "Ticket":
        """Lets a request in.

        Raises:
            Refusal: if the queue is full already, so that its body need not be read.
        """
        if self.photos >= self.most_photos or self.held_bytes >= self.most_bytes:
            raise overloaded(self.wait)
        return Ticket(self)

    def learn(self, seconds: float, photos: int) -> None:
        """Takes note of how long a batch of photos has kept the service busy."""
        before, now = self.seconds_a_photo, seconds / photos
        self.seconds_a_photo = _MEMORY * before + (1 - _MEMORY) * now if before else now

    @property
    def wait(self) -> int:
        """Seconds after which it is worth to try again: when what waits now is answered."""
        return min(max(1, math.ceil(self.photos * self.seconds_a_photo)), _LONGEST_WAIT)


@dataclass
class Ticket:
    """What one request holds.

    Attributes:
        gate: that counts it.
        photos: held.
        held_bytes: held.
        running: answers that are being made though the request has ended; it holds all until they are there.
    """

    gate: Gate
    photos: int = field(default=0, init=False)
    held_bytes: int = field(default=0, init=False)
    running: "list[Future[Any]]" = field(default_factory=list, init=False)

    def take_bytes(self, count: int) -> None:
        """Holds so many bytes more.

        Raises:
            Refusal: if all requests together would hold too many.
        """
        if self.gate.held_bytes + count > self.gate.most_bytes:
            raise overloaded(self.gate.wait)
        self.gate.held_bytes += count
        self.held_bytes += count

    def take_photos(self, count: int) -> None:
        """Holds so many photos.

        Raises:
            Refusal: if there is no room, or if they would wait longer than a request may take.
        """
        gate = self.gate
        too_late = gate.photos and (gate.photos + count) * gate.seconds_a_photo > gate.time_limit
        if gate.photos + count > gate.most_photos or too_late:
            raise overloaded(gate.wait)
        gate.photos += count
        self.photos += count

    def leave(self) -> None:
        """Gives back all that is held."""
        self.gate.photos -= self.photos
        self.gate.held_bytes -= self.held_bytes
        self.photos = self.held_bytes = 0
