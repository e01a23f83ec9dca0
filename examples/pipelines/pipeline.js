#!/usr/bin/env node
"use strict";
const { appendFileSync } = require("fs");
const say = (line) => appendFileSync(process.env.BUILDBOT_PIPELINE, JSON.stringify(line) + "\n");

say({ type: "run", name: "build", command: ["echo", "built"] });
for (const part of ["one", "two"]) {
  say({ type: "run", name: `check ${part}`, command: ["echo", part], requires: [], needs: ["build"] });
}
say({ type: "run", name: "report", command: "echo done", needs: ["check one", "check two"] });
