"""paramiko through the proxy, both legs, with nothing but the keys of an agent: as Fabric uses it.

Arguments: proxy port, login, target, command. Prints what the command prints; ends with its status.
"""

import sys

import paramiko


def connected(host, port, login, sock=None):
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
    client.connect(host, port, login, allow_agent=True, look_for_keys=False, sock=sock)
    return client


def main():
    port, login, target, command = sys.argv[1:]
    outer = connected("127.0.0.1", int(port), login)
    session = outer.get_transport().open_session()
    paramiko.agent.AgentRequestHandler(session)
    session.invoke_subsystem("proxy:" + target)

    host, host_port = target.rsplit(":", 1)
    inner = connected(host, int(host_port), login, session)
    _stdin, stdout, _stderr = inner.exec_command(command)
    output = stdout.read()
    sys.stdout.buffer.write(output)
    sys.stdout.flush()
    status = stdout.channel.recv_exit_status()
    inner.close()
    outer.close()
    sys.exit(status)


main()
