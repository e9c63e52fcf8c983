# The worker, and from the same image luigid and an MLflow server: see docs/how-to/containers.md.
FROM python:3.12-slim

ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    DATA_DIR=/data

WORKDIR /app

# Dependencies first: they change seldom, and this layer is large.
COPY requirements.lock ./
RUN pip install --require-hashes -r requirements.lock

COPY setup.cfg setup.py pyproject.toml README.md LICENSE ./
COPY champion_luigi ./champion_luigi
RUN pip install --no-deps --no-build-isolation . \
    && rm -rf build *.egg-info \
    && useradd --system --uid 10001 --home-dir /data champion \
    && install --directory --owner champion /data

# Luigi reads it from the folder that it starts in.
COPY luigi.cfg ./

USER champion
VOLUME /data

# Ends at once with a message where something is missing, and waits for nothing.
CMD ["champion", "fill"]
