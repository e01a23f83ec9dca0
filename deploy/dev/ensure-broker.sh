#!/usr/bin/env bash
# Installs RabbitMQ's server program where it is missing. Private nodes are started from it; the system's own service
# is neither started nor left to start at boot.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. deploy/dev/common.sh

there() { "${PYTHON:-.venv/bin/python}" -c 'from contracts.testing.rabbitmq.program import server_command; server_command()' 2>/dev/null; }

there && exit 0
apt_install rabbitmq-server
if [ -d /run/systemd/system ]; then
  "${as_root[@]}" systemctl disable --quiet rabbitmq-server.service epmd.socket epmd.service 2>/dev/null ||
    say "note: the service rabbitmq-server stays enabled; systemctl disable rabbitmq-server keeps it from starting at boot."
fi
there || fail "rabbitmq-server is installed but was not found: name its program in the environment variable RABBITMQ_SERVER."
