"""What is broken, sent to the HTTP service: photos that went wrong, requests made of its own description.

Called by serve_load.py.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.serve_clients import Client, Reply, Service, form, running_service
from tests.mutated_files import make_seeds, mutate_file

FILES, CASES = 5_000, 1_000
CLIENTS = 8
OVERLOADED = 503
QUERIES = ("", "?masks=png", "?masks=rle&overlays=true", "?masks=png&overlays=true&case=true")
FAULT = ("Traceback", '"status": 500')  # in the log of the service


@dataclass
class Outcome:
    """What came of the files: how often each status, and what should not be."""

    statuses: Counter[int] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)


def fuzz(config: Path, log: Path, files: int) -> int:
    """Sends files that went wrong, alone and several at once; returns the exit code."""
    with running_service(config, log) as service:
        before = service.memory_mb()
        outcome = asyncio.run(_send_files(service, files))
        after, highest = service.memory_mb(), service.memory_mb("VmHWM")
    print(f"{files} files that went wrong: answers {dict(sorted(outcome.statuses.items()))}")
    print(
        f"memory of the service: {before:.0f} MB, afterwards {after:.0f} MB; with mapped files at most {highest:.0f} MB"
    )
    return _conclude(outcome.bad, log)


def _conclude(bad: list[str], log: Path) -> int:
    text = log.read_text(encoding="utf-8", errors="replace")
    bad = [*bad, *(f"{log} has {word}" for word in FAULT if word in text)]
    print("\n".join(bad) or "no hang-up, no status from 500 on but 503, no traceback")
    return 1 if bad else 0


async def _send_files(service: Service, files: int) -> Outcome:
    seeds, outcome, numbers = make_seeds(), Outcome(), iter(range(files))

    async def send() -> None:
        client = Client(service.port)
        for number in numbers:
            await _send_file(client, seeds, number, outcome)
        client.close()

    await asyncio.gather(*(send() for _ in range(CLIENTS)))
    reply = await Client(service.port).post("", seeds[0])
    if reply.status != 200:
        outcome.bad.append(f"a sound photo was answered with {reply.status} in the end")
    return outcome


async def _send_file(client: Client, seeds: list[bytes], number: int, outcome: Outcome) -> None:
    """Every third one in a form between two sound ones, so that the answer to those is seen, too."""
    data, query = mutate_file(seeds, number), QUERIES[number % len(QUERIES)]
    try:
        if number % 3:
            reply = await client.post(query, data)
        else:
            body, kind = form([("sound.jpg", seeds[0]), ("broken", data), ("sound.webp", seeds[9])])
            reply = await client.post(query, body, kind)
    except OSError as error:
        outcome.bad.append(f"file {number}: the service hung up ({error})")
        return
    outcome.statuses[reply.status] += 1
    outcome.bad += [f"file {number}: {sentence}" for sentence in _complaints(reply, is_form=number % 3 == 0)]


def _complaints(reply: Reply, is_form: bool) -> Iterator[str]:
    if reply.status >= 500 and reply.status != OVERLOADED:
        yield f"was answered with {reply.status}"
    body = reply.json()
    if reply.status != 200 and set(body) != {"error", "request_id"}:
        yield f"was answered with {reply.status} and {reply.body[:80]!r}"
    # a file that went wrong may hold what looks like the end of the form
    if is_form and reply.status == 200 and "heads" not in body["photos"][0]:
        yield "a sound photo beside it was not answered"


def try_schema(config: Path, log: Path, cases: int) -> int:
    """Sends requests that schemathesis makes of the service's description, right and wrong ones; the exit code."""
    from schemathesis import GenerationMode

    tried = Tried()
    with running_service(config, log) as service:
        operations = _operations(service)
        posts = [each for each in operations if each.method == "post"]
        for operation in operations:  # those without a body have few different requests
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                most = cases // (2 * len(posts)) if operation in posts else cases // (10 * len(operations))
                _try_operation(operation, mode, max(1, most), tried)
    print(f"{sum(tried.statuses.values())} requests: answers {dict(sorted(tried.statuses.items()))}")
    for name, statuses in sorted(tried.by_operation.items()):
        print(f"  {name}: {dict(sorted(statuses.items()))}")
    return _conclude(tried.bad, log)


@dataclass
class Tried:
    """What came of the requests."""

    statuses: Counter[int] = field(default_factory=Counter)
    by_operation: dict[str, Counter[int]] = field(default_factory=dict)
    bad: list[str] = field(default_factory=list)


def _operations(service: Service) -> list[Any]:
    """What the service describes; bodies of photos are sound ones and ones that went wrong."""
    import schemathesis
    from hypothesis import strategies
    from schemathesis.core.result import Ok

    seeds = make_seeds()
    photos = strategies.sampled_from(seeds) | strategies.integers(0, 10_000).map(lambda each: mutate_file(seeds, each))
    for kind in ("image/jpeg", "image/png", "image/webp", "image/bmp", "image/tiff", "application/octet-stream"):
        schemathesis.openapi.media_type(kind, photos | strategies.binary(max_size=2_000))
    schema = schemathesis.openapi.from_url(f"{service.address}/openapi.json")
    found = list(schema.get_all_operations())
    operations = [each.ok() for each in found if isinstance(each, Ok)]
    if len(operations) < len(found):
        raise SystemExit("the description of the service has mistakes")
    return operations


def _try_operation(operation: Any, mode: Any, cases: int, tried: Tried) -> None:
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis.errors import Unsatisfiable

    checks = _checks()
    statuses = tried.by_operation.setdefault(operation.label, Counter())

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=cases,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def send(case: Any) -> None:
        response = case.call()
        statuses[response.status_code] += 1
        tried.statuses[response.status_code] += 1
        if response.status_code != OVERLOADED:
            case.validate_response(response, checks=checks)

    try:
        send()
    except Unsatisfiable:
        pass  # nothing can be wrong in a request without parameters
    except Exception as error:  # what schemathesis or the connection complains about
        tried.bad.append(f"{operation.label}: {json.dumps(str(error))[:1500]}")


def _checks() -> list[Any]:
    """What every reply must keep to; not that sound requests get a 200, as bytes of any kind are sound in a schema."""
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    return [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_headers_conformance,
        checks.response_schema_conformance,
    ]
