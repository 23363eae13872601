/* A host made with libssh: it shows a plain key, and takes no user certificates.
 *
 * Arguments: host key, port. Prints a line when it listens, serves one connection after the other until it
 * is killed.
 */
#include <stdio.h>
#include <unistd.h>

#include <libssh/libssh.h>
#include <libssh/server.h>

int main(int count, char **words) {
    ssh_bind bound = ssh_bind_new();
    if (count != 3 || bound == NULL) {
        return 2;
    }
    ssh_bind_options_set(bound, SSH_BIND_OPTIONS_BINDADDR, "127.0.0.1");
    ssh_bind_options_set(bound, SSH_BIND_OPTIONS_BINDPORT_STR, words[2]);
    ssh_bind_options_set(bound, SSH_BIND_OPTIONS_HOSTKEY, words[1]);
    if (ssh_bind_listen(bound) < 0) {
        fprintf(stderr, "%s\n", ssh_get_error(bound));
        return 1;
    }
    puts("listening");
    fflush(stdout);
    for (;;) {
        ssh_session session = ssh_new();
        if (ssh_bind_accept(bound, session) == SSH_OK && ssh_handle_key_exchange(session) == SSH_OK) {
            ssh_message message;
            ssh_set_auth_methods(session, SSH_AUTH_METHOD_PUBLICKEY);
            while ((message = ssh_message_get(session)) != NULL) {
                if (ssh_message_type(message) == SSH_REQUEST_SERVICE) {
                    ssh_message_service_reply_success(message);
                } else {
                    ssh_message_reply_default(message);
                }
                ssh_message_free(message);
            }
        }
        ssh_disconnect(session);
        ssh_free(session);
    }
}
