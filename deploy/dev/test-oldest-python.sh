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
mkdir -p .cache # no temporary folder: one test hides those
clone=$(mktemp -d "$PWD/.cache/python-$version.XXXXXX")
trap 'rm -rf "$clone"' EXIT
chmod 755 "$clone"
git clone --quiet --no-hardlinks . "$clone/repository"

python=${PYTHON_3_10:-python$version}
if ! "$python" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$version')" 2>/dev/null; then
  [ -z "${PYTHON_3_10:-}" ] || fail "PYTHON_3_10=$python is not Python $version."
  say "Fetching Python $version (uv) ..."
  export UV_PYTHON_INSTALL_DIR=$clone/python # a home may be closed to other users
  .venv/bin/python -m uv python install "$version" ||
    fail "Python $version could not be fetched: see above. Install it, and name it: PYTHON_3_10=… $0"
  python=$(.venv/bin/python -m uv python find --managed-python "$version")
fi
python=$("$python" -c 'import os, sys; print(os.path.realpath(sys.executable))')
if [ "$(id -u)" -eq 0 ] && ! setpriv --reuid=nobody --regid=nogroup --clear-groups "$python" -c '' 2>/dev/null; then
  fail "other users cannot run $python, as some tests do: open the folders above it to them (chmod o+x)."
fi
say "== Python $version: $python"
make --no-print-directory --directory "$clone/repository" test PYTHON="$python" ARGS="${*@Q}"
