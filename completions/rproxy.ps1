
using namespace System.Management.Automation
using namespace System.Management.Automation.Language

Register-ArgumentCompleter -Native -CommandName 'rproxy' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    # What only the program knows: ids of recordings, names of people and hosts.
    $typed = @($commandAst.CommandElements |
        Where-Object { $_.Extent.EndOffset -lt $cursorPosition } |
        ForEach-Object { $_.ToString() })
    if ($typed.Count -gt 0) {
        $found = @(& $typed[0] complete "--word=$wordToComplete" '--' $typed 2>$null)
        if ($LASTEXITCODE -eq 0) {
            $found | Where-Object { $_ } | ForEach-Object {
                $value, $help = $_ -split "`t", 2
                [CompletionResult]::new($value, $value, [CompletionResultType]::ParameterValue, $help)
            }
            return
        }
    }

    $commandElements = $commandAst.CommandElements
    $command = @(
        'rproxy'
        for ($i = 1; $i -lt $commandElements.Count; $i++) {
            $element = $commandElements[$i]
            if ($element -isnot [StringConstantExpressionAst] -or
                $element.StringConstantType -ne [StringConstantType]::BareWord -or
                $element.Value.StartsWith('-') -or
                $element.Value -eq $wordToComplete) {
                break
        }
        $element.Value
    }) -join ';'

    $completions = @(switch ($command) {
        'rproxy' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('serve', 'serve', [CompletionResultType]::ParameterValue, 'Run the proxy')
            [CompletionResult]::new('auth', 'auth', [CompletionResultType]::ParameterValue, 'Make, export, import and rotate the CA keys; sign, list and revoke certificates')
            [CompletionResult]::new('config', 'config', [CompletionResultType]::ParameterValue, 'Print the block that sends OpenSSH clients through the proxy')
            [CompletionResult]::new('explain', 'explain', [CompletionResultType]::ParameterValue, 'Say whether somebody may log in somewhere, and which line of the configuration decides')
            [CompletionResult]::new('host', 'host', [CompletionResultType]::ParameterValue, 'Prepare a host for the proxy')
            [CompletionResult]::new('nodes', 'nodes', [CompletionResultType]::ParameterValue, 'Print the script with which hosts join; list, lock and remove hosts')
            [CompletionResult]::new('recordings', 'recordings', [CompletionResultType]::ParameterValue, 'List and export recordings')
            [CompletionResult]::new('play', 'play', [CompletionResultType]::ParameterValue, 'Replay a recording')
            [CompletionResult]::new('sessions', 'sessions', [CompletionResultType]::ParameterValue, 'List, watch and end live sessions')
            [CompletionResult]::new('state', 'state', [CompletionResultType]::ParameterValue, 'Look at the state, back it up, restore it, move it to another database')
            [CompletionResult]::new('tokens', 'tokens', [CompletionResultType]::ParameterValue, 'Add, list and remove tokens, with which hosts join')
            [CompletionResult]::new('users', 'users', [CompletionResultType]::ParameterValue, 'Add, list, lock and remove people who sign in with a password')
            [CompletionResult]::new('reload', 'reload', [CompletionResultType]::ParameterValue, 'Have the running proxy read its configuration again')
            [CompletionResult]::new('upgrade', 'upgrade', [CompletionResultType]::ParameterValue, 'Have the running proxy replace itself by the program that is installed now')
            [CompletionResult]::new('stop', 'stop', [CompletionResultType]::ParameterValue, 'Stop the running proxy')
            [CompletionResult]::new('completions', 'completions', [CompletionResultType]::ParameterValue, 'Print a script that completes this command line in a shell')
            [CompletionResult]::new('doctor', 'doctor', [CompletionResultType]::ParameterValue, 'Look for what is wrong, and say what to do about it')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print help for a command')
            [CompletionResult]::new('init', 'init', [CompletionResultType]::ParameterValue, 'Set up a proxy: the configuration, the CAs and the first administrator')
            [CompletionResult]::new('man', 'man', [CompletionResultType]::ParameterValue, 'Print the manual page of rproxy, or write those of all commands')
            [CompletionResult]::new('version', 'version', [CompletionResultType]::ParameterValue, 'Print the version')
            break
        }
        'rproxy;serve' {
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines look on standard error')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('--check', '--check', [CompletionResultType]::ParameterName, 'Check the configuration, and what else serve needs to start, and stop: exit code 0 if all is well, 78 if not')
            [CompletionResult]::new('--print-config', '--print-config', [CompletionResultType]::ParameterName, 'Print the configuration in force, defaults included, and stop')
            [CompletionResult]::new('--defaults', '--defaults', [CompletionResultType]::ParameterName, 'Run with the defaults if there is no configuration file; without this, that is an error')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;auth' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('export', 'export', [CompletionResultType]::ParameterValue, 'Print a CA''s public keys as lines for OpenSSH''s files')
            [CompletionResult]::new('import', 'import', [CompletionResultType]::ParameterValue, 'Make a key that exists already the key of a CA')
            [CompletionResult]::new('init', 'init', [CompletionResultType]::ParameterValue, 'Make the CAs, if there are none yet')
            [CompletionResult]::new('krl', 'krl', [CompletionResultType]::ParameterValue, 'Write the key revocation list for sshd''s RevokedKeys')
            [CompletionResult]::new('ls', 'ls', [CompletionResultType]::ParameterValue, 'List issued certificates, oldest first')
            [CompletionResult]::new('revoke', 'revoke', [CompletionResultType]::ParameterValue, 'Revoke certificates and keys')
            [CompletionResult]::new('sign', 'sign', [CompletionResultType]::ParameterValue, 'Sign a host or user certificate')
            [CompletionResult]::new('rotate', 'rotate', [CompletionResultType]::ParameterValue, 'Replace a CA''s key, phase by phase, while sessions go on')
            [CompletionResult]::new('status', 'status', [CompletionResultType]::ParameterValue, 'Show the CA keys, their rotation, and what every host trusts and shows')
            [CompletionResult]::new('unrevoke', 'unrevoke', [CompletionResultType]::ParameterValue, 'Lift revocations that were a mistake')
            break
        }
        'rproxy;auth;export' {
            [CompletionResult]::new('--type', '--type', [CompletionResultType]::ParameterName, 'Which CA')
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'For which file [default: openssh for user, known-hosts for host]')
            [CompletionResult]::new('--hosts', '--hosts', [CompletionResultType]::ParameterName, 'Hosts that a known-hosts line is for: patterns as in known_hosts [default: *]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;auth;import' {
            [CompletionResult]::new('--type', '--type', [CompletionResultType]::ParameterName, 'Which CA')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('--rotate', '--rotate', [CompletionResultType]::ParameterName, 'Replace the present key by a rotation, which begins now; `auth rotate` goes on with it')
            [CompletionResult]::new('--overwrite', '--overwrite', [CompletionResultType]::ParameterName, 'Replace the present key at once')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;auth;init' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;auth;krl' {
            [CompletionResult]::new('--out', '--out', [CompletionResultType]::ParameterName, 'Where to write it; - is standard output')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;auth;ls' {
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'How to print the list')
            [CompletionResult]::new('--expiring', '--expiring', [CompletionResultType]::ParameterName, 'Only valid certificates that end within this time, as in 90m, 12h, 30d')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('--revoked', '--revoked', [CompletionResultType]::ParameterName, 'Only revoked certificates')
            [CompletionResult]::new('--connections', '--connections', [CompletionResultType]::ParameterName, 'Also certificates that were issued for single connections of signed-in users')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;auth;revoke' {
            [CompletionResult]::new('--serial', '--serial', [CompletionResultType]::ParameterName, 'The certificate with this serial')
            [CompletionResult]::new('--key-id', '--key-id', [CompletionResultType]::ParameterName, 'All certificates with this key id, also those to come')
            [CompletionResult]::new('--key', '--key', [CompletionResultType]::ParameterName, 'A key, in all certificates: its .pub file, or SHA256:.., as ssh-keygen -l prints it')
            [CompletionResult]::new('--reason', '--reason', [CompletionResultType]::ParameterName, 'Why; it goes to the audit log, and users read it if it ends their connections')
            [CompletionResult]::new('--type', '--type', [CompletionResultType]::ParameterName, 'With --key-id: only certificates of people, or only those of hosts')
            [CompletionResult]::new('--certificate', '--certificate', [CompletionResultType]::ParameterName, 'Revoke this certificate, by its serial')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('--yes', '--yes', [CompletionResultType]::ParameterName, 'Do not ask')
            [CompletionResult]::new('--unknown', '--unknown', [CompletionResultType]::ParameterName, 'Revoke a serial or a key id also if no certificate in the ledger has it')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;auth;sign' {
            [CompletionResult]::new('--host', '--host', [CompletionResultType]::ParameterName, 'Sign for a host: every name and address that clients use for it')
            [CompletionResult]::new('--user', '--user', [CompletionResultType]::ParameterName, 'Sign for a person, whose name becomes the key id')
            [CompletionResult]::new('--batch', '--batch', [CompletionResultType]::ParameterName, 'Sign for the hosts of a list; - reads it from standard input')
            [CompletionResult]::new('--logins', '--logins', [CompletionResultType]::ParameterName, 'Accounts on the hosts that the person may log in to')
            [CompletionResult]::new('--public-key', '--public-key', [CompletionResultType]::ParameterName, 'Public key to sign; - reads it from standard input')
            [CompletionResult]::new('--out', '--out', [CompletionResultType]::ParameterName, 'Name of the key; the certificate is PATH-cert.pub')
            [CompletionResult]::new('--ttl', '--ttl', [CompletionResultType]::ParameterName, 'How long the certificate is good for, as in 90m, 12h, 30d, 52w [default: 365d for hosts, 12h for users, or less if the policy says so]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('--overwrite', '--overwrite', [CompletionResultType]::ParameterName, 'Replace existing files')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;auth;rotate' {
            [CompletionResult]::new('--type', '--type', [CompletionResultType]::ParameterName, 'Which CA')
            [CompletionResult]::new('--phase', '--phase', [CompletionResultType]::ParameterName, 'Phase to go to: `init`, `update_clients`, `update_servers`, `standby`, or `rollback`')
            [CompletionResult]::new('--grace-period', '--grace-period', [CompletionResultType]::ParameterName, 'Begin, and go through all phases in this time without further commands')
            [CompletionResult]::new('--wait', '--wait', [CompletionResultType]::ParameterName, 'Wait until no host and nobody would be cut off, for this time at most, and go on then')
            [CompletionResult]::new('--login', '--login', [CompletionResultType]::ParameterName, 'Account that the hosts are asked about')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('--rollback', '--rollback', [CompletionResultType]::ParameterName, 'Go back to the old key, as --phase=rollback does')
            [CompletionResult]::new('--force', '--force', [CompletionResultType]::ParameterName, 'Go on although hosts or people would be cut off')
            [CompletionResult]::new('--remove-kept', '--remove-kept', [CompletionResultType]::ParameterName, 'Remove the keys that were kept for a way back, for good')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;auth;status' {
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'As a table, or as an object')
            [CompletionResult]::new('--login', '--login', [CompletionResultType]::ParameterName, 'Account that the hosts are asked about')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('--no-connect', '--no-connect', [CompletionResultType]::ParameterName, 'Connect to no host')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;auth;unrevoke' {
            [CompletionResult]::new('--serial', '--serial', [CompletionResultType]::ParameterName, 'The certificate with this serial')
            [CompletionResult]::new('--key-id', '--key-id', [CompletionResultType]::ParameterName, 'All certificates with this key id, also those to come')
            [CompletionResult]::new('--key', '--key', [CompletionResultType]::ParameterName, 'A key, in all certificates: its .pub file, or SHA256:.., as ssh-keygen -l prints it')
            [CompletionResult]::new('--reason', '--reason', [CompletionResultType]::ParameterName, 'Why; it goes to the audit log, and users read it if it ends their connections')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('--yes', '--yes', [CompletionResultType]::ParameterName, 'Do not ask')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;config' {
            [CompletionResult]::new('--proxy', '--proxy', [CompletionResultType]::ParameterName, 'Where clients reach the proxy [default: the configuration''s `public_addr`]')
            [CompletionResult]::new('--hosts', '--hosts', [CompletionResultType]::ParameterName, 'Hosts behind the proxy, as patterns of ssh_config [default: those in the cluster''s domain, and the names of the inventory]')
            [CompletionResult]::new('--login', '--login', [CompletionResultType]::ParameterName, 'Account on the hosts, as User, for whoever is called otherwise on this machine')
            [CompletionResult]::new('--identity', '--identity', [CompletionResultType]::ParameterName, 'Private key to offer, as IdentityFile')
            [CompletionResult]::new('--certificate', '--certificate', [CompletionResultType]::ParameterName, 'User certificate to offer, as CertificateFile')
            [CompletionResult]::new('--ssh-dir', '--ssh-dir', [CompletionResultType]::ParameterName, 'Directory to use in place of ~/.ssh')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('--jump', '--jump', [CompletionResultType]::ParameterName, 'Write ProxyJump instead of ProxyCommand')
            [CompletionResult]::new('--known-hosts', '--known-hosts', [CompletionResultType]::ParameterName, 'Print the lines of the known-hosts file alone')
            [CompletionResult]::new('--install', '--install', [CompletionResultType]::ParameterName, 'Write block and known-hosts file below ~/.ssh, and include them in ~/.ssh/config')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;explain' {
            [CompletionResult]::new('--login', '--login', [CompletionResultType]::ParameterName, 'Account on the host')
            [CompletionResult]::new('--roles', '--roles', [CompletionResultType]::ParameterName, 'Roles that they have beside those of the configuration''s users, as after `users add`')
            [CompletionResult]::new('--from', '--from', [CompletionResultType]::ParameterName, 'Address of the client')
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'As text, or as an object')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;host' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('setup', 'setup', [CompletionResultType]::ParameterValue, 'Write what sshd needs to take the user CA''s certificates and to show one of its own')
            break
        }
        'rproxy;host;setup' {
            [CompletionResult]::new('--out-dir', '--out-dir', [CompletionResultType]::ParameterName, 'Directory for the snippet and its files; it is made if it is missing')
            [CompletionResult]::new('--host', '--host', [CompletionResultType]::ParameterName, 'Every name and address that clients use for the host [default: this machine''s name]')
            [CompletionResult]::new('--public-key', '--public-key', [CompletionResultType]::ParameterName, 'Host key to certify [default: this machine''s Ed25519 key, else a new one in DIR]')
            [CompletionResult]::new('--krl', '--krl', [CompletionResultType]::ParameterName, 'Revoked keys and certificates, as `auth krl` writes them')
            [CompletionResult]::new('--sshd-config', '--sshd-config', [CompletionResultType]::ParameterName, 'The host''s own configuration [default: on the host itself, `/etc/ssh/sshd_config`]')
            [CompletionResult]::new('--sshd', '--sshd', [CompletionResultType]::ParameterName, 'The sshd that checks [default: the one that is found]')
            [CompletionResult]::new('--ttl', '--ttl', [CompletionResultType]::ParameterName, 'How long the host''s certificate is good for, as in 90d, 52w [default: 365d]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('--overwrite', '--overwrite', [CompletionResultType]::ParameterName, 'Replace existing files')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;nodes' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('script', 'script', [CompletionResultType]::ParameterValue, 'Print the script with which hosts join')
            [CompletionResult]::new('ls', 'ls', [CompletionResultType]::ParameterValue, 'List the hosts of the inventory, by their names')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Show a host: its certificate, what it has reported, its tunnel')
            [CompletionResult]::new('lock', 'lock', [CompletionResultType]::ParameterValue, 'Lock a host that has joined')
            [CompletionResult]::new('unlock', 'unlock', [CompletionResultType]::ParameterValue, 'Let users log in to a locked host again')
            [CompletionResult]::new('rm', 'rm', [CompletionResultType]::ParameterValue, 'Remove a host that has joined')
            break
        }
        'rproxy;nodes;script' {
            [CompletionResult]::new('--proxy', '--proxy', [CompletionResultType]::ParameterName, 'Where hosts reach the proxy [default: the configuration''s `public_addr`]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;nodes;ls' {
            [CompletionResult]::new('--labels', '--labels', [CompletionResultType]::ParameterName, 'Only hosts that have all of these labels')
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'How to print the list')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;nodes;show' {
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'As text, or as an object')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;nodes;lock' {
            [CompletionResult]::new('--reason', '--reason', [CompletionResultType]::ParameterName, 'Why, in one line, for the audit log and `rproxy nodes show`')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;nodes;unlock' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;nodes;rm' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;recordings' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('ls', 'ls', [CompletionResultType]::ParameterValue, 'List recordings, oldest first')
            [CompletionResult]::new('export', 'export', [CompletionResultType]::ParameterValue, 'Write a recording in a format that other programs read')
            break
        }
        'rproxy;recordings;ls' {
            [CompletionResult]::new('--user', '--user', [CompletionResultType]::ParameterName, 'Only those of this user; `*` and `?` are wildcards')
            [CompletionResult]::new('--login', '--login', [CompletionResultType]::ParameterName, 'Only those of this login on the host')
            [CompletionResult]::new('--host', '--host', [CompletionResultType]::ParameterName, 'Only those of this host, by its name in the inventory or as it was asked for')
            [CompletionResult]::new('--kind', '--kind', [CompletionResultType]::ParameterName, 'Only those of this kind')
            [CompletionResult]::new('--state', '--state', [CompletionResultType]::ParameterName, 'Only those in this state')
            [CompletionResult]::new('--command', '--command', [CompletionResultType]::ParameterName, 'Only those whose command has this text in it')
            [CompletionResult]::new('--since', '--since', [CompletionResultType]::ParameterName, 'Only those that began at this time or later: 2h, 7d (ago), 2026-11-29, or RFC 3339')
            [CompletionResult]::new('--until', '--until', [CompletionResultType]::ParameterName, 'Only those that began before this time')
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'How to print the list')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;recordings;export' {
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'What to write')
            [CompletionResult]::new('--stream', '--stream', [CompletionResultType]::ParameterName, 'Which bytes `--format=raw` writes')
            [CompletionResult]::new('--out', '--out', [CompletionResultType]::ParameterName, 'Write to this new file instead of standard output')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;play' {
            [CompletionResult]::new('--at', '--at', [CompletionResultType]::ParameterName, 'Begin at this time of the session, with what its terminal showed then: seconds, or M:SS, or H:MM:SS')
            [CompletionResult]::new('--speed', '--speed', [CompletionResultType]::ParameterName, 'How many times faster than it was')
            [CompletionResult]::new('--idle-limit', '--idle-limit', [CompletionResultType]::ParameterName, 'Longest silence, in seconds of the session')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('--skip-idle', '--skip-idle', [CompletionResultType]::ParameterName, 'Shorten every silence to a second')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;sessions' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('ls', 'ls', [CompletionResultType]::ParameterValue, 'List what is live, oldest first')
            [CompletionResult]::new('watch', 'watch', [CompletionResultType]::ParameterValue, 'Watch a live session')
            [CompletionResult]::new('kill', 'kill', [CompletionResultType]::ParameterValue, 'End a live session, or a connection with all its sessions')
            break
        }
        'rproxy;sessions;ls' {
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'How to print the list')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;sessions;watch' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('--from-start', '--from-start', [CompletionResultType]::ParameterName, 'Show first what was there before')
            [CompletionResult]::new('--from-now', '--from-now', [CompletionResultType]::ParameterName, 'Begin with what the terminal shows now (the default)')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;sessions;kill' {
            [CompletionResult]::new('--reason', '--reason', [CompletionResultType]::ParameterName, 'Why, in one line that the user reads')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;state' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('status', 'status', [CompletionResultType]::ParameterValue, 'Show where the state is, its size, and how fast it answers')
            [CompletionResult]::new('backup', 'backup', [CompletionResultType]::ParameterValue, 'Write a backup of the state')
            [CompletionResult]::new('restore', 'restore', [CompletionResultType]::ParameterValue, 'Replace the state by a backup')
            [CompletionResult]::new('migrate', 'migrate', [CompletionResultType]::ParameterValue, 'Copy the state to another database')
            break
        }
        'rproxy;state;status' {
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'How to print it')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;state;backup' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;state;restore' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;state;migrate' {
            [CompletionResult]::new('--to', '--to', [CompletionResultType]::ParameterName, 'A PostgreSQL database, as `postgresql://USER@HOST/DATABASE`, or `sqlite`: state.db in the data directory')
            [CompletionResult]::new('--password-file', '--password-file', [CompletionResultType]::ParameterName, 'The file with the password of the PostgreSQL database, in one line')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;tokens' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Add a token, and print it with what has to be done on the host')
            [CompletionResult]::new('ls', 'ls', [CompletionResultType]::ParameterValue, 'List the tokens')
            [CompletionResult]::new('rm', 'rm', [CompletionResultType]::ParameterValue, 'Remove a token')
            break
        }
        'rproxy;tokens;add' {
            [CompletionResult]::new('--type', '--type', [CompletionResultType]::ParameterName, 'Who joins with it')
            [CompletionResult]::new('--names', '--names', [CompletionResultType]::ParameterName, 'Names that hosts can have which join with it [default: any that is free]')
            [CompletionResult]::new('--labels', '--labels', [CompletionResultType]::ParameterName, 'Labels that these hosts have, whatever they say themselves')
            [CompletionResult]::new('--tunnel', '--tunnel', [CompletionResultType]::ParameterName, 'Whether these hosts may, or have to, be reached through a tunnel that they keep open')
            [CompletionResult]::new('--uses', '--uses', [CompletionResultType]::ParameterName, 'How many hosts can join with it; 10000 at most')
            [CompletionResult]::new('--ttl', '--ttl', [CompletionResultType]::ParameterName, 'How long it is valid, as in 30m, 1h, 2d; 30d at most')
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'As text, or as an object')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;tokens;ls' {
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'How to print the list')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;tokens;rm' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;users' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Add a person, and print what they have to do')
            [CompletionResult]::new('ls', 'ls', [CompletionResultType]::ParameterValue, 'List the people of the state, by their names')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Show a person: roles, keys, and live sign-ins')
            [CompletionResult]::new('set', 'set', [CompletionResultType]::ParameterValue, 'Give a person other roles or logins')
            [CompletionResult]::new('lock', 'lock', [CompletionResultType]::ParameterValue, 'Lock a person out')
            [CompletionResult]::new('unlock', 'unlock', [CompletionResultType]::ParameterValue, 'Let a locked person sign in again')
            [CompletionResult]::new('reset', 'reset', [CompletionResultType]::ParameterValue, 'Make a new invitation for a person, and remove password, second factor and keys')
            [CompletionResult]::new('rm', 'rm', [CompletionResultType]::ParameterValue, 'Remove a person')
            break
        }
        'rproxy;users;add' {
            [CompletionResult]::new('--roles', '--roles', [CompletionResultType]::ParameterName, 'Roles of the configuration that the person has')
            [CompletionResult]::new('--logins', '--logins', [CompletionResultType]::ParameterName, 'Accounts on the hosts that the person may use [default: all that the roles allow]')
            [CompletionResult]::new('--ttl', '--ttl', [CompletionResultType]::ParameterName, 'How long the invitation is valid, as in 30m, 1h, 2d; 30d at most')
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'As text, or as an object')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;users;ls' {
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'How to print the list')
            [CompletionResult]::new('--after', '--after', [CompletionResultType]::ParameterName, 'Only people whose names come after this one')
            [CompletionResult]::new('--limit', '--limit', [CompletionResultType]::ParameterName, 'How many at most')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;users;show' {
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'As text, or as an object')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;users;set' {
            [CompletionResult]::new('--roles', '--roles', [CompletionResultType]::ParameterName, 'Roles of the configuration that the person has from now on')
            [CompletionResult]::new('--logins', '--logins', [CompletionResultType]::ParameterName, 'Accounts on the hosts that the person may use from now on')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('--all-logins', '--all-logins', [CompletionResultType]::ParameterName, 'The person may use all accounts that the roles allow')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;users;lock' {
            [CompletionResult]::new('--reason', '--reason', [CompletionResultType]::ParameterName, 'Why, in one line, for the audit log and `rproxy users show`')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;users;unlock' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;users;reset' {
            [CompletionResult]::new('--ttl', '--ttl', [CompletionResultType]::ParameterName, 'How long the invitation is valid, as in 30m, 1h, 2d; 30d at most')
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'As text, or as an object')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;users;rm' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;reload' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;upgrade' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;stop' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('--no-wait', '--no-wait', [CompletionResultType]::ParameterName, 'Do not wait until it has stopped')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;completions' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;doctor' {
            [CompletionResult]::new('--from-client', '--from-client', [CompletionResultType]::ParameterName, 'Look at this machine as a client of that proxy [default port: 3023]')
            [CompletionResult]::new('--host', '--host', [CompletionResultType]::ParameterName, 'With --from-client: a host behind the proxy, as it is called for ssh')
            [CompletionResult]::new('--login', '--login', [CompletionResultType]::ParameterName, 'Account that the nodes are asked about [default: root]; with --from-client, that is logged in to [default: ssh''s]')
            [CompletionResult]::new('--ssh-config', '--ssh-config', [CompletionResultType]::ParameterName, 'With --from-client: what ssh reads in place of ~/.ssh/config, as its -F')
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'As text, or as an array of objects')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('--signs-in', '--signs-in', [CompletionResultType]::ParameterName, 'With --from-client: the user signs in with a password or a browser, and has no certificate')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Leave out what is well')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Leave out what is well')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;help' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;init' {
            [CompletionResult]::new('--cluster-name', '--cluster-name', [CompletionResultType]::ParameterName, 'Name of the cluster [default: the machine''s name]')
            [CompletionResult]::new('--public-addr', '--public-addr', [CompletionResultType]::ParameterName, 'Where users reach the proxy; without a port, 3023 [default: the machine''s name]')
            [CompletionResult]::new('--authentication', '--authentication', [CompletionResultType]::ParameterName, 'How users prove who they are [default: local]')
            [CompletionResult]::new('--administrator', '--administrator', [CompletionResultType]::ParameterName, 'Name of the first administrator [default: the account that runs this, or "admin" instead of root]')
            [CompletionResult]::new('--oidc-issuer', '--oidc-issuer', [CompletionResultType]::ParameterName, 'Issuer of the OpenID Connect provider, with --authentication=oidc')
            [CompletionResult]::new('--oidc-client-id', '--oidc-client-id', [CompletionResultType]::ParameterName, 'Client id of the proxy at the provider [default: rproxy]')
            [CompletionResult]::new('--oidc-secret-file', '--oidc-secret-file', [CompletionResultType]::ParameterName, 'File with the client secret; "none" for a public client [default: oidc.secret beside the configuration]')
            [CompletionResult]::new('--oidc-admin-claim', '--oidc-admin-claim', [CompletionResultType]::ParameterName, 'Claim of the ID token that makes an administrator [default: groups=rproxy-admins]')
            [CompletionResult]::new('--https-cert-file', '--https-cert-file', [CompletionResultType]::ParameterName, 'Certificate of HTTPS in PEM, for the browser [default: web.pem beside the configuration]')
            [CompletionResult]::new('--https-key-file', '--https-key-file', [CompletionResultType]::ParameterName, 'Key of this certificate in PEM [default: web.key beside the configuration]')
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'As text, or as an object')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('--yes', '--yes', [CompletionResultType]::ParameterName, 'Do not ask: use the flags, and what the questions propose for the rest')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;man' {
            [CompletionResult]::new('--out-dir', '--out-dir', [CompletionResultType]::ParameterName, 'Write every page into this directory instead: rproxy.1, one for each command, rproxy.yaml.5, rproxy-recording.5')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'rproxy;version' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]')
            [CompletionResult]::new('--data-dir', '--data-dir', [CompletionResultType]::ParameterName, 'Directory for keys, recordings and logs; overrides the configuration''s `data_dir`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
    })

    $completions.Where{ $_.CompletionText -like "$wordToComplete*" } |
        Sort-Object -Property ListItemText
}
