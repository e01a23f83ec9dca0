# Stands for python:*-slim of the Dockerfiles: a Python 3.13 with venv and pip on Debian 13.
FROM compose-test-debian:13
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3 python3-venv \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb
