"""Asks a Buildbot master for builds and follows them, through its REST API."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import httpx

from examples.demo.errors import DemoError

#: Buildbot's result codes (buildbot.process.results).
RESULTS = ("success", "warnings", "failure", "skipped", "exception", "retry", "cancelled")
SUCCESS = 0


@dataclass(frozen=True, kw_only=True)
class Build:
    """One build as it stands. `number` and the rest are None until Buildbot has started it."""

    request: int
    builder: str
    number: int | None = None
    #: property `agent`: the machine that runs it
    agent: str | None = None
    #: what it does now, in Buildbot's words
    state: str = "waiting"
    result: int | None = None
    seconds: float = 0.0
    url: str = ""

    @property
    def finished(self) -> bool:
        return self.result is not None


class Master:
    """A running master at `url` (with a slash at its end)."""

    def __init__(self, url: str) -> None:
        self.url = url
        # A connection for each request, and no compression: of some thousand requests to Buildbot 4.3 (Twisted 26.10)
        # over kept connections one was never answered, and one answer said gzip and was none.
        headers = {"Connection": "close", "Accept-Encoding": "identity"}
        self._http = httpx.Client(base_url=f"{url}api/v2/", timeout=30, headers=headers)

    def close(self) -> None:
        self._http.close()

    def force(self, builder: str) -> Build:
        """Ask for a build of `builder` through the scheduler `force`."""
        (found,) = self._get("builders", name=builder)["builders"]
        body = {"jsonrpc": "2.0", "id": 1, "method": "force", "params": {"builderid": found["builderid"]}}
        answer = self._ask("POST", "forceschedulers/force", json=body)
        _, requests = answer["result"]
        return Build(request=next(iter(requests.values())), builder=builder)

    def look(self, build: Build) -> Build:
        """`build` as it stands now. A build that Buildbot runs again is followed to its last run."""
        runs = self._get(f"buildrequests/{build.request}/builds", property="agent")["builds"]
        if not runs:
            return build
        run = max(runs, key=lambda run: run["buildid"])
        result = run["results"]
        if result == RESULTS.index("retry"):
            result = None
        started, ended = run["started_at"], run["complete_at"] or time.time()
        return Build(
            request=build.request,
            builder=build.builder,
            number=run["number"],
            agent=(run.get("properties") or {}).get("agent", [None])[0],
            state=run["state_string"] if result is not None else self._doing(run["buildid"]) or run["state_string"],
            result=result,
            seconds=max(0.0, ended - started),
            url=f"{self.url}#/builders/{run['builderid']}/builds/{run['number']}",
        )

    def log(self, builder: str, step: str, name: str) -> str:
        """A log of the last build of `builder`; empty: there is none."""
        (found,) = self._get("builders", name=builder)["builders"]
        for build in self._get(f"builders/{found['builderid']}/builds", order="-number", limit="1")["builds"]:
            for row in self._get(f"builds/{build['buildid']}/steps", name=step)["steps"]:
                for log in self._get(f"steps/{row['stepid']}/logs", name=name)["logs"]:
                    chunks = self._get(f"logs/{log['logid']}/contents", offset="0", limit=str(log["num_lines"]))
                    return str(chunks["logchunks"][0]["content"])
        return ""

    def _doing(self, buildid: int) -> str:
        """Names of the steps that run, with what they say."""
        steps = self._get(f"builds/{buildid}/steps", complete="false")["steps"]
        return ", ".join(f"{step['name']}: {step['state_string']}" for step in steps if step["started_at"])

    def _get(self, path: str, **query: str) -> Any:
        return self._ask("GET", path, params=query)

    def _ask(self, method: str, path: str, **more: Any) -> Any:
        try:
            answer = self._http.request(method, path, **more)
        except httpx.HTTPError as error:
            raise DemoError(f"the master does not answer at {self.url}: {error}") from None
        if answer.status_code != 200:
            raise DemoError(f"the master answered {answer.status_code} to {method} {answer.url}: {answer.text[:500]}")
        return answer.json()
