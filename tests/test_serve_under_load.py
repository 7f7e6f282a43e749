"""Under load, with what is broken, and while it stops, the service answers: with what predict says, or with why not."""

import signal
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from carclf.config import Config
from carclf.errors import PhotoError
from carclf.photo_source import PhotoSource
from carclf.predict import Predictor
from carclf.saying import Answer
from carclf.serve.schemas import ErrorReply, PredictReply
from carclf.serve.server import listen, make_server
from carclf.serve.settings import Limits, Settings
from tests.mutated_files import make_seeds, mutate_file
from tests.served import JPEG, serve_page, wait_for

SETTINGS = Settings(port=0, limits=Limits(most_bytes=400_000, most_pixels=1_000_000, most_photos=4))
PATIENCE = 20.0  # seconds after which something that does not happen is a fault
FUZZED = 100


@dataclass(frozen=True)
class Held(Predictor):
    """A predictor that begins with a batch, and answers it when it may; over a photo called "broken" it breaks."""

    may_answer: threading.Event = field(default_factory=threading.Event)
    has_begun: threading.Event = field(default_factory=threading.Event)

    def predict(self, photos: Iterable[PhotoSource | Path | PhotoError]) -> Iterator[Answer | PhotoError]:
        """See Predictor."""
        batch = list(photos)
        self.has_begun.set()
        assert self.may_answer.wait(PATIENCE)
        if any(isinstance(photo, PhotoSource) and photo.path.name == "broken" for photo in batch):
            raise ZeroDivisionError("a bug")
        yield from super().predict(batch)


@pytest.fixture
def held(predictor: Predictor) -> Iterator[Held]:
    held = Held(**vars(predictor))
    yield held
    held.may_answer.set()


@pytest.fixture(scope="module")
def photos(drawn_set: Path) -> list[bytes]:
    return [photo.read_bytes() for photo in sorted((drawn_set / "photos").iterdir())[:12]]


@contextmanager
def serving(predictor: Predictor, config: Config, settings: Settings = SETTINGS) -> Iterator[httpx.Client]:
    with serve_page(predictor, config, settings) as served:
        with httpx.Client(base_url=served.address, timeout=PATIENCE) as client:
            yield client


def ask(client: httpx.Client, photo: bytes) -> httpx.Response:
    return client.post("/v1/predict", content=photo, headers=JPEG)


def wait_until(client: httpx.Client, line: str) -> None:
    """Waits for a line of the figures."""
    until = time.monotonic() + PATIENCE
    while line not in client.get("/metrics").text.splitlines():
        assert time.monotonic() < until, f"never: {line}"
        time.sleep(0.01)


