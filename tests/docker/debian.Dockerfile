# A host of docker-compose.yml: Debian's sshd as it comes.

FROM debian:12.12-slim
# The package makes host keys; an image must not have any.
RUN apt-get update \
    && apt-get install -y --no-install-recommends openssh-server rsync \
    && rm -rf /var/lib/apt/lists/* /etc/ssh/ssh_host_* \
    && install -d -m 777 /exchange \
    && useradd --create-home --shell /bin/bash deploy
COPY ask.sh node.sh /usr/local/bin/
EXPOSE 22
CMD ["node.sh"]
