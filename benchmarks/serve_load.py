"""Tries the HTTP service under load, for long, and with what is broken; all on loopback, each part stops by itself.

    python benchmarks/serve_load.py load      64 clients for 60 s: p50, p99, photos a second beside `predict`; too many
    python benchmarks/serve_load.py memory    40,000 requests of all kinds: whether memory is flat after 20,000
    python benchmarks/serve_load.py fuzz      5,000 photos that went wrong
    python benchmarks/serve_load.py schema    1,000 requests that schemathesis makes of the service's own description

The model answers three questions at 224 px about the photos of ../shared/data/car_damage; it is trained first (half a
minute). --masks trains one that draws masks, too; --config takes any other one. Service and clients share the machine's
cores. The exit code is 1 if something is wrong.
"""

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.serve_clients import Client, Reply, Service, form, running_service
from carclf.config import Config, read_config
from carclf.photo_source import PhotoSource
from carclf.saying import Answer

PHOTOS = 800
CLIENTS, SECONDS = 64, 60.0
TOO_MANY, TOO_MANY_SECONDS = 400, 10.0  # clients at once; the queue holds 128 photos
REQUESTS, MEMORY_CLIENTS, SAMPLES = 40_000, 16, 40
GROWN = 20_000  # requests after which memory has to be flat; of fewer than twice as many, the first half
MOST_GROWTH = 0.03  # of the memory, along the straight line through what was measured after that
TOLERANCE = 1e-5
OVERLOADED = 503
Photos = Sequence[PhotoSource]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("load", "memory", "fuzz", "schema"))
    parser.add_argument("--config", type=Path, help="of a trained model; default: trains one")
    parser.add_argument("--masks", action="store_true", help="the model that is trained draws masks, too")
    parser.add_argument("--photos", type=Path, help="folder of photos; default: those of shared/data/car_damage")
    parser.add_argument(
        "--log", type=Path, default=Path("results", "serve.log"), help="what the service writes; default: %(default)s"
    )
    parser.add_argument("--count", type=int, help="requests, files or cases; of load: seconds")
    given = parser.parse_args()
    config = given.config or train(given.masks)
    photos = read_photos(given.photos)
    if given.part == "load":
        return measure_load(config, photos, given.log, given.count or SECONDS)
    if given.part == "memory":
        return measure_memory(config, photos, given.log, given.count or REQUESTS)
    from benchmarks import serve_fuzz

    part: Callable[[Path, Path, int], int] = serve_fuzz.fuzz if given.part == "fuzz" else serve_fuzz.try_schema
    return part(config, given.log, given.count or (serve_fuzz.FILES if given.part == "fuzz" else serve_fuzz.CASES))


def train(masks: bool) -> Path:
    """Trains the model, with a segmentation head or without, if it is not yet, and writes its config into a file."""
    from benchmarks.car_damage import configured
    from carclf.app import run_config

    config = configured(224, masks)
    run_config(config)
    path = config.results.parent / f"serve_load_{config.results.name}.json"
    path.write_text(config.model_dump_json(exclude_none=True, exclude_defaults=True))
    return path


def read_photos(folder: Path | None) -> list[PhotoSource]:
    from benchmarks.car_damage import SHARED

    paths = sorted((folder or SHARED / "data" / "car_damage" / "photos").iterdir())[:PHOTOS]
    return [PhotoSource(Path(path.name), path.read_bytes()) for path in paths]


def measure_load(path: Path, photos: Photos, log: Path, seconds: float) -> int:
    """Answers photos with `predict`, over HTTP, and with `predict` again, as the machine may have become slower."""
    config = read_config(path)
    before, expected = time_predict(config, photos)
    with running_service(path, log) as service:
        alone = asyncio.run(send_for(service, photos, 1, seconds / 6))
        full = asyncio.run(send_for(service, photos, CLIENTS, seconds))
        flooded = asyncio.run(send_for(service, photos, TOO_MANY, min(seconds, TOO_MANY_SECONDS)))
    after, _ = time_predict(config, photos)
    print(f"predict, the same {len(photos)} photos in memory: {before:.1f} and, afterwards, {after:.1f} photos/s")
    alone.report("1 client")
    full.report(f"{CLIENTS} clients")
    flooded.report(f"{TOO_MANY} clients")
    print(f"{CLIENTS} clients get {full.speed / before:.1%} and {full.speed / after:.1%} of predict's photos/s")
    wrong = max(difference(expected, load.told(photos)) for load in (alone, full, flooded))
    print(f"largest difference from predict's probabilities: {wrong:.1e}")
    bad = alone.faults() + full.faults() + flooded.faults() + (wrong > TOLERANCE)
    return 1 if bad else 0


def time_predict(config: Config, photos: Photos) -> tuple[float, dict[str, Any]]:
    """Photos a second of the faster of two rounds, and the answers: photo's name -> heads."""
    from carclf.using import open_predictor

    predictor = open_predictor(config)
    rounds = []
    for _ in range(2):
        started = time.perf_counter()
        answers = list(predictor.predict(photos))
        rounds.append(time.perf_counter() - started)
    heads = {str(each.path): each.fields["heads"] for each in answers if isinstance(each, Answer)}
    return len(photos) / min(rounds), heads