def ask_for(seconds: float, client: httpx.Client) -> None:
    """Asks over new connections whether the service is there."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        httpx.get(f"{client.base_url}/healthz")


def test_parallel_requests_get_what_predict_says(predictor: Predictor, config: Config, photos: list[bytes]) -> None:
    sources = [PhotoSource(Path("photo-1"), photo) for photo in photos]
    expected = [answer.fields["heads"] for answer in predictor.predict(sources) if isinstance(answer, Answer)]
    with serving(predictor, config) as client, ThreadPoolExecutor(24) as pool:
        replies = list(pool.map(lambda number: ask(client, photos[number % len(photos)]), range(60)))
        batches = client.get("/metrics").text
    for number, reply in enumerate(replies):
        assert reply.json()["photos"][0]["heads"] == expected[number % len(photos)]
    count = next(line for line in batches.splitlines() if line.startswith("carclf_batch_photos_count"))
    assert float(count.split()[1]) < 60  # some were answered together


def test_more_than_the_queue_holds_is_told_to_come_back(held: Held, config: Config, photos: list[bytes]) -> None:
    settings = replace(SETTINGS, queue=4)
    with serving(held, config, settings) as client, ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(ask, client, photo) for photo in photos[:3]]
        wait_until(client, "carclf_queue_photos 3.0")
        files = [("photos", ("a.jpg", photos[0]))] * 2
        refused = [client.post("/v1/predict", files=files)]  # there is room for one
        waiting.append(pool.submit(ask, client, photos[3]))
        wait_until(client, "carclf_queue_photos 4.0")
        refused.append(ask(client, photos[4]))
        for reply in refused:
            assert reply.status_code == 503
            assert int(reply.headers["Retry-After"]) >= 1
            assert ErrorReply.model_validate(reply.json()).error.startswith("The server is busy. Try again in ")
        held.may_answer.set()
        assert [each.result().status_code for each in waiting] == [200] * 4
        assert "carclf_overloaded_total 2.0" in client.get("/metrics").text
        assert ask(client, photos[4]).status_code == 200


def test_a_request_has_a_time_limit_and_leaves_nothing_behind(held: Held, config: Config, photos: list[bytes]) -> None:
    with serving(held, config, replace(SETTINGS, time_limit=0.5)) as client:
        late = ask(client, photos[0])
        assert late.status_code == 504
        assert ErrorReply.model_validate(late.json()).error.startswith("The request took longer than 0.5 seconds")
        wait_until(client, "carclf_queue_photos 1.0")  # it is still being answered
        held.may_answer.set()
        wait_until(client, "carclf_queue_photos 0.0")
        wait_until(client, "carclf_held_bytes 0.0")


def test_a_body_that_never_comes_is_not_waited_for(predictor: Predictor, config: Config) -> None:
    with serving(predictor, config, replace(SETTINGS, time_limit=0.5)) as client:
        address = (client.base_url.host, client.base_url.port or 0)
        with socket.create_connection(address, timeout=PATIENCE) as connection:
            connection.sendall(
                b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 9\r\n\r\n"
            )
            assert connection.recv(1000).startswith(b"HTTP/1.1 504")


def test_who_hangs_up_is_not_answered(held: Held, config: Config, photos: list[bytes]) -> None:
    with serving(held, config) as client, ThreadPoolExecutor(2) as pool:
        running = [pool.submit(ask, client, photos[0])]
        assert held.has_begun.wait(PATIENCE)
        running.append(pool.submit(ask, client, photos[1]))  # now both threads of the batcher are busy
        wait_until(client, "carclf_queue_photos 2.0")
        with pytest.raises(httpx.ReadTimeout):
            client.post("/v1/predict", content=photos[2], headers=JPEG, timeout=0.3)
        wait_until(client, "carclf_queue_photos 2.0")
        held.may_answer.set()
        assert [each.result().status_code for each in running] == [200, 200]
        wait_until(client, 'carclf_requests_total{method="POST",route="/v1/predict",status="499"} 1.0')
        assert 'carclf_photos_total{outcome="answered"} 2.0' in client.get("/metrics").text


def test_a_photo_that_breaks_the_predictor_breaks_nothing_else(
    held: Held, config: Config, photos: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    def named(name: str) -> httpx.Response:
        return client.post("/v1/predict", files={"photos": (name, photos[0])})

    with serving(held, config) as client, ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(named, name) for name in ("a", "b", "broken", "c", "d")]
        wait_until(client, "carclf_queue_photos 5.0")
        held.may_answer.set()
        replies = [each.result() for each in asked]
        assert [reply.status_code for reply in replies] == [200, 200, 500, 200, 200]
        request_id = ErrorReply.model_validate(replies[2].json()).request_id
        wait_for(lambda: request_id in caplog.text)  # the log may be written when the answer is there already
        assert "ZeroDivisionError" in caplog.text
        assert client.get("/readyz").status_code == 200


def test_stopping_finishes_what_runs(held: Held, config: Config, photos: list[bytes]) -> None:
    taken = listen(SETTINGS)
    server = make_server(held, config, SETTINGS)
    running = threading.Thread(target=server.run, kwargs={"sockets": [taken]})
    running.start()
    with taken, httpx.Client(base_url=f"http://127.0.0.1:{taken.getsockname()[1]}", timeout=PATIENCE) as client:
        with ThreadPoolExecutor(1) as pool:
            asked: Future[httpx.Response] = pool.submit(ask, client, photos[0])
            assert held.has_begun.wait(PATIENCE)
            server.should_exit = True
            with pytest.raises(httpx.TransportError):  # nobody new is let in
                ask_for(PATIENCE, client)
            held.may_answer.set()
            PredictReply.model_validate(asked.result().json())
    running.join(PATIENCE)
    assert not running.is_alive()


def test_who_tells_it_twice_to_stop_gets_an_end_at_once(held: Held, config: Config, photos: list[bytes]) -> None:
    taken = listen(SETTINGS)
    server = make_server(held, config, SETTINGS)
    running = threading.Thread(target=server.run, kwargs={"sockets": [taken]})
    running.start()
    with taken, httpx.Client(base_url=f"http://127.0.0.1:{taken.getsockname()[1]}", timeout=PATIENCE) as client:
        with ThreadPoolExecutor(1) as pool:
            asked: Future[httpx.Response] = pool.submit(ask, client, photos[0])
            assert held.has_begun.wait(PATIENCE)
            server.handle_exit(signal.SIGINT, None)
            server.handle_exit(signal.SIGINT, None)
            given_up = asked.result()
    running.join(PATIENCE)
    assert not running.is_alive()
    assert not server.service.has_ended
    assert given_up.status_code == 503
    assert ErrorReply.model_validate(given_up.json()).error == "The server is stopping."


def test_files_that_went_wrong_are_answered_or_refused(predictor: Predictor, config: Config) -> None:
    """The long form: python benchmarks/serve_load.py fuzz."""
    seeds = make_seeds()
    with serving(predictor, config) as client:
        for number in range(FUZZED):
            files = {"photos": ("photo.jpg", mutate_file(seeds, number))}
            query = {"masks": ("png", "rle", "none")[number % 3], "overlays": str(number % 2 == 0).lower()}
            reply = client.post("/v1/predict", params=query, files=files)
            assert reply.status_code in (200, 400, 413, 415), f"file {number}: {reply.text}"
            (PredictReply if reply.status_code == 200 else ErrorReply).model_validate(reply.json())
        assert ask(client, seeds[0]).status_code == 200


def test_requests_made_of_the_description_get_what_it_says(predictor: Predictor, config: Config) -> None:
    """The long form: python benchmarks/serve_load.py schema."""
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings, strategies
    from schemathesis.checks import not_a_server_error
    from schemathesis.core.result import Ok
    from schemathesis.specs.openapi import checks

    kept_to = [not_a_server_error, checks.status_code_conformance, checks.content_type_conformance]
    kept_to += [checks.response_headers_conformance, checks.response_schema_conformance, checks.negative_data_rejection]
    schemathesis.openapi.media_type("image/jpeg", strategies.sampled_from(make_seeds()))
    with serving(predictor, config) as client:
        schema = schemathesis.openapi.from_url(f"{client.base_url}/openapi.json")
        operations = [each.ok() for each in schema.get_all_operations() if isinstance(each, Ok)]
        assert len(operations) == 7
        for operation in operations:

            @given(case=operation.as_strategy())
            @settings(
                max_examples=6,
                deadline=None,
                database=None,
                derandomize=True,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            def send(case: Any) -> None:
                case.validate_response(case.call(), checks=kept_to)

            send()
