#!/usr/bin/env bash
# Runs what leans on Buildbot's own code and pages on the oldest series of Buildbot that is supported; the newest is what
# all other tests run on.
#
#     deploy/dev/test-buildbots.sh [pytest's arguments]
#
# BUILDBOT names another version, as "4.2.0".
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

version=${BUILDBOT:-4.2.1}
home=.venv-buildbot-$version
if ! "$home/bin/python" -c "import sys, buildbot; sys.exit(buildbot.version != '$version')" 2>/dev/null; then
  rm -rf "$home"
  .venv/bin/python -m venv "$home"
  "$home/bin/python" -m pip install --quiet --editable '.[dev]' \
    "buildbot==$version" "buildbot-www==$version" "buildbot-worker==$version"
fi
echo "== Buildbot $version"
exec "$home/bin/python" -m pytest --timeout 1800 tests/unit/bridge_edge/internals tests/unit/www tests/buildbot/page "$@"
