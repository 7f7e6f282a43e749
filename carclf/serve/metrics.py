"""What Prometheus reads: requests, durations, photos, batches, what is refused, what is held."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from carclf.serve.refusals import OVERLOADED

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_BATCH_SIZES = (1, 2, 4, 8, 16, 32)
OTHER_METHOD = "other"
_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")  # a client may send any word


class Metrics:
    """The figures of one service, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        names, own = ["route", "method", "status"], self.registry
        self._requests = Counter("carclf_requests", "Requests that were answered", names, registry=own)
        self._durations = Histogram(
            "carclf_request_seconds", "From a request's head to its answer", ["route"], buckets=_SECONDS, registry=own
        )
        self._refused = Counter("carclf_overloaded", "Requests that were answered with 503", registry=own)
        self._photos = Counter("carclf_photos", "Photos by what became of them", ["outcome"], registry=own)
        self._batches = Histogram(
            "carclf_batch_photos", "Photos that were answered together", buckets=_BATCH_SIZES, registry=own
        )
        self._batch_seconds = Counter("carclf_batch_seconds", "Seconds in which batches were answered", registry=own)
        self.in_flight = Gauge("carclf_requests_in_flight", "Requests that are being answered", registry=own)
        self.queue = Gauge("carclf_queue_photos", "Photos that are held: waiting or being answered", registry=own)
        self.held_bytes = Gauge("carclf_held_bytes", "Bytes of bodies and pictures that are held", registry=own)
        ProcessCollector(registry=own)

    def count_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Counts a request; `route`: as it is declared, never the path that was asked for."""
        known = method if method in _METHODS else OTHER_METHOD
        self._requests.labels(route, known, str(status)).inc()
        self._durations.labels(route).observe(seconds)
        if status == OVERLOADED:
            self._refused.inc()

    def count_photos(self, answered: int, refused: int) -> None:
        """Counts the photos of a request."""
        self._photos.labels("answered").inc(answered)
        self._photos.labels("refused").inc(refused)

    def count_batch(self, photos: int, seconds: float) -> None:
        """Counts a batch; from any thread."""
        self._batches.observe(photos)
        self._batch_seconds.inc(seconds)

    def text(self) -> bytes:
        """All figures as Prometheus reads them."""
        return generate_latest(self.registry)
