"""AsyncSSH through the proxy, both legs: it checks host certificates, and forwards its agent.

Arguments: proxy port, login, key, known_hosts, target, command. Prints what the command prints; ends
with its status. The inner connection's bytes go through a socket pair into the outer one's session.
"""

import asyncio
import os
import socket
import sys

import asyncssh


async def pump(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def main():
    port, login, key, known_hosts, target, command = sys.argv[1:]
    host = target.split(":")[0]
    common = {
        "username": login,
        "client_keys": [(key, key + "-cert.pub")],
        "known_hosts": known_hosts,
        "config": None,
    }
    async with asyncssh.connect(
        "127.0.0.1",
        int(port),
        agent_forwarding=True,
        agent_path=os.environ["SSH_AUTH_SOCK"],
        **common,
    ) as outer:
        ours, theirs = socket.socketpair()
        near_reader, near_writer = await asyncio.open_connection(sock=theirs)
        far_writer, far_reader, _ = await outer.open_session(
            subsystem="proxy:" + target, encoding=None
        )
        pumps = [
            asyncio.ensure_future(pump(near_reader, far_writer)),
            asyncio.ensure_future(pump(far_reader, near_writer)),
        ]
        async with asyncssh.connect(host, sock=ours, agent_path=None, **common) as inner:
            result = await inner.run(command, encoding=None)
            sys.stdout.buffer.write(result.stdout)
            async with inner.start_sftp_client() as sftp:
                print("sftp", (await sftp.stat("/")).permissions, file=sys.stderr)
            print("inner", inner.get_extra_info("recv_cipher"), file=sys.stderr)
            status = result.exit_status
        for one in pumps:
            one.cancel()
    sys.stdout.flush()
    sys.exit(status)


asyncio.run(main())
