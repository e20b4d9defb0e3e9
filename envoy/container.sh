#!/bin/sh
# The entry point of the Envoy image: puts the settings of the environment into
# minimal.yaml (render.sh lists them) and starts Envoy.
set -eu
sh "$(dirname "$0")/render.sh" > /tmp/envoy.yaml
exec envoy --config-path /tmp/envoy.yaml --disable-hot-restart "$@"
