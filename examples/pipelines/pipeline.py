#!/usr/bin/env python3
"""Python's standard library is enough."""

import json
import os


def say(**line: object) -> None:
    with open(os.environ["BUILDBOT_PIPELINE"], "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


say(type="run", name="build", command=["echo", "built"])
for part in ("one", "two"):
    say(type="run", name=f"check {part}", command=["echo", part], requires=[], needs=["build"])
say(type="run", name="report", command="echo done", needs=["check one", "check two"])
