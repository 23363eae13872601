"""paramiko signs in on the outer connection, and goes on to the host with the agent of SSH_AUTH_SOCK.

Arguments: proxy port, login, key, order, target, command, answers. The order says what is proved first:
`key` or `questions`. An answer is a word of its question, `=` and the text. Prints what the command prints;
ends with its status.
"""

import sys

import paramiko


def main():
    port, login, key_path, order, target, command, *answers = sys.argv[1:]
    answers = [answer.split("=", 1) for answer in answers]
    key = paramiko.Ed25519Key.from_private_key_file(key_path)

    def answer(title, instructions, prompts):
        del title, instructions
        return [next(text for word, text in answers if word in prompt) for prompt, _echo in prompts]

    outer = paramiko.Transport(("127.0.0.1", int(port)))
    outer.start_client()
    if order == "key":
        print("left", *outer.auth_publickey(login, key), file=sys.stderr)
        outer.auth_interactive(login, answer)
    else:
        print("left", *outer.auth_interactive(login, answer), file=sys.stderr)
        outer.auth_publickey(login, key)
    session = outer.open_session()
    paramiko.agent.AgentRequestHandler(session)
    session.invoke_subsystem("proxy:" + target)

    inner = paramiko.Transport(session)
    inner.connect(username=login, pkey=key)
    channel = inner.open_session()
    channel.exec_command(command)
    output = channel.makefile("rb").read()
    status = channel.recv_exit_status()
    sys.stdout.buffer.write(output)
    sys.stdout.flush()
    inner.close()
    outer.close()
    sys.exit(status)


main()
