"""The routes that tell of the model: its heads, the limits, its report."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from carclf.serve.errors import error_responses
from carclf.serve.model_facts import ModelFacts
from carclf.serve.refusals import UNKNOWN, Refusal
from carclf.serve.schemas import ModelsReply, ReportReply

_PNG = {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}


def make_model_routes(facts: ModelFacts, errors: tuple[int, ...]) -> APIRouter:
    """Makes the routes; `errors`: statuses that every route can answer with."""
    routes = APIRouter()

    @routes.get(
        "/v1/models",
        response_model=ModelsReply,
        responses=error_responses(*errors),
        summary="The model, and the limits of a request",
    )
    async def models() -> Response:
        return JSONResponse(facts.models)

    @routes.get(
        "/v1/report",
        response_model=ReportReply,
        responses=error_responses(*errors, 404),
        summary="How well the model was judged",
    )
    async def report() -> Response:
        if facts.report is None:
            raise Refusal(UNKNOWN, "The model has no report: results.json or results.txt is missing in its run.")
        return JSONResponse(facts.report)

    @routes.get(
        "/v1/report/pictures/{name}",
        response_class=Response,
        responses={200: _PNG, **error_responses(*errors, 404, 422)},
        summary="A picture of the report",
    )
    def picture(name: str) -> Response:
        try:
            return Response(facts.pictures[name].read_bytes(), media_type="image/png")
        except (KeyError, OSError):
            raise Refusal(UNKNOWN, "The report has no such picture.") from None

    return routes
