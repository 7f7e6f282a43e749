"""The description of the interface, for people: Swagger UI from files of our own, without a script in the page.

FastAPI's own page loads its scripts from a content delivery network and starts them inside the page: the first fails
where there is no network, the second is forbidden by our Content-Security-Policy. The scripts are those of the package
fastapi-offline; the page and its start are ours. All addresses are relative, so that a proxy may put the service
anywhere.
"""

from collections.abc import Callable, Coroutine
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from carclf.serve.page_files import PageFile

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.responses import Response

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>carclf: the interface</title>
<link rel="icon" href="page/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="docs/swagger-ui.css">
<script src="docs/swagger-ui-bundle.js" defer></script>
<script src="docs/start.js" defer></script>
</head>
<body>
<div id="interface"></div>
<noscript>This page needs JavaScript. What it shows stands in <a href="openapi.json">openapi.json</a>, too.</noscript>
</body>
</html>
"""
# validatorUrl: else the description would be sent to a service on the internet that checks it
_START = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#interface",
  validatorUrl: null,
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  presets: [SwaggerUIBundle.presets.apis],
});
"""
_SCRIPT = "text/javascript; charset=utf-8"


def read_docs_files() -> dict[str, PageFile]:
    """All files of the description: path in an address -> file."""
    static = files("fastapi_offline") / "static"
    return {
        "/docs": PageFile("text/html; charset=utf-8", _PAGE.encode()),
        "/docs/start.js": PageFile(_SCRIPT, _START.encode()),
        "/docs/swagger-ui-bundle.js": PageFile(_SCRIPT, (static / "swagger-ui-bundle.js").read_bytes()),
        "/docs/swagger-ui.css": PageFile("text/css; charset=utf-8", (static / "swagger-ui.css").read_bytes()),
    }


def add_docs(app: "FastAPI") -> None:
    """Lets an app send the description of its interface; the app must have no page of that kind (docs_url=None)."""
    for path, file in read_docs_files().items():
        app.add_api_route(path, _sender(file), methods=["GET"], include_in_schema=False)


def _sender(file: PageFile) -> Callable[[], Coroutine[Any, Any, "Response"]]:
    from starlette.responses import Response

    async def send() -> Response:
        return Response(file.data, media_type=file.media_type)

    return send
