# benchbox with PyTorch and ONNX Runtime on the CPU.
#   docker build -f docker/cpu.Dockerfile -t benchbox:cpu .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/project" benchbox:cpu run resnet50
FROM python:3.12.12-slim-bookworm
WORKDIR /opt/benchbox
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY benchbox benchbox
COPY docs docs
# For sweeps on Kubernetes: --build-arg EXTRAS=torch,cpu,ray,s3 --build-arg PACKAGES='ray[default]'
ARG EXTRAS=torch,cpu
ARG PACKAGES=""
RUN pip install --no-cache-dir --constraint constraints.txt \
      --extra-index-url https://download.pytorch.org/whl/cpu "torch==2.13.0+cpu" \
 && pip install --no-cache-dir --constraint constraints.txt ".[${EXTRAS}]" ${PACKAGES}
COPY docker/nightly /usr/local/bin/benchbox-nightly
# Caches of the libraries go where any user may write.
ENV HOME=/tmp
# engines/ and results/ live in the folder that is mounted here; --user makes its files the caller's.
WORKDIR /project
USER 65534
ENTRYPOINT ["benchbox"]
