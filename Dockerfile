# pgproof as a container: the service by default, any command by name.
#
#   docker build --tag pgproof .
#
# BASE is Debian 12 or newer. It runs as an unprivileged user, with a read-only root file system and without the
# Docker socket: logical backups over the network. docs/docker.md says what needs more.
ARG BASE=debian:bookworm-slim
FROM ${BASE}

# gpg and zstd open what pgproof writes; util-linux has setpriv, by which no child outlives pgproof. Clients and servers of
# PostgreSQL 16 to 18 come as wheels with the package.
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends \
      python3 python3-venv ca-certificates gnupg age zstd postgresql-15 docker.io tzdata util-linux >/dev/null \
 && rm -rf /var/lib/apt/lists/*

COPY pyproject.toml README.md LICENSE /src/
COPY src /src/src
ARG PIP_OPTIONS=
RUN python3 -m venv /opt/pgproof \
 && /opt/pgproof/bin/pip install --quiet --no-cache-dir ${PIP_OPTIONS} '/src[all]' \
 && rm -rf /src \
 && groupadd --system --gid 5434 pgproof \
 && useradd --system --uid 5434 --gid 5434 --home-dir /var/lib/pgproof --create-home pgproof \
 && install -d -o pgproof -g pgproof -m 700 /backups /drills

ENV PATH=/opt/pgproof/bin:$PATH PGPROOF_STATE=/var/lib/pgproof PYTHONDONTWRITEBYTECODE=1 TMPDIR=/drills
USER pgproof
WORKDIR /var/lib/pgproof
VOLUME ["/backups", "/var/lib/pgproof", "/drills"]
EXPOSE 9847
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s \
  CMD ["python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9847/health', timeout=5)"]
ENTRYPOINT ["pgproof"]
CMD ["run", "--metrics", "0.0.0.0:9847"]
