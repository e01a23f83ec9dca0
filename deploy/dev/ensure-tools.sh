#!/usr/bin/env bash
# Installs programs that tests run, where they are missing: version control, an ssh server, Node.js, a browser. None is
# started as a service.
#
#     deploy/dev/ensure-tools.sh git sshd hg svn
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. deploy/dev/common.sh

declare -A package=(
  [busybox]=busybox [chromedriver]=chromium-driver [chromium]=chromium [debootstrap]=debootstrap [docker]=docker.io
  [docker-compose]=docker-compose [dockerd]=docker.io
  [git]=git [hg]=mercurial [ip]=iproute2 [iptables]=iptables [node]=nodejs [npm]=npm
  [postgres]=postgresql [promtool]=prometheus
  [setpriv]=util-linux [shellcheck]=shellcheck [ssh]=openssh-client [sshd]=openssh-server [svn]=subversion
  [systemd-analyze]=systemd [tcc]="tcc libc6-dev"
)

# sshd, ip and others are not in everybody's PATH; Debian puts PostgreSQL's server into a folder of its version
there() { PATH="$PATH:/usr/sbin:/sbin$(printf ':%s' /usr/lib/postgresql/*/bin)" command -v "$1" >/dev/null; }

missing=()
for tool in "$@"; do
  [ -n "${package[$tool]:-}" ] || fail "$tool: this script does not know its package; it knows ${!package[*]}."
  # shellcheck disable=SC2206  # a tool may need two packages
  there "$tool" || missing+=(${package[$tool]})
done
[ "${#missing[@]}" -eq 0 ] || apt_install "${missing[@]}"
for tool in "$@"; do
  there "$tool" || fail "$tool is still missing after the installation of ${package[$tool]}."
done
