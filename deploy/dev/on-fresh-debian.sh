#!/usr/bin/env bash
# Runs a command in a fresh clone of this repository on a fresh, minimal Debian 12 in a folder, which is removed
# afterwards. What the machine knows of its network goes along: mirrors, proxies, pip's and npm's settings, certificates.
# Needs root. Ends with the command's exit status.
#
#     deploy/dev/on-fresh-debian.sh make test
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. deploy/dev/common.sh

[ $# -ge 1 ] || { say "usage: $0 COMMAND [ARGUMENT…]"; exit 2; }
[ "$(id -u)" -eq 0 ] || fail "a fresh Debian in a folder needs root (chroot, mount): run it as root, with sudo for example. \`make test\` runs the same tests on this machine as it is."
command -v debootstrap >/dev/null || apt_install debootstrap
command -v git >/dev/null || apt_install git

release=bookworm
base="${TMPDIR:-/var/tmp}/buildbot-amqp-fresh"
[ "$base" != /tmp/buildbot-amqp-fresh ] || base=/var/tmp/buildbot-amqp-fresh # /tmp may be small, and in memory

# What a killed run left behind: its lock is free.
for left in "$base".*/; do
  if [ -d "$left" ] && flock --nonblock "$left" true; then
    rm -rf --one-file-system "$left"
  fi
done
folder=$(mktemp -d "$base.XXXXXX")
exec {lock}<"$folder"
flock --nonblock "$lock"
# By now all that ran in there has ended, and its mounts with it: see `unshare` below.
trap 'rm -rf --one-file-system "$folder"' EXIT
root="$folder/root"

mirror=$(sed -n 's/^deb [^h]*\(http[^ ]*\) .*/\1/p; s/^URIs: *\(http[^ ]*\).*/\1/p' \
  /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
  grep -v security | head -n 1 || true)
say "Making a fresh Debian ($release) in $root ..."
debootstrap --variant=minbase --include=ca-certificates,git,make,python3,python3-venv "$release" "$root" \
  "${mirror:-http://deb.debian.org/debian}" >"$folder/debootstrap.log" ||
  { tail -n 20 "$folder/debootstrap.log" >&2; fail "debootstrap could not make a Debian ($release) from ${mirror:-http://deb.debian.org/debian}: see above."; }

# Settings of the machine's, at the same places in there.
for name in /etc/apt/apt.conf.d /etc/apt/auth.conf.d /etc/hosts /etc/npmrc /etc/pip.conf /etc/resolv.conf \
  /etc/ssl/certs/ca-certificates.crt /etc/xdg/pip; do
  [ ! -e "$name" ] || { mkdir -p "$root${name%/*}"; cp -rLT "$name" "$root$name"; }
done
for name in .config/pip .npmrc .pip; do
  [ ! -e "${HOME:-/root}/$name" ] || { mkdir -p "$(dirname "$root/root/$name")"; cp -rLT "${HOME:-/root}/$name" "$root/root/$name"; }
done
environment=(HOME=/root LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin CI=true)
# Node.js has certificates of its own.
environment+=(NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt)
for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
  [ -z "${!name:-}" ] || environment+=("$name=${!name}")
done

[ -z "$(git status --porcelain)" ] || say "note: what is not committed is not in there."
git clone --quiet --no-hardlinks "$PWD" "$root/buildbot-amqp"

say "Running there: $*"
# Processes and mounts are the namespaces' own: nothing of them is left when this ends, however it ends.
# shellcheck disable=SC2016 # the inner shell expands
unshare --mount --propagation private --pid --fork --kill-child bash -c '
  root=$1 variables=$2
  shift 2
  mount --bind "$root" "$root" # a mount of its own: what runs in there may make namespaces of its own
  mount -t proc proc "$root/proc"
  mount --rbind /sys "$root/sys"
  mount --rbind /dev "$root/dev"
  exec chroot "$root" env -i "${@:1:variables}" bash -c "cd /buildbot-amqp && \"\$@\"" fresh "${@:1+variables}"
' in-namespaces "$root" "${#environment[@]}" "${environment[@]}" "$@" </dev/null &
child=$!
# unshare lets SIGTERM pass it by while it waits; with it all that runs in there is killed.
trap 'kill -KILL "$child" 2>/dev/null || true; wait "$child" || true; exit 143' TERM INT HUP
status=0
wait "$child" || status=$?
exit "$status"
