#!/bin/sh
# Run a command in another root, with /proc and this machine's temporary folder. The mounts are the command's own: they
# are gone with it.
#
#     deploy/dev/in-root.sh FOLDER COMMAND [ARGUMENT…]
set -eu

[ $# -ge 2 ] || {
    echo "usage: $0 FOLDER COMMAND [ARGUMENT…]" >&2
    exit 2
}
# shellcheck disable=SC2016 # expanded by the inner shell
exec unshare --mount --propagation private sh -c '
    root=$1
    shift
    temporary=${TMPDIR:-/tmp}
    mkdir -p "$root$temporary"
    mount --bind "$temporary" "$root$temporary"
    mount -t proc proc "$root/proc"
    exec chroot "$root" "$@"
' in-root "$@"
