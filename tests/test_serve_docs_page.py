"""The description of the interface works without a network and under the page's Content-Security-Policy."""

import asyncio
import re

import httpx
from fastapi import FastAPI

from carclf.serve.docs_page import add_docs, read_docs_files

FILES = ["/docs", "/docs/start.js", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css"]


def get(*paths: str) -> list[httpx.Response]:
    app = FastAPI(docs_url=None, redoc_url=None)
    add_docs(app)

    async def ask() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://here") as client:
            return [await client.get(path) for path in paths]

    return asyncio.run(ask())


def test_every_file_is_sent_as_what_it_is() -> None:
    assert list(read_docs_files()) == FILES
    replies = get(*FILES)
    assert [reply.status_code for reply in replies] == [200] * 4
    types = [reply.headers["content-type"].split(";")[0] for reply in replies]
    assert types == ["text/html", "text/javascript", "text/javascript", "text/css"]
    assert b"SwaggerUIBundle" in replies[2].content
    assert get("/openapi.json")[0].json()["paths"] == {}  # the description does not describe itself


def test_the_page_names_no_other_host_and_runs_no_script_of_its_own() -> None:
    page, start = (reply.text for reply in get("/docs", "/docs/start.js"))
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert {"docs/start.js", "docs/swagger-ui-bundle.js", "docs/swagger-ui.css"} <= set(addresses)
    assert not [address for address in addresses if ":" in address or address.startswith("/")]
    assert re.findall(r"<script[^>]*>([^<]*)</script>", page) == ["", ""]
    assert not re.search(r"<style|style=|\son\w+=", page)
    assert "validatorUrl: null" in start  # else the description would be sent to a service on the internet
    assert "//" not in start


def test_nothing_else_of_the_package_is_sent() -> None:
    for reply in get("/docs/../core.py", "/docs/%2e%2e/core.py", "/docs/redoc.standalone.js", "/docs/"):
        assert reply.status_code != 200
