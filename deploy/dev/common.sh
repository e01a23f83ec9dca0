# Sourced by the scripts beside it: how to become root for apt-get, and how to say what went wrong.
# shellcheck shell=bash

say() { printf '%s\n' "$*" >&2; }

fail() {
  say "error: $*"
  exit 1
}

# Sets the array `as_root` to what must precede a command that needs root; fails where nothing helps.
may_install() {
  local wanted=$1
  command -v apt-get >/dev/null || fail "$wanted is missing, and this machine has no apt-get: install $wanted with its package manager, then run this again."
  if [ "$(id -u)" -eq 0 ]; then
    as_root=()
  elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
    as_root=(sudo)
  else
    fail "$wanted is missing and needs root to install. Run: apt-get install --no-install-recommends $wanted"
  fi
}

# Installs Debian packages without starting any service that they bring.
apt_install() {
  may_install "$*"
  say "Installing $* (apt-get) ..."
  local policy=/usr/sbin/policy-rc.d made='' status=0
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod 755 "$policy"
    made=yes
  fi
  {
    _apt_get install "$@" || { _apt_get update && _apt_get install "$@"; }
  } >&2 || status=$?
  [ -z "$made" ] || "${as_root[@]}" rm -f "$policy"
  [ "$status" -eq 0 ] || fail "apt-get could not install $*: see its messages above."
}

_apt_get() {
  local action=$1
  shift
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 \
    "$action" ${1:+--no-install-recommends} "$@" </dev/null
}
