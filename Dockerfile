# SPDX-License-Identifier: MIT
# sottod in a container:
#   docker build -t sotto .                               tiny.en inside; --build-arg MODEL=base for another one,
#                                                         --build-arg MODEL= for none
#   docker run --rm -p 127.0.0.1:8177:8177 sotto
#   docker run --rm -p 127.0.0.1:8177:8177 -v ./models:/models:ro sotto --model base     models from a folder of yours
# tests/docker/run_steps runs these steps without a container engine.

FROM debian:bookworm-slim AS build
WORKDIR /src
COPY cmake/debian-packages.txt cmake/
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
       $(awk '$1 == "build" { print $2 }' cmake/debian-packages.txt) \
    && rm -rf /var/lib/apt/lists/*
COPY . .
RUN cmake --preset release -DBUILD_TESTING=OFF \
    && cmake --build --preset release \
    && DESTDIR=/out cmake --install build/release --strip

FROM debian:bookworm-slim AS models
ARG MODEL=tiny.en
WORKDIR /fetch
COPY cmake/debian-packages.txt cmake/
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
       $(awk '$1 == "fetch" { print $2 }' cmake/debian-packages.txt) \
    && rm -rf /var/lib/apt/lists/*
COPY models/fetch models/catalog.json ./
RUN mkdir -p /models && if [ -n "$MODEL" ]; then SOTTO_MODELS=/models ./fetch "$MODEL" silero-vad; fi

FROM debian:bookworm-slim
COPY cmake/debian-packages.txt /usr/local/share/sotto/
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
       $(awk '$1 == "run" { print $2 }' /usr/local/share/sotto/debian-packages.txt) \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 8177 --home-dir /var/lib/sotto --create-home sotto
COPY --from=build /out/usr/local/ /usr/local/
RUN ldconfig
COPY --from=models /models/ /models/
ENV SOTTO_MODELS=/models
USER sotto
WORKDIR /var/lib/sotto
EXPOSE 8177
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD curl -sf -o /dev/null http://127.0.0.1:8177/health
ENTRYPOINT ["sottod", "--listen", "0.0.0.0:8177", "--insecure"]
CMD ["--model", "tiny.en"]
