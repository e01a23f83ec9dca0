#!/usr/bin/env bash
# Installs programs that tests run, where they are missing: version control, an ssh server. None is started as a service.
#
#     deploy/dev/ensure-tools.sh git sshd hg svn
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. deploy/dev/common.sh

declare -A package=([git]=git [sshd]=openssh-server [ssh]=openssh-client [hg]=mercurial [svn]=subversion [setpriv]=util-linux)

# sshd is not in everybody's PATH
there() { PATH="$PATH:/usr/sbin" command -v "$1" >/dev/null; }

missing=()
for tool in "$@"; do
  [ -n "${package[$tool]:-}" ] || fail "$tool: this script does not know its package; it knows ${!package[*]}."
  there "$tool" || missing+=("${package[$tool]}")
done
[ "${#missing[@]}" -eq 0 ] || apt_install "${missing[@]}"
for tool in "$@"; do
  there "$tool" || fail "$tool is still missing after the installation of ${package[$tool]}."
done
