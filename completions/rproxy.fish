# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_rproxy_global_optspecs
    string join \n config= data-dir= h/help V/version
end

function __fish_rproxy_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_rproxy_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_rproxy_using_subcommand
    set -l cmd (__fish_rproxy_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c rproxy -n "__fish_rproxy_needs_command" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_needs_command" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_needs_command" -s h -l help -d 'Print help'
complete -c rproxy -n "__fish_rproxy_needs_command" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_needs_command" -f -a "serve" -d 'Run the proxy'
complete -c rproxy -n "__fish_rproxy_needs_command" -f -a "auth" -d 'Make, export, import and rotate the CA keys; sign, list and revoke certificates'
complete -c rproxy -n "__fish_rproxy_needs_command" -f -a "config" -d 'Print the block that sends OpenSSH clients through the proxy'
complete -c rproxy -n "__fish_rproxy_needs_command" -f -a "explain" -d 'Say whether somebody may log in somewhere, and which line of the configuration decides'
complete -c rproxy -n "__fish_rproxy_needs_command" -f -a "host" -d 'Prepare a host for the proxy'
complete -c rproxy -n "__fish_rproxy_needs_command" -f -a "nodes" -d 'Print the script with which hosts join; list, lock and remove hosts'
complete -c rproxy -n "__fish_rproxy_needs_command" -f -a "recordings" -d 'List and export recordings'
complete -c rproxy -n "__fish_rproxy_needs_command" -f -a "play" -d 'Replay a recording'
complete -c rproxy -n "__fish_rproxy_needs_command" -f -a "sessions" -d 'List, watch and end live sessions'
complete -c rproxy -n "__fish_rproxy_needs_command" -f -a "state" -d 'Look at the state, back it up, restore it, move it to another database'
complete -c rproxy -n "__fish_rproxy_needs_command" -f -a "tokens" -d 'Add, list and remove tokens, with which hosts join'
complete -c rproxy -n "__fish_rproxy_needs_command" -f -a "users" -d 'Add, list, lock and remove people who sign in with a password'
complete -c rproxy -n "__fish_rproxy_needs_command" -f -a "reload" -d 'Have the running proxy read its configuration again'
complete -c rproxy -n "__fish_rproxy_needs_command" -f -a "upgrade" -d 'Have the running proxy replace itself by the program that is installed now'
complete -c rproxy -n "__fish_rproxy_needs_command" -f -a "stop" -d 'Stop the running proxy'
complete -c rproxy -n "__fish_rproxy_needs_command" -f -a "completions" -d 'Print a script that completes this command line in a shell'
complete -c rproxy -n "__fish_rproxy_needs_command" -f -a "doctor" -d 'Look for what is wrong, and say what to do about it'
complete -c rproxy -n "__fish_rproxy_needs_command" -f -a "help" -d 'Print help for a command'
complete -c rproxy -n "__fish_rproxy_needs_command" -f -a "init" -d 'Set up a proxy: the configuration, the CAs and the first administrator'
complete -c rproxy -n "__fish_rproxy_needs_command" -f -a "man" -d 'Print the manual page of rproxy, or write those of all commands'
complete -c rproxy -n "__fish_rproxy_needs_command" -f -a "version" -d 'Print the version'
complete -c rproxy -n "__fish_rproxy_using_subcommand serve" -l log-format -d 'How log lines look on standard error' -r -f -a "text\t'For people'
json\t'One JSON object per line'"
complete -c rproxy -n "__fish_rproxy_using_subcommand serve" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand serve" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand serve" -l check -d 'Check the configuration, and what else serve needs to start, and stop: exit code 0 if all is well, 78 if not'
complete -c rproxy -n "__fish_rproxy_using_subcommand serve" -l print-config -d 'Print the configuration in force, defaults included, and stop'
complete -c rproxy -n "__fish_rproxy_using_subcommand serve" -l defaults -d 'Run with the defaults if there is no configuration file; without this, that is an error'
complete -c rproxy -n "__fish_rproxy_using_subcommand serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand serve" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and not __fish_seen_subcommand_from export import init krl ls revoke sign rotate status unrevoke" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and not __fish_seen_subcommand_from export import init krl ls revoke sign rotate status unrevoke" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and not __fish_seen_subcommand_from export import init krl ls revoke sign rotate status unrevoke" -s h -l help -d 'Print help'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and not __fish_seen_subcommand_from export import init krl ls revoke sign rotate status unrevoke" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and not __fish_seen_subcommand_from export import init krl ls revoke sign rotate status unrevoke" -f -a "export" -d 'Print a CA\'s public keys as lines for OpenSSH\'s files'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and not __fish_seen_subcommand_from export import init krl ls revoke sign rotate status unrevoke" -f -a "import" -d 'Make a key that exists already the key of a CA'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and not __fish_seen_subcommand_from export import init krl ls revoke sign rotate status unrevoke" -f -a "init" -d 'Make the CAs, if there are none yet'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and not __fish_seen_subcommand_from export import init krl ls revoke sign rotate status unrevoke" -f -a "krl" -d 'Write the key revocation list for sshd\'s RevokedKeys'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and not __fish_seen_subcommand_from export import init krl ls revoke sign rotate status unrevoke" -f -a "ls" -d 'List issued certificates, oldest first'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and not __fish_seen_subcommand_from export import init krl ls revoke sign rotate status unrevoke" -f -a "revoke" -d 'Revoke certificates and keys'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and not __fish_seen_subcommand_from export import init krl ls revoke sign rotate status unrevoke" -f -a "sign" -d 'Sign a host or user certificate'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and not __fish_seen_subcommand_from export import init krl ls revoke sign rotate status unrevoke" -f -a "rotate" -d 'Replace a CA\'s key, phase by phase, while sessions go on'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and not __fish_seen_subcommand_from export import init krl ls revoke sign rotate status unrevoke" -f -a "status" -d 'Show the CA keys, their rotation, and what every host trusts and shows'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and not __fish_seen_subcommand_from export import init krl ls revoke sign rotate status unrevoke" -f -a "unrevoke" -d 'Lift revocations that were a mistake'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from export" -l type -d 'Which CA' -r -f -a "user\t'The CA that sshd and the proxy trust for users'
host\t'The CA that clients and the proxy trust for hosts'"
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from export" -l format -d 'For which file [default: openssh for user, known-hosts for host]' -r -f -a "openssh\t'Plain keys, as TrustedUserCAKeys reads them'
authorized-keys\t'With `cert-authority` before each, for authorized_keys'
known-hosts\t'With `@cert-authority PATTERNS` before each, for known_hosts'"
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from export" -l hosts -d 'Hosts that a known-hosts line is for: patterns as in known_hosts [default: *]' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from export" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from export" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from export" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from export" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from import" -l type -d 'Which CA' -r -f -a "user\t'The CA that sshd and the proxy trust for users'
host\t'The CA that clients and the proxy trust for hosts'"
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from import" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from import" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from import" -l rotate -d 'Replace the present key by a rotation, which begins now; `auth rotate` goes on with it'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from import" -l overwrite -d 'Replace the present key at once'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from import" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from import" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from init" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from init" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from init" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from init" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from krl" -l out -d 'Where to write it; - is standard output' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from krl" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from krl" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from krl" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from krl" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from ls" -l format -d 'How to print the list' -r -f -a "text\t'A table'
json\t'An array of objects'"
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from ls" -l expiring -d 'Only valid certificates that end within this time, as in 90m, 12h, 30d' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from ls" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from ls" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from ls" -l revoked -d 'Only revoked certificates'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from ls" -l connections -d 'Also certificates that were issued for single connections of signed-in users'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from ls" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from revoke" -l serial -d 'The certificate with this serial' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from revoke" -l key-id -d 'All certificates with this key id, also those to come' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from revoke" -l key -d 'A key, in all certificates: its .pub file, or SHA256:.., as ssh-keygen -l prints it' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from revoke" -l reason -d 'Why; it goes to the audit log, and users read it if it ends their connections' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from revoke" -l type -d 'With --key-id: only certificates of people, or only those of hosts' -r -f -a "user\t'The CA that sshd and the proxy trust for users'
host\t'The CA that clients and the proxy trust for hosts'"
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from revoke" -l certificate -d 'Revoke this certificate, by its serial' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from revoke" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from revoke" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from revoke" -l yes -d 'Do not ask'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from revoke" -l unknown -d 'Revoke a serial or a key id also if no certificate in the ledger has it'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from revoke" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from revoke" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from sign" -l host -d 'Sign for a host: every name and address that clients use for it' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from sign" -l user -d 'Sign for a person, whose name becomes the key id' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from sign" -l batch -d 'Sign for the hosts of a list; - reads it from standard input' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from sign" -l logins -d 'Accounts on the hosts that the person may log in to' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from sign" -l public-key -d 'Public key to sign; - reads it from standard input' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from sign" -l out -d 'Name of the key; the certificate is PATH-cert.pub' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from sign" -l ttl -d 'How long the certificate is good for, as in 90m, 12h, 30d, 52w [default: 365d for hosts, 12h for users, or less if the policy says so]' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from sign" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from sign" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from sign" -l overwrite -d 'Replace existing files'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from sign" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from sign" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from rotate" -l type -d 'Which CA' -r -f -a "user\t'The CA that sshd and the proxy trust for users'
host\t'The CA that clients and the proxy trust for hosts'"
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from rotate" -l phase -d 'Phase to go to: `init`, `update_clients`, `update_servers`, `standby`, or `rollback`' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from rotate" -l grace-period -d 'Begin, and go through all phases in this time without further commands' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from rotate" -l wait -d 'Wait until no host and nobody would be cut off, for this time at most, and go on then' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from rotate" -l login -d 'Account that the hosts are asked about' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from rotate" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from rotate" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from rotate" -l rollback -d 'Go back to the old key, as --phase=rollback does'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from rotate" -l force -d 'Go on although hosts or people would be cut off'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from rotate" -l remove-kept -d 'Remove the keys that were kept for a way back, for good'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from rotate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from rotate" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from status" -l format -d 'As a table, or as an object' -r -f -a "text\t'For people'
json\t'For programs'"
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from status" -l login -d 'Account that the hosts are asked about' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from status" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from status" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from status" -l no-connect -d 'Connect to no host'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from status" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from unrevoke" -l serial -d 'The certificate with this serial' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from unrevoke" -l key-id -d 'All certificates with this key id, also those to come' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from unrevoke" -l key -d 'A key, in all certificates: its .pub file, or SHA256:.., as ssh-keygen -l prints it' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from unrevoke" -l reason -d 'Why; it goes to the audit log, and users read it if it ends their connections' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from unrevoke" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from unrevoke" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from unrevoke" -l yes -d 'Do not ask'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from unrevoke" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand auth; and __fish_seen_subcommand_from unrevoke" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand config" -l proxy -d 'Where clients reach the proxy [default: the configuration\'s `public_addr`]' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand config" -l hosts -d 'Hosts behind the proxy, as patterns of ssh_config [default: those in the cluster\'s domain, and the names of the inventory]' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand config" -l login -d 'Account on the hosts, as User, for whoever is called otherwise on this machine' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand config" -l identity -d 'Private key to offer, as IdentityFile' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand config" -l certificate -d 'User certificate to offer, as CertificateFile' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand config" -l ssh-dir -d 'Directory to use in place of ~/.ssh' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand config" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand config" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand config" -l jump -d 'Write ProxyJump instead of ProxyCommand'
complete -c rproxy -n "__fish_rproxy_using_subcommand config" -l known-hosts -d 'Print the lines of the known-hosts file alone'
complete -c rproxy -n "__fish_rproxy_using_subcommand config" -l install -d 'Write block and known-hosts file below ~/.ssh, and include them in ~/.ssh/config'
complete -c rproxy -n "__fish_rproxy_using_subcommand config" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand config" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand explain" -l login -d 'Account on the host' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand explain" -l roles -d 'Roles that they have beside those of the configuration\'s users, as after `users add`' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand explain" -l from -d 'Address of the client' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand explain" -l format -d 'As text, or as an object' -r -f -a "text\t'For people'
json\t'For programs'"
complete -c rproxy -n "__fish_rproxy_using_subcommand explain" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand explain" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand explain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand explain" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand host; and not __fish_seen_subcommand_from setup" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand host; and not __fish_seen_subcommand_from setup" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand host; and not __fish_seen_subcommand_from setup" -s h -l help -d 'Print help'
complete -c rproxy -n "__fish_rproxy_using_subcommand host; and not __fish_seen_subcommand_from setup" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand host; and not __fish_seen_subcommand_from setup" -f -a "setup" -d 'Write what sshd needs to take the user CA\'s certificates and to show one of its own'
complete -c rproxy -n "__fish_rproxy_using_subcommand host; and __fish_seen_subcommand_from setup" -l out-dir -d 'Directory for the snippet and its files; it is made if it is missing' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand host; and __fish_seen_subcommand_from setup" -l host -d 'Every name and address that clients use for the host [default: this machine\'s name]' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand host; and __fish_seen_subcommand_from setup" -l public-key -d 'Host key to certify [default: this machine\'s Ed25519 key, else a new one in DIR]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand host; and __fish_seen_subcommand_from setup" -l krl -d 'Revoked keys and certificates, as `auth krl` writes them' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand host; and __fish_seen_subcommand_from setup" -l sshd-config -d 'The host\'s own configuration [default: on the host itself, `/etc/ssh/sshd_config`]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand host; and __fish_seen_subcommand_from setup" -l sshd -d 'The sshd that checks [default: the one that is found]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand host; and __fish_seen_subcommand_from setup" -l ttl -d 'How long the host\'s certificate is good for, as in 90d, 52w [default: 365d]' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand host; and __fish_seen_subcommand_from setup" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand host; and __fish_seen_subcommand_from setup" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand host; and __fish_seen_subcommand_from setup" -l overwrite -d 'Replace existing files'
complete -c rproxy -n "__fish_rproxy_using_subcommand host; and __fish_seen_subcommand_from setup" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand host; and __fish_seen_subcommand_from setup" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand nodes; and not __fish_seen_subcommand_from script ls show lock unlock rm" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand nodes; and not __fish_seen_subcommand_from script ls show lock unlock rm" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand nodes; and not __fish_seen_subcommand_from script ls show lock unlock rm" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand nodes; and not __fish_seen_subcommand_from script ls show lock unlock rm" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand nodes; and not __fish_seen_subcommand_from script ls show lock unlock rm" -f -a "script" -d 'Print the script with which hosts join'
complete -c rproxy -n "__fish_rproxy_using_subcommand nodes; and not __fish_seen_subcommand_from script ls show lock unlock rm" -f -a "ls" -d 'List the hosts of the inventory, by their names'
complete -c rproxy -n "__fish_rproxy_using_subcommand nodes; and not __fish_seen_subcommand_from script ls show lock unlock rm" -f -a "show" -d 'Show a host: its certificate, what it has reported, its tunnel'
complete -c rproxy -n "__fish_rproxy_using_subcommand nodes; and not __fish_seen_subcommand_from script ls show lock unlock rm" -f -a "lock" -d 'Lock a host that has joined'
complete -c rproxy -n "__fish_rproxy_using_subcommand nodes; and not __fish_seen_subcommand_from script ls show lock unlock rm" -f -a "unlock" -d 'Let users log in to a locked host again'
complete -c rproxy -n "__fish_rproxy_using_subcommand nodes; and not __fish_seen_subcommand_from script ls show lock unlock rm" -f -a "rm" -d 'Remove a host that has joined'
complete -c rproxy -n "__fish_rproxy_using_subcommand nodes; and __fish_seen_subcommand_from script" -l proxy -d 'Where hosts reach the proxy [default: the configuration\'s `public_addr`]' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand nodes; and __fish_seen_subcommand_from script" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand nodes; and __fish_seen_subcommand_from script" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand nodes; and __fish_seen_subcommand_from script" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand nodes; and __fish_seen_subcommand_from script" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand nodes; and __fish_seen_subcommand_from ls" -l labels -d 'Only hosts that have all of these labels' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand nodes; and __fish_seen_subcommand_from ls" -l format -d 'How to print the list' -r -f -a "text\t'A table'
json\t'An array of objects'"
complete -c rproxy -n "__fish_rproxy_using_subcommand nodes; and __fish_seen_subcommand_from ls" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand nodes; and __fish_seen_subcommand_from ls" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand nodes; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand nodes; and __fish_seen_subcommand_from ls" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand nodes; and __fish_seen_subcommand_from show" -l format -d 'As text, or as an object' -r -f -a "text\t'For people'
json\t'For programs'"
complete -c rproxy -n "__fish_rproxy_using_subcommand nodes; and __fish_seen_subcommand_from show" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand nodes; and __fish_seen_subcommand_from show" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand nodes; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand nodes; and __fish_seen_subcommand_from show" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand nodes; and __fish_seen_subcommand_from lock" -l reason -d 'Why, in one line, for the audit log and `rproxy nodes show`' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand nodes; and __fish_seen_subcommand_from lock" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand nodes; and __fish_seen_subcommand_from lock" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand nodes; and __fish_seen_subcommand_from lock" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand nodes; and __fish_seen_subcommand_from lock" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand nodes; and __fish_seen_subcommand_from unlock" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand nodes; and __fish_seen_subcommand_from unlock" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand nodes; and __fish_seen_subcommand_from unlock" -s h -l help -d 'Print help'
complete -c rproxy -n "__fish_rproxy_using_subcommand nodes; and __fish_seen_subcommand_from unlock" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand nodes; and __fish_seen_subcommand_from rm" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand nodes; and __fish_seen_subcommand_from rm" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand nodes; and __fish_seen_subcommand_from rm" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand nodes; and __fish_seen_subcommand_from rm" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand recordings; and not __fish_seen_subcommand_from ls export" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand recordings; and not __fish_seen_subcommand_from ls export" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand recordings; and not __fish_seen_subcommand_from ls export" -s h -l help -d 'Print help'
complete -c rproxy -n "__fish_rproxy_using_subcommand recordings; and not __fish_seen_subcommand_from ls export" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand recordings; and not __fish_seen_subcommand_from ls export" -f -a "ls" -d 'List recordings, oldest first'
complete -c rproxy -n "__fish_rproxy_using_subcommand recordings; and not __fish_seen_subcommand_from ls export" -f -a "export" -d 'Write a recording in a format that other programs read'
complete -c rproxy -n "__fish_rproxy_using_subcommand recordings; and __fish_seen_subcommand_from ls" -l user -d 'Only those of this user; `*` and `?` are wildcards' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand recordings; and __fish_seen_subcommand_from ls" -l login -d 'Only those of this login on the host' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand recordings; and __fish_seen_subcommand_from ls" -l host -d 'Only those of this host, by its name in the inventory or as it was asked for' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand recordings; and __fish_seen_subcommand_from ls" -l kind -d 'Only those of this kind' -r -f -a "shell\t'A shell'
exec\t'A command'
subsystem\t'A subsystem, such as sftp'
forward\t'The forwards of a connection'"
complete -c rproxy -n "__fish_rproxy_using_subcommand recordings; and __fish_seen_subcommand_from ls" -l state -d 'Only those in this state' -r -f -a "recording\t'The session goes on'
complete\t'With its end'
recovered\t'Without its end: the proxy was killed'"
complete -c rproxy -n "__fish_rproxy_using_subcommand recordings; and __fish_seen_subcommand_from ls" -l command -d 'Only those whose command has this text in it' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand recordings; and __fish_seen_subcommand_from ls" -l since -d 'Only those that began at this time or later: 2h, 7d (ago), 2026-11-29, or RFC 3339' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand recordings; and __fish_seen_subcommand_from ls" -l until -d 'Only those that began before this time' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand recordings; and __fish_seen_subcommand_from ls" -l format -d 'How to print the list' -r -f -a "text\t'A table'
json\t'An array of objects'"
complete -c rproxy -n "__fish_rproxy_using_subcommand recordings; and __fish_seen_subcommand_from ls" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand recordings; and __fish_seen_subcommand_from ls" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand recordings; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand recordings; and __fish_seen_subcommand_from ls" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand recordings; and __fish_seen_subcommand_from export" -l format -d 'What to write' -r -f -a "asciicast\t'asciicast v3, for asciinema and other players'
text\t'What was on the screen'
json\t'One JSON object per event, with all bytes'
raw\t'The bytes of one stream, of the command or of the environment, unchanged but for a terminal'"
complete -c rproxy -n "__fish_rproxy_using_subcommand recordings; and __fish_seen_subcommand_from export" -l stream -d 'Which bytes `--format=raw` writes' -r -f -a "stdin\t'Standard input'
stdout\t'Standard output'
stderr\t'Standard error'
command\t'The command line, or the subsystem\'s name'
environment\t'The environment that the client sent, each NAME=VALUE ended by a zero byte'"
complete -c rproxy -n "__fish_rproxy_using_subcommand recordings; and __fish_seen_subcommand_from export" -l out -d 'Write to this new file instead of standard output' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand recordings; and __fish_seen_subcommand_from export" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand recordings; and __fish_seen_subcommand_from export" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand recordings; and __fish_seen_subcommand_from export" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand recordings; and __fish_seen_subcommand_from export" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand play" -l at -d 'Begin at this time of the session, with what its terminal showed then: seconds, or M:SS, or H:MM:SS' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand play" -l speed -d 'How many times faster than it was' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand play" -l idle-limit -d 'Longest silence, in seconds of the session' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand play" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand play" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand play" -l skip-idle -d 'Shorten every silence to a second'
complete -c rproxy -n "__fish_rproxy_using_subcommand play" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand play" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand sessions; and not __fish_seen_subcommand_from ls watch kill" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand sessions; and not __fish_seen_subcommand_from ls watch kill" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand sessions; and not __fish_seen_subcommand_from ls watch kill" -s h -l help -d 'Print help'
complete -c rproxy -n "__fish_rproxy_using_subcommand sessions; and not __fish_seen_subcommand_from ls watch kill" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand sessions; and not __fish_seen_subcommand_from ls watch kill" -f -a "ls" -d 'List what is live, oldest first'
complete -c rproxy -n "__fish_rproxy_using_subcommand sessions; and not __fish_seen_subcommand_from ls watch kill" -f -a "watch" -d 'Watch a live session'
complete -c rproxy -n "__fish_rproxy_using_subcommand sessions; and not __fish_seen_subcommand_from ls watch kill" -f -a "kill" -d 'End a live session, or a connection with all its sessions'
complete -c rproxy -n "__fish_rproxy_using_subcommand sessions; and __fish_seen_subcommand_from ls" -l format -d 'How to print the list' -r -f -a "text\t'A table'
json\t'An array of objects'"
complete -c rproxy -n "__fish_rproxy_using_subcommand sessions; and __fish_seen_subcommand_from ls" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand sessions; and __fish_seen_subcommand_from ls" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand sessions; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand sessions; and __fish_seen_subcommand_from ls" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand sessions; and __fish_seen_subcommand_from watch" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand sessions; and __fish_seen_subcommand_from watch" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand sessions; and __fish_seen_subcommand_from watch" -l from-start -d 'Show first what was there before'
complete -c rproxy -n "__fish_rproxy_using_subcommand sessions; and __fish_seen_subcommand_from watch" -l from-now -d 'Begin with what the terminal shows now (the default)'
complete -c rproxy -n "__fish_rproxy_using_subcommand sessions; and __fish_seen_subcommand_from watch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand sessions; and __fish_seen_subcommand_from watch" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand sessions; and __fish_seen_subcommand_from kill" -l reason -d 'Why, in one line that the user reads' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand sessions; and __fish_seen_subcommand_from kill" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand sessions; and __fish_seen_subcommand_from kill" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand sessions; and __fish_seen_subcommand_from kill" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand sessions; and __fish_seen_subcommand_from kill" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand state; and not __fish_seen_subcommand_from status backup restore migrate" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand state; and not __fish_seen_subcommand_from status backup restore migrate" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand state; and not __fish_seen_subcommand_from status backup restore migrate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand state; and not __fish_seen_subcommand_from status backup restore migrate" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand state; and not __fish_seen_subcommand_from status backup restore migrate" -f -a "status" -d 'Show where the state is, its size, and how fast it answers'
complete -c rproxy -n "__fish_rproxy_using_subcommand state; and not __fish_seen_subcommand_from status backup restore migrate" -f -a "backup" -d 'Write a backup of the state'
complete -c rproxy -n "__fish_rproxy_using_subcommand state; and not __fish_seen_subcommand_from status backup restore migrate" -f -a "restore" -d 'Replace the state by a backup'
complete -c rproxy -n "__fish_rproxy_using_subcommand state; and not __fish_seen_subcommand_from status backup restore migrate" -f -a "migrate" -d 'Copy the state to another database'
complete -c rproxy -n "__fish_rproxy_using_subcommand state; and __fish_seen_subcommand_from status" -l format -d 'How to print it' -r -f -a "text\t'For people'
json\t'For programs'"
complete -c rproxy -n "__fish_rproxy_using_subcommand state; and __fish_seen_subcommand_from status" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand state; and __fish_seen_subcommand_from status" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand state; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand state; and __fish_seen_subcommand_from status" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand state; and __fish_seen_subcommand_from backup" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand state; and __fish_seen_subcommand_from backup" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand state; and __fish_seen_subcommand_from backup" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand state; and __fish_seen_subcommand_from backup" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand state; and __fish_seen_subcommand_from restore" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand state; and __fish_seen_subcommand_from restore" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand state; and __fish_seen_subcommand_from restore" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand state; and __fish_seen_subcommand_from restore" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand state; and __fish_seen_subcommand_from migrate" -l to -d 'A PostgreSQL database, as `postgresql://USER@HOST/DATABASE`, or `sqlite`: state.db in the data directory' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand state; and __fish_seen_subcommand_from migrate" -l password-file -d 'The file with the password of the PostgreSQL database, in one line' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand state; and __fish_seen_subcommand_from migrate" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand state; and __fish_seen_subcommand_from migrate" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand state; and __fish_seen_subcommand_from migrate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand state; and __fish_seen_subcommand_from migrate" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand tokens; and not __fish_seen_subcommand_from add ls rm" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand tokens; and not __fish_seen_subcommand_from add ls rm" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand tokens; and not __fish_seen_subcommand_from add ls rm" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand tokens; and not __fish_seen_subcommand_from add ls rm" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand tokens; and not __fish_seen_subcommand_from add ls rm" -f -a "add" -d 'Add a token, and print it with what has to be done on the host'
complete -c rproxy -n "__fish_rproxy_using_subcommand tokens; and not __fish_seen_subcommand_from add ls rm" -f -a "ls" -d 'List the tokens'
complete -c rproxy -n "__fish_rproxy_using_subcommand tokens; and not __fish_seen_subcommand_from add ls rm" -f -a "rm" -d 'Remove a token'
complete -c rproxy -n "__fish_rproxy_using_subcommand tokens; and __fish_seen_subcommand_from add" -l type -d 'Who joins with it' -r -f -a "node\t'A host'"
complete -c rproxy -n "__fish_rproxy_using_subcommand tokens; and __fish_seen_subcommand_from add" -l names -d 'Names that hosts can have which join with it [default: any that is free]' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand tokens; and __fish_seen_subcommand_from add" -l labels -d 'Labels that these hosts have, whatever they say themselves' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand tokens; and __fish_seen_subcommand_from add" -l tunnel -d 'Whether these hosts may, or have to, be reached through a tunnel that they keep open' -r -f -a "no\t''
allowed\t''
required\t''"
complete -c rproxy -n "__fish_rproxy_using_subcommand tokens; and __fish_seen_subcommand_from add" -l uses -d 'How many hosts can join with it; 10000 at most' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand tokens; and __fish_seen_subcommand_from add" -l ttl -d 'How long it is valid, as in 30m, 1h, 2d; 30d at most' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand tokens; and __fish_seen_subcommand_from add" -l format -d 'As text, or as an object' -r -f -a "text\t'For people'
json\t'For programs'"
complete -c rproxy -n "__fish_rproxy_using_subcommand tokens; and __fish_seen_subcommand_from add" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand tokens; and __fish_seen_subcommand_from add" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand tokens; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand tokens; and __fish_seen_subcommand_from add" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand tokens; and __fish_seen_subcommand_from ls" -l format -d 'How to print the list' -r -f -a "text\t'A table'
json\t'An array of objects'"
complete -c rproxy -n "__fish_rproxy_using_subcommand tokens; and __fish_seen_subcommand_from ls" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand tokens; and __fish_seen_subcommand_from ls" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand tokens; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand tokens; and __fish_seen_subcommand_from ls" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand tokens; and __fish_seen_subcommand_from rm" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand tokens; and __fish_seen_subcommand_from rm" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand tokens; and __fish_seen_subcommand_from rm" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand tokens; and __fish_seen_subcommand_from rm" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and not __fish_seen_subcommand_from add ls show set lock unlock reset rm" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and not __fish_seen_subcommand_from add ls show set lock unlock reset rm" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and not __fish_seen_subcommand_from add ls show set lock unlock reset rm" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and not __fish_seen_subcommand_from add ls show set lock unlock reset rm" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and not __fish_seen_subcommand_from add ls show set lock unlock reset rm" -f -a "add" -d 'Add a person, and print what they have to do'
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and not __fish_seen_subcommand_from add ls show set lock unlock reset rm" -f -a "ls" -d 'List the people of the state, by their names'
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and not __fish_seen_subcommand_from add ls show set lock unlock reset rm" -f -a "show" -d 'Show a person: roles, keys, and live sign-ins'
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and not __fish_seen_subcommand_from add ls show set lock unlock reset rm" -f -a "set" -d 'Give a person other roles or logins'
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and not __fish_seen_subcommand_from add ls show set lock unlock reset rm" -f -a "lock" -d 'Lock a person out'
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and not __fish_seen_subcommand_from add ls show set lock unlock reset rm" -f -a "unlock" -d 'Let a locked person sign in again'
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and not __fish_seen_subcommand_from add ls show set lock unlock reset rm" -f -a "reset" -d 'Make a new invitation for a person, and remove password, second factor and keys'
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and not __fish_seen_subcommand_from add ls show set lock unlock reset rm" -f -a "rm" -d 'Remove a person'
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from add" -l roles -d 'Roles of the configuration that the person has' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from add" -l logins -d 'Accounts on the hosts that the person may use [default: all that the roles allow]' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from add" -l ttl -d 'How long the invitation is valid, as in 30m, 1h, 2d; 30d at most' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from add" -l format -d 'As text, or as an object' -r -f -a "text\t'For people'
json\t'For programs'"
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from add" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from add" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from add" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from ls" -l format -d 'How to print the list' -r -f -a "text\t'A table'
json\t'An array of objects'"
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from ls" -l after -d 'Only people whose names come after this one' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from ls" -l limit -d 'How many at most' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from ls" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from ls" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from ls" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from show" -l format -d 'As text, or as an object' -r -f -a "text\t'For people'
json\t'For programs'"
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from show" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from show" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from show" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from set" -l roles -d 'Roles of the configuration that the person has from now on' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from set" -l logins -d 'Accounts on the hosts that the person may use from now on' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from set" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from set" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from set" -l all-logins -d 'The person may use all accounts that the roles allow'
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from set" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from set" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from lock" -l reason -d 'Why, in one line, for the audit log and `rproxy users show`' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from lock" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from lock" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from lock" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from lock" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from unlock" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from unlock" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from unlock" -s h -l help -d 'Print help'
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from unlock" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from reset" -l ttl -d 'How long the invitation is valid, as in 30m, 1h, 2d; 30d at most' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from reset" -l format -d 'As text, or as an object' -r -f -a "text\t'For people'
json\t'For programs'"
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from reset" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from reset" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from reset" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from reset" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from rm" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from rm" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from rm" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand users; and __fish_seen_subcommand_from rm" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand reload" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand reload" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand reload" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand reload" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand upgrade" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand upgrade" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand upgrade" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand upgrade" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand stop" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand stop" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand stop" -l no-wait -d 'Do not wait until it has stopped'
complete -c rproxy -n "__fish_rproxy_using_subcommand stop" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand stop" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand completions" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand completions" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand completions" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand doctor" -l from-client -d 'Look at this machine as a client of that proxy [default port: 3023]' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand doctor" -l host -d 'With --from-client: a host behind the proxy, as it is called for ssh' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand doctor" -l login -d 'Account that the nodes are asked about [default: root]; with --from-client, that is logged in to [default: ssh\'s]' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand doctor" -l ssh-config -d 'With --from-client: what ssh reads in place of ~/.ssh/config, as its -F' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand doctor" -l format -d 'As text, or as an array of objects' -r -f -a "text\t'For people'
json\t'For programs'"
complete -c rproxy -n "__fish_rproxy_using_subcommand doctor" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand doctor" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand doctor" -l signs-in -d 'With --from-client: the user signs in with a password or a browser, and has no certificate'
complete -c rproxy -n "__fish_rproxy_using_subcommand doctor" -s q -l quiet -d 'Leave out what is well'
complete -c rproxy -n "__fish_rproxy_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand doctor" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand help" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand help" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand help" -s h -l help -d 'Print help'
complete -c rproxy -n "__fish_rproxy_using_subcommand help" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand init" -l cluster-name -d 'Name of the cluster [default: the machine\'s name]' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand init" -l public-addr -d 'Where users reach the proxy; without a port, 3023 [default: the machine\'s name]' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand init" -l authentication -d 'How users prove who they are [default: local]' -r -f -a "local\t'They sign in with their key, a password and a one-time code'
oidc\t'They sign in with their key and, in a browser, at an OpenID Connect provider'
certificate\t'They have certificates that an administrator signs'"
complete -c rproxy -n "__fish_rproxy_using_subcommand init" -l administrator -d 'Name of the first administrator [default: the account that runs this, or "admin" instead of root]' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand init" -l oidc-issuer -d 'Issuer of the OpenID Connect provider, with --authentication=oidc' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand init" -l oidc-client-id -d 'Client id of the proxy at the provider [default: rproxy]' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand init" -l oidc-secret-file -d 'File with the client secret; "none" for a public client [default: oidc.secret beside the configuration]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand init" -l oidc-admin-claim -d 'Claim of the ID token that makes an administrator [default: groups=rproxy-admins]' -r
complete -c rproxy -n "__fish_rproxy_using_subcommand init" -l https-cert-file -d 'Certificate of HTTPS in PEM, for the browser [default: web.pem beside the configuration]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand init" -l https-key-file -d 'Key of this certificate in PEM [default: web.key beside the configuration]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand init" -l format -d 'As text, or as an object' -r -f -a "text\t'For people'
json\t'For programs'"
complete -c rproxy -n "__fish_rproxy_using_subcommand init" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand init" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand init" -l yes -d 'Do not ask: use the flags, and what the questions propose for the rest'
complete -c rproxy -n "__fish_rproxy_using_subcommand init" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rproxy -n "__fish_rproxy_using_subcommand init" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand man" -l out-dir -d 'Write every page into this directory instead: rproxy.1, one for each command, rproxy.yaml.5, rproxy-recording.5' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand man" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand man" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand man" -s h -l help -d 'Print help'
complete -c rproxy -n "__fish_rproxy_using_subcommand man" -s V -l version -d 'Print version'
complete -c rproxy -n "__fish_rproxy_using_subcommand version" -l config -d 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand version" -l data-dir -d 'Directory for keys, recordings and logs; overrides the configuration\'s `data_dir`' -r -F
complete -c rproxy -n "__fish_rproxy_using_subcommand version" -s h -l help -d 'Print help'
complete -c rproxy -n "__fish_rproxy_using_subcommand version" -s V -l version -d 'Print version'

# What only the program knows: ids of recordings, names of people and hosts.
function __fish_rproxy_values
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    command $words[1] complete --word="$word" -- $words 2>/dev/null
end

complete -c rproxy -n "__fish_rproxy_values | string length -q" -k -f -a "(__fish_rproxy_values)"
complete -c rproxy -n "__fish_rproxy_values >/dev/null" -l host -x -a "(__fish_rproxy_values | string replace -r '^--[^=]*=' '')"
complete -c rproxy -n "__fish_rproxy_values >/dev/null" -l key-id -x -a "(__fish_rproxy_values | string replace -r '^--[^=]*=' '')"
complete -c rproxy -n "__fish_rproxy_values >/dev/null" -l roles -x -a "(__fish_rproxy_values | string replace -r '^--[^=]*=' '')"
complete -c rproxy -n "__fish_rproxy_values >/dev/null" -l serial -x -a "(__fish_rproxy_values | string replace -r '^--[^=]*=' '')"
complete -c rproxy -n "__fish_rproxy_values >/dev/null" -l user -x -a "(__fish_rproxy_values | string replace -r '^--[^=]*=' '')"
