"""The page for people: files of this package, listed and read at start. No path ever comes from a client."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import PurePath
from typing import TYPE_CHECKING

from carclf.serve.refusals import UNKNOWN, Refusal

if TYPE_CHECKING:
    from fastapi import FastAPI

INDEX = "index.html"
_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".webmanifest": "application/manifest+json",
}
_ALWAYS_ASKED = {"Cache-Control": "no-cache"}  # a newer version of the service brings a newer page


@dataclass(frozen=True)
class PageFile:
    """A file of a page, as it is sent."""

    media_type: str
    data: bytes


def read_page_files() -> dict[str, PageFile]:
    """All files of the page: name -> file; of kinds that a page has."""
    folder = files("carclf.serve") / "page"
    found = {each.name: each for each in folder.iterdir() if each.is_file()} if folder.is_dir() else {}
    kinds = {name: _MEDIA_TYPES.get(PurePath(name).suffix) for name in sorted(found)}
    return {name: PageFile(kind, found[name].read_bytes()) for name, kind in kinds.items() if kind is not None}


def add_page(app: "FastAPI", page: Mapping[str, PageFile]) -> None:
    """Lets an app send the page at / and its files at /page/NAME."""
    from fastapi import Response

    def send(name: str) -> Response:
        if name not in page:
            raise Refusal(UNKNOWN, "The page has no such file.")
        return Response(page[name].data, media_type=page[name].media_type, headers=_ALWAYS_ASKED)

    async def send_index() -> Response:
        return send(INDEX)

    async def send_file(name: str) -> Response:
        return send(name)

    app.add_api_route("/", send_index, methods=["GET"], include_in_schema=False)
    app.add_api_route("/page/{name}", send_file, methods=["GET"], include_in_schema=False)
