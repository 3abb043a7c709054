"""It starts, says how it is, and answers HTTP as its contract promises."""

from conformance.contract import PROBLEM
from conformance.stage import Stage
from conformance.verdicts import Check, document_in, require
from contracts.openapi import differences

PROBLEM_TYPE = "application/problem+json"
PROMISED = ("/health/live", "/health/ready", "/ops/messages")


async def run(stage: Stage) -> str:
    for url in stage.instance.urls:
        for path in PROMISED:
            await _as_promised(stage, url, path)
        metrics = await stage.http.get(f"{url}/metrics")
        require(
            metrics.status_code == 200 and bool(metrics.text),
            expected="GET /metrics to answer 200",
            seen=metrics.status_code,
        )
        await _refuses(stage, url)
    return f"{len(stage.instance.urls)} process(es) ready; {await _document(stage)}"


async def _as_promised(stage: Stage, url: str, path: str) -> None:
    response = await stage.http.get(f"{url}{path}")
    kind = response.headers.get("content-type", "")
    require(
        response.status_code == 200 and kind.startswith("application/json"),
        expected=f"GET {path} to answer 200 with JSON",
        seen=f"{response.status_code} {kind} {response.text[:200]}",
    )
    faults = stage.contract.faults_of_answer(path, 200, document_in(response))
    require(not faults, expected=f"GET {path} as in openapi.yaml", seen="; ".join(faults[:3]))


async def _refuses(stage: Stage, url: str) -> None:
    missing = await stage.http.get(f"{url}/there/is/no/such/path")
    kind = missing.headers.get("content-type", "")
    require(
        missing.status_code == 404 and kind.startswith(PROBLEM_TYPE),
        expected=f"an unknown path to answer 404 with {PROBLEM_TYPE}",
        seen=f"{missing.status_code} {kind}",
    )
    faults = stage.contract.faults_of(PROBLEM, document_in(missing))
    require(not faults, expected="a problem document (RFC 9457)", seen="; ".join(faults[:3]))
    wrong = await stage.http.request("DELETE", f"{url}/health/live")
    require(
        wrong.status_code == 405 and "GET" in wrong.headers.get("allow", ""),
        expected="DELETE /health/live to answer 405, with GET in Allow (RFC 9110)",
        seen=f"{wrong.status_code}, Allow: {wrong.headers.get('allow')}",
    )


async def _document(stage: Stage) -> str:
    served = await stage.http.get(f"{stage.instance.url}/openapi.json")
    if served.status_code == 404 or stage.contract.openapi is None:
        return "it serves no API document"
    differing = differences(stage.contract.openapi, document_in(served))
    require(not differing, expected="/openapi.json to be the contract", seen=differing[:3])
    return "it serves its contract"


CHECK = Check(
    name="health",
    proves="it starts, tells live from ready, and refuses HTTP in the house's form",
    why="a load balancer sends orders to whoever says ready, and clients read problem documents",
    read="the service's openapi.yaml",
    run=run,
)
