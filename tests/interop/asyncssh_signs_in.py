"""AsyncSSH signs in with a key and by answers, and asks the proxy for something.

Arguments: proxy port, user, key, known_hosts, command, answers. An answer is a word of its question, `=` and
the text. Prints how it authenticated, and what the command prints; ends with its status.
"""

import asyncio
import sys

import asyncssh


class Person(asyncssh.SSHClient):
    def __init__(self, answers):
        self.answers = answers

    def kbdint_auth_requested(self):
        print("questions", file=sys.stderr)
        return ""

    def kbdint_challenge_received(self, name, instructions, lang, prompts):
        return [next(text for word, text in self.answers if word in prompt) for prompt, _echo in prompts]


async def main():
    port, user, key, known_hosts, command, *answers = sys.argv[1:]
    answers = [answer.split("=", 1) for answer in answers]
    connection, _client = await asyncssh.create_connection(
        lambda: Person(answers),
        "127.0.0.1",
        int(port),
        username=user,
        client_keys=[key],
        known_hosts=known_hosts,
        agent_path=None,
        config=None,
    )
    async with connection:
        result = await connection.run(command)
        sys.stdout.write(result.stdout)
        status = result.exit_status
    sys.stdout.flush()
    sys.exit(status)


asyncio.run(main())
