# A host of docker-compose.yml: Alpine's sshd as it comes, with busybox around it.

FROM alpine:3.22.1
# Without PAM, sshd turns away an account whose password is locked: this one has none that matches.
RUN apk add --no-cache openssh rsync \
    && rm -f /etc/ssh/ssh_host_* \
    && install -d -m 777 /exchange \
    && adduser -D deploy \
    && echo 'deploy:*' | chpasswd -e
COPY ask.sh node.sh /usr/local/bin/
EXPOSE 22
CMD ["node.sh"]
