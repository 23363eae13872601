"""An AsyncSSH host with a host certificate, which trusts the user CA.

Arguments: host key (its certificate beside it), file with the user CA, port, and the names of
the only signature algorithms that it takes from users, if not all. Prints the port when it listens,
serves until it is killed; a command's output is what it was given on standard input, then its own text.
"""

import asyncio
import sys

import asyncssh


async def handle(process):
    async for line in process.stdin:
        process.stdout.write(line)
    process.stdout.write("command: %s\n" % process.command)
    process.stderr.write("to stderr\n")
    process.exit(7)


async def main():
    key, authority, port, *signatures = sys.argv[1:]
    with open(authority) as lines:
        trusted = "".join("cert-authority " + line for line in lines if line.strip())
    server = await asyncssh.create_server(
        asyncssh.SSHServer,
        "127.0.0.1",
        int(port),
        server_host_keys=[(key, key + "-cert.pub")],
        authorized_client_keys=asyncssh.import_authorized_keys(trusted),
        process_factory=handle,
        sftp_factory=True,
        signature_algs=signatures or (),
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.wait_closed()


asyncio.run(main())
