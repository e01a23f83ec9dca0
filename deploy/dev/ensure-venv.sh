#!/usr/bin/env bash
# Makes .venv with all that development, tests and the demo need, in the versions of requirements-dev.lock; quick when it
# is there already.
# PYTHON chooses the interpreter (3.10 or newer).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. deploy/dev/common.sh

# The environment is tied to this folder (scripts name their interpreter by its path) and to the list of requirements.
stamp=.venv/.complete
requirements=$(cat pyproject.toml requirements-dev.lock | cksum)
if [ "$(cat "$stamp" 2>/dev/null)" = "$PWD"$'\n'"$requirements" ] && .venv/bin/python -c '' 2>/dev/null; then
  exit 0
fi
if [ -e "$stamp" ] && [ "$(head -n 1 "$stamp")" != "$PWD" ]; then
  say "The folder was moved or copied: .venv is made anew."
  rm -rf .venv
fi

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; }
can_make_venv() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }

find_python() {
  local name
  for name in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.10 /usr/bin/python3}; do
    if new_enough "$name" && can_make_venv "$name"; then
      command -v "$name"
      return
    fi
  done
  return 1
}

if ! .venv/bin/python -c 'import pip' 2>/dev/null || ! new_enough .venv/bin/python; then
  if ! python=$(find_python); then
    [ -z "${PYTHON:-}" ] || fail "PYTHON=$PYTHON is not Python 3.10 or newer with the modules venv and ensurepip."
    apt_install python3 python3-venv
    python=$(find_python) || fail "this system's Python is older than 3.10: install a newer one and name it, make PYTHON=python3.12 ..."
  fi
  say "Making .venv with $("$python" --version) ..."
  rm -rf .venv
  "$python" -m venv .venv
fi
rm -f "$stamp"
say "Installing Python packages into .venv ..."
pip=(.venv/bin/python -m pip --quiet --disable-pip-version-check)
# uv needs a third of pip's time, and is told where pip was told to look; a way to an index that only pip has (a keyring, for
# example) is left to pip. Modules are compiled now, as by pip: who does not let Python write bytecode would wait for that
# at each start of each process.
sed -n '/^uv==/,/# via/p' requirements-dev.lock | "${pip[@]}" install --require-hashes --requirement /dev/stdin
settings=$(.venv/bin/python -m pip config list)
pip_says() { # NAME: what pip's settings say of it, in one line
  sed -n "s/^[a-z:]*\.$1='\(.*\)'\$/\1/p" <<<"$settings" | sed 's/\\n/ /g' | head -n 1
}
with_uv() {
  local index more folders certificates
  index=$(pip_says index-url) more=$(pip_says extra-index-url) folders=$(pip_says find-links) certificates=$(pip_says cert)
  env ${index:+UV_DEFAULT_INDEX="$index"} ${more:+UV_INDEX="$more"} ${folders:+UV_FIND_LINKS="$folders"} \
    ${certificates:+SSL_CERT_FILE="$certificates"} UV_INDEX_STRATEGY=unsafe-best-match UV_SYSTEM_CERTS=true \
    .venv/bin/python -m uv pip install --quiet --compile-bytecode "$@"
}
with_uv --require-hashes --requirement requirements-dev.lock ||
  "${pip[@]}" install --require-hashes --requirement requirements-dev.lock
rm -rf buildbot_amqp.egg-info # left by the way in which this package was installed once: it would be believed first
# What it needs and what builds it is there by now.
"${pip[@]}" install --no-deps --no-build-isolation --editable .
printf '%s\n' "$PWD" "$requirements" >"$stamp"