class Load:
    """What many clients got."""

    def __init__(self) -> None:
        self.replies: list[tuple[int, Reply]] = []  # number of the photo, what came of it
        self.hung_up = 0
        self.seconds = 0.0

    def told(self, photos: Photos) -> list[tuple[str, Any]]:
        """(photo's name, heads) of those that were answered."""
        good = ((place, reply) for place, reply in self.replies if reply.status == 200)
        return [(str(photos[place].path), reply.json()["photos"][0]["heads"]) for place, reply in good]

    @property
    def speed(self) -> float:
        """Photos a second that were answered."""
        return sum(reply.status == 200 for _, reply in self.replies) / self.seconds

    def report(self, who: str) -> None:
        """Prints a line."""
        took = 1000 * np.array([reply.seconds for _, reply in self.replies if reply.status == 200])
        statuses = dict(sorted(Counter(reply.status for _, reply in self.replies).items()))
        p50, p99 = (np.percentile(took, each) for each in (50, 99))
        print(
            f"{who}, {self.seconds:.0f} s: {self.speed:.1f} photos/s, p50 {p50:.0f} ms, p99 {p99:.0f} ms, longest "
            f"{took.max():.0f} ms; answers {statuses}, hung up {self.hung_up}",
            flush=True,
        )

    def faults(self) -> int:
        """Replies that should not be: all but answers, and 503 with the time to wait."""
        return self.hung_up + sum(
            reply.status != 200 and (reply.status != OVERLOADED or not reply.headers.get("retry-after", "").isdecimal())
            for _, reply in self.replies
        )


async def send_for(service: Service, photos: Photos, clients: int, seconds: float) -> Load:
    """Lets clients send photo after photo; one that is told to come back later does, after a second."""
    load = Load()
    started = time.perf_counter()

    async def send(number: int) -> None:
        client, place = Client(service.port), number * len(photos) // clients
        while time.perf_counter() - started < seconds:
            try:
                reply = await client.post("", photos[place].read_bytes())
            except OSError:
                load.hung_up += 1
                continue
            load.replies.append((place, reply))
            if reply.status == OVERLOADED:
                await asyncio.sleep(1)
            place = (place + 1) % len(photos)
        client.close()

    await asyncio.gather(*(send(number) for number in range(clients)))
    load.seconds = time.perf_counter() - started
    return load


def difference(expected: dict[str, Any], told: Sequence[tuple[str, Any]]) -> float:
    """The largest difference of probabilities; those of heads that give none do not count."""
    most = 0.0
    for name, heads in told:
        for head, said in heads.items():
            if "probabilities" in said:
                other = expected[name][head]["probabilities"]
                most = max(most, *(abs(said["probabilities"][label] - other[label]) for label in other))
    return most


def measure_memory(path: Path, photos: Photos, log: Path, requests: int) -> int:
    """Sends requests of all kinds and watches the memory of the service."""
    with running_service(path, log) as service:
        first = service.memory_mb()
        samples, statuses = asyncio.run(send_all(service, photos, requests))
        highest = service.memory_mb("VmHWM")
    print("| requests answered | MB of the service's own memory |\n| ---: | ---: |")
    for count, memory in ((0, first), *samples):
        print(f"| {count:,} | {memory:.1f} |")
    grown = min(GROWN, requests // 2)
    begin, end = line_through([each for each in samples if each[0] >= grown])
    growth = end / begin - 1
    print(
        f"line through what was measured from {grown:,} requests on: {begin:.1f} to {end:.1f} MB ({growth:+.1%}; flat: "
        f"at most {MOST_GROWTH:+.0%}); with mapped files at most {highest:.0f} MB"
    )
    print(f"answers {dict(sorted(statuses.items()))}")
    bad = growth > MOST_GROWTH or any(status >= 500 and status != OVERLOADED for status in statuses)
    return 1 if bad else 0


def line_through(samples: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """(MB at the first sample, MB at the last one) of the straight line that fits them best."""
    counts, memory = np.array(samples).T
    line = np.poly1d(np.polyfit(counts, memory, 1))
    return float(line(counts[0])), float(line(counts[-1]))


async def send_all(service: Service, photos: Photos, requests: int) -> tuple[list[tuple[int, float]], Counter[int]]:
    """([(requests answered, MB), …], status -> how often)."""
    from tests.mutated_files import make_seeds, mutate_file

    seeds, statuses, numbers = make_seeds(), Counter[int](), iter(range(requests))
    samples: list[tuple[int, float]] = []

    async def send() -> None:
        client = Client(service.port)
        for number in numbers:
            photo = photos[number % len(photos)]
            if number % 5 == 0:  # something broken
                reply = await client.post("", mutate_file(seeds, number))
            elif number % 50 == 1:  # a case, with pictures
                body, kind = form([(str(each.path), each.read_bytes()) for each in photos[number % len(photos) :][:4]])
                reply = await client.post("?masks=png&overlays=true&case=true", body, kind)
            else:
                reply = await client.post("", photo.read_bytes())
            statuses[reply.status] += 1
            if sum(statuses.values()) % max(1, requests // SAMPLES) == 0:
                samples.append((sum(statuses.values()), service.memory_mb()))
        client.close()

    await asyncio.gather(*(send() for _ in range(MEMORY_CLIENTS)))
    return samples, statuses


if __name__ == "__main__":
    sys.exit(main())
