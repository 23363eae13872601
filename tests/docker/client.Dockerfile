# A person's machine of docker-compose.yml: OpenSSH's client, and nothing of rproxy's.

FROM debian:12.12-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends openssh-client rsync \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -m 777 /exchange \
    && useradd --create-home --shell /bin/bash alice
COPY ask.sh client.sh /usr/local/bin/
USER alice
WORKDIR /home/alice
CMD ["client.sh"]
