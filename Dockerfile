# The HTTP service, from this repository alone:
#
#   docker build -t carclf .
#   docker run --rm --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --stop-timeout 45 \
#     -p 127.0.0.1:8000:8000 -v "$PWD:/model:ro" carclf
#
# /model holds a config with all that it names but the photos: backbones, label files, results with their cache (without
# it the networks are converted at every start, which takes 1 GB more). The service keeps no file; TensorFlow does not
# start without a writable /tmp. Stopping finishes what runs, which takes up to 40 s; Docker would kill after 10.
# Whoever lets others than this machine in gives it a key, too: -e CARCLF_API_KEY=…
# Another config or other limits: what follows the image's name takes the place of CMD.
ARG PYTHON=python:3.11-slim-bookworm

FROM ${PYTHON} AS packages
COPY requirements.txt /tmp/requirements.txt
RUN python3 -m venv /opt/packages && /opt/packages/bin/python -m pip install --no-cache-dir -r /tmp/requirements.txt

FROM ${PYTHON}
COPY --from=packages /opt/packages /opt/packages
WORKDIR /app
COPY . .
# compiled here, as nothing can be written there later
RUN /opt/packages/bin/python -m compileall -q main.py carclf
ENV PATH=/opt/packages/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    MPLCONFIGDIR=/tmp/matplotlib
USER 10001:10001
EXPOSE 8000
# liveness only: a service that is busy is not ill
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["python", "main.py"]
CMD ["serve", "--config", "/model/application_config.json", "--host", "0.0.0.0", "--port", "8000"]
