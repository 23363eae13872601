"""paramiko through the proxy, both legs: outer connection, forwarded agent, inner connection.

Arguments: proxy port, login, key, target, command. Prints what the command prints; ends with its status.
"""

import sys

import paramiko


def main():
    port, login, key_path, target, command = sys.argv[1:]
    key = load(key_path)

    outer = paramiko.Transport(("127.0.0.1", int(port)))
    outer.connect(username=login, pkey=key)
    session = outer.open_session()
    paramiko.agent.AgentRequestHandler(session)
    session.invoke_subsystem("proxy:" + target)

    inner = paramiko.Transport(session)
    inner.connect(username=login, pkey=key)
    print(
        "outer", outer.remote_cipher, "inner", inner.remote_cipher, inner.get_remote_server_key().get_name(),
        file=sys.stderr,
    )
    channel = inner.open_session()
    channel.exec_command(command)
    channel.shutdown_write()
    output = channel.makefile("rb").read()
    status = channel.recv_exit_status()
    sys.stdout.buffer.write(output)
    sys.stdout.flush()

    sftp = paramiko.SFTPClient.from_transport(inner)
    print("sftp", sftp.stat("/").st_mode, file=sys.stderr)
    inner.close()
    outer.close()
    sys.exit(status)


def load(path):
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            key = kind.from_private_key_file(path)
        except paramiko.SSHException:
            continue
        key.load_certificate(path + "-cert.pub")
        return key
    raise SystemExit("no key that paramiko reads")


main()
