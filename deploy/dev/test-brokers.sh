#!/usr/bin/env bash
# Runs the tests marked `brokers` on each generation of RabbitMQ, and says at the end on which versions they ran.
#
#     deploy/dev/test-brokers.sh [pytest's arguments]
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1

status=0
ran=()
for version in 3.10 4.0 4.3; do
  server=$(deploy/dev/broker-root.sh "$version") || exit 1
  # shellcheck disable=SC2086 # a command and its arguments
  version=$(HOME=/tmp ${server%rabbitmq-server}rabbitmqctl version)
  echo "== RabbitMQ $version: $server"
  if RABBITMQ_SERVER=$server .venv/bin/python -m pytest -m brokers --timeout 1800 "$@"; then
    ran+=("$version passed")
  else
    ran+=("$version FAILED")
    status=1
  fi
done
printf 'RabbitMQ %s\n' "${ran[@]}"
exit "$status"
