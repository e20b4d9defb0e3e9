#!/bin/sh
# The entry point of the Envoy image: renders a configuration with the settings of the
# environment (`oss-origin-auth render --help` lists them) and starts Envoy.
set -eu
file=${TMPDIR:-/tmp}/envoy.yaml
oss-origin-auth render > "$file"
exec envoy --config-path "$file" --disable-hot-restart "$@"
