"""Which methods a path has, over all routes of an API.

Guarantee: `Allow` names each of them and no other, and a path that is written out is never taken
for a value of another one's parameter: with `/books/batch` beside `/books/{book_id}`, a method that
only the latter has is refused there.
"""

from collections.abc import Mapping, Sequence

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response


class Methods:
    """Knows the routes of these routers."""

    def __init__(self, routers: Sequence[APIRouter]) -> None:
        self._routers = routers
        self._routes = [
            route for router in routers for route in router.routes if isinstance(route, APIRoute)
        ]

    def include_into(self, app: FastAPI) -> None:
        """Give the application the routes, in front of them those that refuse."""
        for path, others in self._shadowed().items():
            app.add_route(path, _refuse, others, include_in_schema=False)
        for router in self._routers:
            app.include_router(router)

    def of(self, path: str) -> list[str]:
        """The methods that a request's path has, sorted; none if there is no such path."""
        written_out = [route for route in self._routes if route.path == path]
        found = written_out or [r for r in self._routes if r.path_regex.match(path)]
        return sorted({method for route in found for method in route.methods or ()})

    def _shadowed(self) -> Mapping[str, list[str]]:
        """For each path that is written out, the methods that only another's parameter has."""
        found = {}
        for path in sorted({r.path for r in self._routes if "{" not in r.path}):
            others = {m for r in self._routes if r.path_regex.match(path) for m in r.methods or ()}
            if left := sorted(others - set(self.of(path))):
                found[path] = left
        return found


async def _refuse(request: Request) -> Response:
    raise HTTPException(405)
