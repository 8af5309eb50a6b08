# benchbox on NVIDIA's TensorRT image: TensorRT with its Python bindings, CUDA, and PyTorch for the GPU.
#   docker build -f docker/gpu.Dockerfile -t benchbox:gpu .
#   docker run --rm --gpus all --user "$(id -u):$(id -g)" -v "$PWD:/project" benchbox:gpu run resnet50 --precision fp16
#   docker run --rm --gpus all --user "$(id -u):$(id -g)" -v "$PWD/results/gpu:/results" \
#     --entrypoint python benchbox:gpu \
#     -m pytest /opt/benchbox/tests/gpu
# 26.08 has TensorRT 11.2; images up to 26.04 have TensorRT 10, which ONNX Runtime's TensorRT provider needs.
ARG TENSORRT_IMAGE=nvcr.io/nvidia/tensorrt:26.08-py3
# hadolint ignore=DL3006
FROM ${TENSORRT_IMAGE}
# The image's own Python holds TensorRT: benchbox goes into the same one.
ENV PIP_BREAK_SYSTEM_PACKAGES=1
WORKDIR /opt/benchbox
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY benchbox benchbox
COPY docs docs
# A CPU wheel of ONNX Runtime in the image would own the package directory of the GPU wheel.
RUN pip uninstall --yes onnxruntime \
 && pip install --no-cache-dir --constraint constraints.txt "torch==2.13.0" \
 && pip install --no-cache-dir --constraint constraints.txt ".[torch,gpu]" pytest
COPY tests tests
COPY docker/nightly /usr/local/bin/benchbox-nightly
ENV HOME=/tmp \
    BENCHBOX_GPU_RESULTS=/results
WORKDIR /project
USER 65534
ENTRYPOINT ["benchbox"]
