#!/bin/sh
# POSIX sh. What is text of others (a branch, a file's name) is better said by a language with a JSON library.
set -eu
say() { printf '%s\n' "$1" >> "$BUILDBOT_PIPELINE"; }

say '{"type": "run", "name": "build", "command": ["echo", "built"]}'
for part in one two; do
  say "{\"type\": \"run\", \"name\": \"check $part\", \"command\": [\"echo\", \"$part\"], \"requires\": [], \"needs\": [\"build\"]}"
done
say '{"type": "run", "name": "report", "command": "echo done", "needs": ["check one", "check two"]}'
