#!/usr/bin/env bash
# Runs `make test` in a fresh clone of this repository with the oldest Python that is supported. It has other libraries
# than the newer ones: aio-pika, aiormq and pamqp ended their support of it.
#
#     deploy/dev/test-oldest-python.sh [pytest's arguments]
#
# PYTHON_3_10 names its interpreter where that is not `python3.10` of the PATH; uv fetches one where there is none.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. deploy/dev/common.sh

version=3.10
python=${PYTHON_3_10:-python$version}
if ! "$python" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$version')" 2>/dev/null; then
  [ -z "${PYTHON_3_10:-}" ] || fail "PYTHON_3_10=$python is not Python $version."
  say "Fetching Python $version (uv) ..."
  .venv/bin/python -m uv python install --quiet "$version" ||
    fail "Python $version could not be fetched: see above. Install it, and name it: PYTHON_3_10=… $0"
  python=$(.venv/bin/python -m uv python find --managed-python "$version")
fi

clone=$(mktemp -d "${TMPDIR:-/var/tmp}/buildbot-amqp-python-$version.XXXXXX")
trap 'rm -rf "$clone"' EXIT
git clone --quiet --no-hardlinks . "$clone"
say "== Python $version: $python"
make --no-print-directory --directory "$clone" test PYTHON="$python" ARGS="${*@Q}"
