"""Calls a function on the host db1 by mitogen. Arguments: ssh, its configuration, the login."""

import sys

import mitogen.utils


@mitogen.utils.run_with_router
def main(router):
    ssh, config, login = sys.argv[1:]
    host = router.ssh(
        hostname="db1",
        username=login,
        ssh_path=ssh,
        ssh_args=["-F", config],
        python_path=[sys.executable],
    )
    sys.stdout.write(host.call(eval, "'there and back %d' % (6 * 7)") + "\n")
