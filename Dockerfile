# One image for each deployable; SOURCE says which: services/order, tools/stripe_simulator, ...
# The dependencies are a layer that all of them share. What runs is an ordinary user, and nothing is
# written but to /data, so the root file system may be read-only.
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS dependencies
RUN python -m venv --without-pip /opt/venv
COPY requirements/runtime.txt /tmp/
# pip, because it heeds the index and the authorities that a base image is set up with.
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/venv/bin/python install --quiet --disable-pip-version-check \
        --require-hashes --no-deps -r /tmp/runtime.txt
COPY docker/prune.py /tmp/
RUN python /tmp/prune.py /opt/venv

FROM ${PYTHON_IMAGE} AS sources
ARG SOURCE
COPY libs/*/src/ /opt/app/
COPY ${SOURCE}/src/ /opt/app/
# Compiled here, since nothing can be written later.
RUN python -m compileall -q /opt/app

FROM ${PYTHON_IMAGE}
RUN install -d -o 10001 -g 10001 /data
COPY --from=dependencies /opt/venv /opt/venv
COPY docker/healthcheck.py /opt/
COPY --from=sources /opt/app /opt/app
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/opt/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HTTP_HOST=0.0.0.0 \
    HTTP_PORT=8000
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --retries=3 --start-period=30s --start-interval=1s \
    CMD ["python", "-I", "-S", "/opt/healthcheck.py"]
# The exec form, so that SIGTERM reaches the service itself, which drains.
ENTRYPOINT ["python", "-m"]
